//! `pipe://`: channels over named pipes, an `anyipc` transport.
//!
//! - `transport`: names in the private directory: create, open, inventory
//! - `files`: what those names are
//! - `settings`: what the address says
//! - `request`: what a connector writes into an owner's FIFO
//! - `endpoint`: the handle of a name, and both sides of the handshake
//! - `connection`: the FIFOs of one connection, and its ends
//! - `inventory`: what lies in the directory
//! - `sys`: the system calls
//!
//! That is Unix. On Windows named pipes are connections by themselves, and all of it is `windows`.
#![forbid(unsafe_code)]

#[cfg(not(windows))]
mod connection;
#[cfg(not(windows))]
mod endpoint;
#[cfg(not(windows))]
mod files;
#[cfg(not(windows))]
mod inventory;
#[cfg(not(windows))]
mod request;
#[cfg(not(windows))]
mod settings;
#[cfg(not(windows))]
mod sys;
#[cfg(not(windows))]
mod transport;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub use connection::{Receiver, Sender};
#[cfg(not(windows))]
pub use endpoint::Endpoint;
#[cfg(not(windows))]
pub use transport::NamedPipe;
#[cfg(windows)]
pub use windows::{Endpoint, NamedPipe, Receiver, Sender};
