//! Messages over two queues, one each way.

use anyipc::Queue;

use super::link::{Failure, Handling, Link, Received};
use super::payload::{self, END};

/// The one priority that all messages have.
const PRIORITY: u32 = 0;

/// Two queues that carry checked messages.
#[derive(Debug)]
pub(super) struct QueueLink {
    sends: Queue,
    receives: Queue,
    handling: Handling,
    buffer: Vec<u8>,
}

impl QueueLink {
    pub(super) fn new(sends: Queue, receives: Queue, handling: Handling) -> Self {
        Self { sends, receives, handling, buffer: Vec::new() }
    }

    /// Takes the next message and checks that it is the one that `expected` makes of it.
    #[inline]
    pub(super) fn take(
        &mut self,
        size: usize,
        expected: impl FnOnce(&[u8]) -> u64,
    ) -> Result<Received, Failure> {
        let (verify, in_place, buffer) = (self.handling.verify, self.handling.in_place, &mut self.buffer);
        let checked = self.receives.recv_with(|_, message| {
            if in_place {
                return payload::check(message, size, expected(message), verify);
            }
            buffer.clear();
            buffer.extend_from_slice(message);
            payload::check(buffer, size, expected(buffer), verify)
        })?;
        Ok(checked?)
    }
}

impl Link for QueueLink {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        self.buffer.resize(size, 0);
        payload::write(&mut self.buffer, stamp);
        Ok(self.sends.send(PRIORITY, &self.buffer)?)
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        self.take(size, |_| expected)
    }

    fn finish(mut self, size: usize) -> Result<(), Failure> {
        self.send(size, END)
    }
}
