//! Frames over byte streams: the two halves of a channel, for whatever carries bytes in order.
//!
//! - `stream`: what a carrier offers
//! - `sender`, `receiver`: the halves over it
//! - `credit`: flow control, where the carrier has none
//! - `wire`: the bytes of a channel
//!
//! An internal crate: it follows no semantic versioning. Use a transport.
#![forbid(unsafe_code)]

#[cfg(test)]
mod carrier;
mod credit;
mod receiver;
mod sender;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

pub use credit::{Allowance, BUFFER, CREDIT, Debt, MOST_UNITS};
pub use receiver::Receiver;
pub use sender::Sender;
pub use stream::{Incoming, Outgoing};
pub use wire::{BYE, MAX_FRAME, ROOM, STOP};
