//! `pipe://` over FIFOs.
//!
//! - `transport`: names in the private directory: create, open, inventory
//! - `files`: what those names are
//! - `settings`: what the address says
//! - `request`: what a connector writes into an owner's FIFO
//! - `endpoint`: the handle of a name, and both sides of the handshake
//! - `connection`: the FIFOs of one connection, and its ends
//! - `room`: what a FIFO has room for
//! - `inventory`: what lies in the directory
//! - `sys`: the system calls

mod connection;
mod endpoint;
mod files;
mod inventory;
mod pages;
mod request;
mod settings;
mod sys;
mod transport;

pub use connection::{PipeReceiver, PipeSender};
pub use endpoint::PipeEndpoint;
pub use transport::NamedPipe;
