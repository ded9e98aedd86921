//! The async calls, for tokio: the only module that names it. They use the transports' own
//! non-blocking calls and add no thread, but for opening (`connect`).
//!
//! `channel`, `queue` and `connect` are the public calls, each a `wait` with the same attempt as
//! its blocking twin. `wait` tries, spins (`spin`), and sleeps by a `registration` with the
//! `reactor`. `reactor` uses only `sys`, so that an endpoint can hold one.

mod channel;
mod connect;
mod queue;
pub(crate) mod reactor;
mod registration;
mod spin;
mod sys;
mod turn;
mod wait;

pub use channel::{AsyncChannel, AsyncReceiver, AsyncSender};
pub use connect::connect_async;
pub use queue::AsyncQueue;
