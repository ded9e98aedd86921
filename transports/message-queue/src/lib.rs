//! `mq://`: bounded priority queues in shared memory, for many senders and many receivers, and
//! channels over such queues, an `anyipc` transport.
//!
//! - `layout`: the layout of a queue's memory, and its authoritative words
//! - `store`: that memory, word by word
//! - `push`, `pop`: adding messages, taking them off
//! - `repair`: repairing a queue after a death
//! - `reservation`: the next room for a sender that has waited for long
//! - `waiters`: the waiting slots, and the next one to wake
//! - `client`: a participant of a queue: lock, act, unlock, wake
//! - `queue`: a handle of a named queue
//! - `channel`: channels over two queues
//! - `kind`, `settings`, `description`: file names, options, and the transport itself
#![forbid(unsafe_code)]

mod channel;
mod client;
mod dead;
mod description;
mod heap;
mod hold;
mod jobs;
mod kind;
mod layout;
mod pop;
mod push;
mod queue;
mod repair;
mod reservation;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod waiters;

pub use channel::{QueueReceiver, QueueSender};
pub use description::{MessageQueue, QueueEndpoint};
