//! `native=posix`: the kernel's own queues, for comparison and for those who want its limits and its accounting.
//!
//! A small named memory records the kernel queue's name and limits, and lives and dies as any named memory does;
//! whoever removes it unlinks the kernel queue first. The record comes before the queue: whoever opens the record
//! makes the queue if it is not there, so no death leaves a queue without a record. A second name in it is for the
//! queues of channels, which lose it as soon as they are made.
//!
//! - `record`: that memory
//! - `queue`: a handle of a queue
//! - `channel`: a pair of nameless kernel queues per connection
//! - `sys`: the system calls

mod channel;
mod queue;
mod record;
mod sys;

pub(crate) use channel::Pair;
pub(crate) use channel::{Receiver, Sender};
pub(crate) use queue::Handle;
pub(crate) use record::{KIND, LAYOUT, Record, Shape, TEXT};

/// The longest message that the kernel allows, as far as it tells.
pub(crate) fn longest() -> u64 {
    sys::limit("msgsize_max").unwrap_or(8192) as u64
}

/// The usual number of messages in a queue, which is what the kernel allows unless someone changed it.
pub(crate) fn most() -> u64 {
    sys::limit("msg_max").unwrap_or(10).clamp(1, 10) as u64
}
