//! `local://` and `tcp://`: channels over sockets, two `anyipc` transports.
//!
//! - `local`: names in the private directory
//! - `tcp`: ports, and where the secret lies that both sides prove to know
//!
//! What happens over the streams, from the handshake on, is `anyipc-byte-stream`'s.
#![forbid(unsafe_code)]

mod local;
mod tcp;

pub use anyipc_byte_stream::{Endpoint, StreamReceiver as Receiver, StreamSender as Sender};
pub use local::Local;
pub use tcp::Tcp;
