//! What transports over byte streams share.
//!
//! - `wire`, `sender`, `receiver`: the bytes of a channel and its halves, over whatever carries bytes in order
//! - `stream`: what a carrier offers; `credit`: flow control, where it has none
//! - `halves`: the halves over a stream of the system's, local or TCP
//! - `endpoint`: the handle of a name, and both sides of the handshake
//! - `proof`: proof of a shared secret; `text`: a text that is asked for
//! - `named`: names in the private directory: create, open, inventory
//! - `sys`: the streams of the system
//!
//! An internal crate: it follows no semantic versioning. Use a transport.
#![forbid(unsafe_code)]

mod credit;
mod endpoint;
mod halves;
#[cfg(test)]
mod memory_stream;
mod named;
mod options;
mod proof;
mod receiver;
mod sender;
mod stream;
mod sys;
#[cfg(test)]
mod tests;
mod text;
mod wire;

pub use credit::{BUFFER, CREDIT, MOST_UNITS, ReceiveCredit, SendCredit};
pub use endpoint::{Acceptor, Authentication, Place, StreamEndpoint};
pub use halves::{StreamReceiver, StreamSender};
pub use named::{ALLOW_UID, Access, NamedStreams, SCOPE, StreamScheme};
pub use options::{CAPACITY, capacity};
pub use proof::Key;
pub use receiver::FrameReceiver;
pub use sender::FrameSender;
pub use stream::{Incoming, Outgoing};
pub use sys::{Listener, Stream};
pub use text::Text;
pub use wire::{BYE, MARK, MAX_ENCODED, MAX_FRAME, STOP, TAKEN};
