//! Messages over two queues, one each way.

use std::time::Duration;

use anyipc::{ErrorKind, Queue};

use crate::Result;
use crate::link::{Handling, Link};
use crate::payload::{self, END, Received};
use crate::watchdog::Liveness;

/// The priority of all messages.
const PRIORITY: u32 = 0;
/// A queue does not report the other side's death: a wait checks for it this often.
const RECHECK: Duration = Duration::from_millis(200);

/// Two queues that carry checked messages.
#[derive(Debug)]
pub struct QueueLink {
    sends: Queue,
    receives: Queue,
    handling: Handling,
    /// Of the other side.
    liveness: Liveness,
    buffer: Vec<u8>,
}

impl QueueLink {
    /// Over these queues. Waits end when the other side is no longer alive.
    pub fn new(sends: Queue, receives: Queue, handling: Handling, liveness: Liveness) -> Self {
        Self { sends, receives, handling, liveness, buffer: Vec::new() }
    }

    /// Takes the next message and checks that its number is what `expected` makes of its bytes.
    #[inline]
    pub(crate) fn take(
        &mut self,
        size: usize,
        mut expected: impl FnMut(&[u8]) -> u64,
    ) -> Result<Received> {
        let Handling { checked, in_place, .. } = self.handling;
        let buffer = &mut self.buffer;
        let mut read = |_: u32, message: &[u8]| {
            if in_place {
                return payload::check(message, size, expected(message), checked);
            }
            buffer.clear();
            buffer.extend_from_slice(message);
            payload::check(buffer, size, expected(buffer), checked)
        };
        Ok(while_alive(&self.liveness, || self.receives.recv_with_timeout(RECHECK, &mut read))??)
    }
}

/// Repeats a call that timed out while the other side is alive.
#[inline]
fn while_alive<T>(liveness: &Liveness, mut call: impl FnMut() -> anyipc::Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::TimedOut => liveness.check()?,
            done => return Ok(done?),
        }
    }
}

impl Link for QueueLink {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<()> {
        self.buffer.resize(size, 0);
        payload::write(&mut self.buffer, stamp, self.handling.written);
        while_alive(&self.liveness, || self.sends.send_timeout(PRIORITY, &self.buffer, RECHECK))
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received> {
        self.take(size, |_| expected)
    }

    /// A queue outlives its users: the end is a message.
    fn finish(mut self, size: usize) -> Result<()> {
        self.send(size, END)
    }
}
