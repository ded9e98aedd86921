use std::fmt::Debug;

use crate::{Result, Wait};

/// The most priorities a queue can have: 0 is the lowest, 31 the highest.
pub const MAX_PRIORITIES: u32 = 32;

/// A handle of a bounded queue that any number of processes send to and receive from. Each message goes to one
/// receiver: the oldest of the highest priority that has any.
///
/// Handles are independent: one for each thread that waits.
pub trait Queue: Debug + Send + 'static {
    /// Sends one message. All or nothing, never blocking: a sender that is killed half-way has sent nothing.
    ///
    /// # Errors
    /// Without room, as the queue's `full=` says: `block` is `WouldBlock`, `error` is `Full`, and the two
    /// others drop a message, which [`QueueStatus::dropped`] counts. `InvalidOption` for a priority that the
    /// queue does not have, `MessageTooLarge`, `Corrupt`, `Forked`.
    fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()>;

    /// Receives one message and shows it with its priority to `read`, exactly once on `Ok`, never otherwise.
    /// Never blocking. A receiver that is killed half-way leaves the message to another.
    ///
    /// # Errors
    /// `WouldBlock` (empty), `Corrupt`, `Forked`.
    fn try_recv_with(&mut self, read: &mut dyn FnMut(u32, &[u8])) -> Result<()>;

    /// Whether a receiver would find a message now, or an error to be told of. Never blocking; false also where that
    /// cannot be said without waiting for another process.
    ///
    /// # Errors
    /// Those of [`status`](Self::status).
    fn is_ready(&self) -> Result<bool> {
        Ok(self.status()?.messages > 0)
    }

    /// What is in the queue, and its limits.
    fn status(&self) -> Result<QueueStatus>;

    /// Removes all messages that are there. Returns how many.
    fn purge(&mut self) -> Result<u64>;

    /// Waiting for room.
    fn room(&mut self) -> &mut dyn Wait;

    /// Waiting for a message.
    fn messages(&mut self) -> &mut dyn Wait;
}

/// What [`Queue::status`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStatus {
    /// Messages in the queue.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that fit, of messages and what each of them needs beside its own; 0 where that is not the limit.
    pub capacity: u64,
    /// The longest message, in bytes.
    pub max_message: u64,
    /// How many priorities there are.
    pub priorities: u32,
    /// Messages dropped since the queue was made, because it was full.
    pub dropped: u64,
}
