//! `local://` and `tcp://`: channels over sockets, two `anyipc` transports.
//!
//! - `local`: names in the private directory: lock, socket, text; create, open, inventory
//! - `tcp`: ports, and the secret that both sides prove to know
//! - `options`: what both understand
//! - `endpoint`: the handle of a name, and both sides of the handshake
//! - `sender`, `receiver`: the halves of a channel, a stream each
//! - `wire`: the bytes of a channel
//! - `sys`: the system calls
#![forbid(unsafe_code)]

mod endpoint;
mod local;
mod options;
mod receiver;
mod sender;
mod sys;
mod tcp;
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod wire;

pub use endpoint::Endpoint;
pub use local::Local;
pub use receiver::Receiver;
pub use sender::Sender;
pub use tcp::Tcp;
