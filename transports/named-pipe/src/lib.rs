//! `pipe://`: channels over named pipes, an `anyipc` transport.
//!
//! - `fifos`: Linux
//! - `streams`: Windows, where named pipes are connections by themselves; and macOS, whose FIFOs can neither be locked
//!   nor tell that nobody is at the other end. `--cfg anyipc_as_macos` chooses it on Linux for its tests.
#![forbid(unsafe_code)]

#[cfg(all(target_os = "linux", not(anyipc_as_macos)))]
mod fifos;
#[cfg(not(all(target_os = "linux", not(anyipc_as_macos))))]
mod streams;

#[cfg(all(target_os = "linux", not(anyipc_as_macos)))]
pub use fifos::{Endpoint, NamedPipe, Receiver, Sender};
#[cfg(not(all(target_os = "linux", not(anyipc_as_macos))))]
pub use streams::{Endpoint, NamedPipe, Receiver, Sender};
