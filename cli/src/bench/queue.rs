//! Messages over two queues, one each way.

use std::time::Duration;

use anyipc::{ErrorKind, Queue};

use super::guard::Fate;
use super::link::{Failure, Handling, Link, Received};
use super::payload::{self, END};

/// The one priority that all messages have.
const PRIORITY: u32 = 0;
/// A queue never says that nobody else is there: how often a wait looks.
const LOOK: Duration = Duration::from_millis(200);

/// Two queues that carry checked messages.
#[derive(Debug)]
pub(super) struct QueueLink {
    sends: Queue,
    receives: Queue,
    handling: Handling,
    fate: Fate,
    buffer: Vec<u8>,
}

impl QueueLink {
    /// `fate` is that of the other side.
    pub(super) fn new(sends: Queue, receives: Queue, handling: Handling, fate: Fate) -> Self {
        Self { sends, receives, handling, fate, buffer: Vec::new() }
    }

    /// Takes the next message and checks that it is the one that `expected` makes of it.
    #[inline]
    pub(super) fn take(
        &mut self,
        size: usize,
        mut expected: impl FnMut(&[u8]) -> u64,
    ) -> Result<Received, Failure> {
        let (verify, in_place, buffer) =
            (self.handling.verify, self.handling.in_place, &mut self.buffer);
        let mut read = |_: u32, message: &[u8]| {
            if in_place {
                return payload::check(message, size, expected(message), verify);
            }
            buffer.clear();
            buffer.extend_from_slice(message);
            payload::check(buffer, size, expected(buffer), verify)
        };
        Ok(watching(&self.fate, || self.receives.recv_with_timeout(LOOK, &mut read))??)
    }
}

/// Repeats a call that has timed out as long as the other side lives.
#[inline]
fn watching<T>(fate: &Fate, mut call: impl FnMut() -> anyipc::Result<T>) -> Result<T, Failure> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::TimedOut => fate.check()?,
            done => return Ok(done?),
        }
    }
}

impl Link for QueueLink {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        self.buffer.resize(size, 0);
        payload::write(&mut self.buffer, stamp);
        watching(&self.fate, || self.sends.send_timeout(PRIORITY, &self.buffer, LOOK))
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        self.take(size, |_| expected)
    }

    fn finish(mut self, size: usize) -> Result<(), Failure> {
        self.send(size, END)
    }
}
