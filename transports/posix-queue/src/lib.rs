//! `posix-mq://`: the kernel's POSIX message queues, and channels over them, an `anyipc` transport.
//!
//! A kernel queue outlives every process, and its name says nothing about holders. So a small
//! *record* in named memory holds the kernel queue's name and limits, and lives and dies as any
//! named memory does: the process that removes the record unlinks the kernel queue first. The
//! record comes before the queue: a process that opens the record makes the queue if it is
//! missing. Therefore no death leaves a queue without a record, within one IPC namespace. A second
//! name in the record is for the queues of channels, which lose that name as soon as they are made.
//!
//! - `record`: the description of that memory
//! - `queue`: a handle of a queue
//! - `channel`: a pair of nameless kernel queues per connection
//! - `settings`, `description`: options, and the transport itself
//! - `sys`: the system calls, the only place with unsafe code
#![deny(unsafe_code)]

mod channel;
mod description;
mod queue;
mod record;
mod settings;
mod sys;

pub use channel::{PosixQueueReceiver, PosixQueueSender};
pub use description::{PosixQueue, PosixQueueEndpoint};
