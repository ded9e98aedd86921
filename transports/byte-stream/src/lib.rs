//! What transports over byte streams share: `local://`, `tcp://`, and `pipe://`.
//!
//! | module | contents |
//! |---|---|
//! | `wire`, `sender`, `receiver` | the bytes of a channel; its halves over any carrier of bytes |
//! | `stream` | what a carrier has to offer: [`Outgoing`], [`Incoming`] |
//! | `credit` | flow control for carriers that have none |
//! | `bare` | the bytes of one system's stream without any of this library's words among them |
//! | `halves`, `control` | the halves over the system's streams, local ones and TCP |
//! | `endpoint` | the handle of a name, and both sides of the handshake |
//! | `opening`, `proof`, `text` | first bytes over TCP, proof of a secret, the text of an owner |
//! | `named` | [`NamedStreams`]: a transport with names in the private directory |
//! | `sys` | the streams of the system |
//!
//! This crate is internal and follows no semantic versioning. Use a transport.
#![forbid(unsafe_code)]

mod bare;
mod control;
mod credit;
mod endpoint;
mod halves;
#[cfg(test)]
mod memory_stream;
mod named;
mod opening;
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

pub use bare::{BareIncoming, BareOutgoing, bare};
pub use credit::{BUFFER, CREDIT, MOST_UNITS, ReceiveCredit, SendCredit};
pub use endpoint::{Acceptor, Authentication, Place, StreamEndpoint};
pub use halves::{StreamReceiver, StreamSender};
pub use named::{ALLOW_UID, Access, NamedStreams, SCOPE, StreamScheme};
pub use options::{CAPACITY, capacity};
pub use proof::Key;
pub use receiver::FrameReceiver;
pub use sender::FrameSender;
pub use stream::{Incoming, Outgoing};
pub use sys::{Credentials, Listener, Stream};
pub use text::Text;
pub use wire::{BYE, MARK, MAX_ENCODED, MAX_FRAME, STOP, TAKEN};
