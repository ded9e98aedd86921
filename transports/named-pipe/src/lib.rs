//! `pipe://`: channels over named pipes, an `anyipc` transport.
//!
//! - `fifos`: Linux
//! - `streams`: Windows, where named pipes are connections by themselves; and macOS, where FIFOs
//!   can neither be locked nor tell that the other end is gone. `--cfg anyipc_as_macos` chooses it
//!   on Linux for its tests.
#![forbid(unsafe_code)]

#[cfg(all(target_os = "linux", not(anyipc_as_macos)))]
mod fifos;
#[cfg(not(all(target_os = "linux", not(anyipc_as_macos))))]
mod streams;

#[cfg(all(target_os = "linux", not(anyipc_as_macos)))]
pub use fifos::{NamedPipe, PipeEndpoint, PipeReceiver, PipeSender};
#[cfg(not(all(target_os = "linux", not(anyipc_as_macos))))]
pub use {
    anyipc_byte_stream::{
        StreamEndpoint as PipeEndpoint, StreamReceiver as PipeReceiver, StreamSender as PipeSender,
    },
    streams::NamedPipe,
};
