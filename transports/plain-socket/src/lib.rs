//! `plain://name` and `plain:///path`: local sockets for peers that do not run this library.
//!
//! Names are those of the [interprocess](https://docs.rs/interprocess) crate: any program that uses
//! it, or any socket, can be the other side. There is no handshake, and nothing but the messages is
//! on the wire.
//!
//! | module | contents |
//! |---|---|
//! | `framing` | where a message begins and ends: [`Framing`], [`Decoder`] |
//! | `sender`, `receiver` | the halves, over the bare streams of `anyipc-byte-stream` |
//! | `endpoint`, `accept` | the handle of a name; the owner's side |
//! | `transport` | [`PlainSocket`]: options, create, open |
//! | `sys` | naming, binding and connecting by interprocess; sockets that the dead left |
#![forbid(unsafe_code)]

mod accept;
mod endpoint;
mod framing;
mod receiver;
mod sender;
mod sys;
mod transport;

pub use endpoint::PlainEndpoint;
pub use framing::{Decoder, Framing, MAX_HEADER, OVERHEAD, PIECE, Piece};
pub use receiver::PlainReceiver;
pub use sender::PlainSender;
pub use transport::PlainSocket;
