use std::fmt::Debug;

use crate::{Result, Wait};

/// The largest number of priorities of a queue: 0 is the lowest priority, 31 the highest.
pub const MAX_PRIORITIES: u32 = 32;

/// A handle of a bounded queue that any number of processes send to and receive from.
///
/// Each message goes to one receiver. A receiver gets the oldest message of the highest priority
/// that has any. Handles are independent; each thread that waits needs its own. No method waits for
/// another process, except where it says so.
pub trait Queue: Debug + Send + 'static {
    /// Sends one message, whole or not at all: a sender that is killed in the call has sent
    /// nothing.
    ///
    /// # Errors
    /// Without room, what the queue's `full=` says: with `block` `WouldBlock`, with `error` `Full`;
    /// the two other choices drop a message, which [`QueueStatus::dropped`] counts. `InvalidOption`
    /// for a priority that the queue does not have, `MessageTooLarge`, `Corrupt`, `Forked`.
    fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()>;

    /// Receives one message and shows it with its priority to `read`: exactly once on `Ok`,
    /// otherwise never. A receiver that is killed in the call leaves the message to another one.
    ///
    /// # Errors
    /// `WouldBlock` (empty), `Corrupt`, `Forked`.
    fn try_recv_with(&mut self, read: &mut dyn FnMut(u32, &[u8])) -> Result<()>;

    /// True if a receiver would now get a message, or an error. False also if that cannot be told
    /// without waiting for another process.
    ///
    /// # Errors
    /// Those of [`status`](Self::status).
    fn is_ready(&self) -> Result<bool> {
        Ok(self.status()?.messages > 0)
    }

    /// The contents of the queue in numbers, and its limits.
    ///
    /// # Errors
    /// `Corrupt`, `Forked`.
    fn status(&self) -> Result<QueueStatus>;

    /// Removes all messages. Returns their number.
    ///
    /// # Errors
    /// `Busy` if another process keeps the queue locked, `Corrupt`, `Forked`.
    fn purge(&mut self) -> Result<u64>;

    /// How a sender waits for room.
    fn room(&mut self) -> &mut dyn Wait;

    /// How a receiver waits for a message.
    fn messages(&mut self) -> &mut dyn Wait;
}

/// The numbers of a queue, from [`Queue::status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStatus {
    /// Messages in the queue.
    pub messages: u64,
    /// The bytes of these messages.
    pub bytes: u64,
    /// The bytes that fit, including what each message needs beside its own bytes; 0 if bytes are
    /// not what limits the queue.
    pub capacity: u64,
    /// The longest message, in bytes.
    pub max_message: u64,
    /// The number of priorities.
    pub priorities: u32,
    /// Messages dropped since the queue was created, because it was full.
    pub dropped: u64,
}
