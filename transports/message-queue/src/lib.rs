//! `mq://`: bounded priority queues in shared memory for many senders and many receivers, and channels over such
//! queues, an `anyipc` transport.
//!
//! - `layout`: where everything lies in a queue's memory, and what of it is the truth
//! - `store`: that memory, word by word
//! - `push`, `pop`: messages in, messages out
//! - `repair`: putting a queue right after a death
//! - `claim`: a sender that has waited for long goes next
//! - `waiters`: who sleeps, and who is woken
//! - `client`: one of those who share a queue: lock, act, unlock, wake
//! - `queue`: a handle of a named queue
//! - `channel`: channels over two such queues, and their memory
//! - `kind`, `settings`, `endpoint`, `transport`: names, addresses, handles of names
#![forbid(unsafe_code)]

mod channel;
mod client;
mod endpoint;
mod kind;
mod layout;
mod pop;
mod push;
mod queue;
mod repair;
mod reservation;
mod settings;
mod store;
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod transport;
mod waiters;

pub use channel::{Receiver, Sender};
pub use endpoint::Endpoint;
pub use transport::MessageQueue;
