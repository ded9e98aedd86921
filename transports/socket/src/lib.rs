//! `local://` and `tcp://`: channels over sockets, two `anyipc` transports.
//!
//! - `local`: names in the private directory: lock, socket, text; create, open, inventory
//! - `tcp`: ports, and the secret that both sides prove to know
//! - `options`: what both understand
//! - `endpoint`: the handle of a name, and both sides of the handshake
//! - `halves`: a channel's halves, a stream each
//! - `sys`: the system calls
#![forbid(unsafe_code)]

mod endpoint;
mod halves;
mod local;
mod options;
mod sys;
mod tcp;
#[cfg(all(test, target_os = "linux"))]
mod tests;

pub use endpoint::Endpoint;
pub use halves::{Receiver, Sender};
pub use local::Local;
pub use tcp::Tcp;
