//! Linux and macOS: local sockets, `SCM_RIGHTS`. What differs between them is in `linux` and
//! `macos`, under the same names. With `--cfg anyipc_as_macos` Linux takes from `macos` what it can
//! run, the memory of channels, and no thread sleeps on a word.

mod clock;
mod socket;

pub use clock::{Second, second};
pub(crate) use socket::{Listener, Socket, take_ready, watch_numbered};

#[cfg(target_os = "linux")]
pub use super::linux::*;
#[cfg(any(target_os = "macos", anyipc_as_macos))]
pub use super::macos::*;

use anyipc_core::{Operation, Result};

/// Whether there is shared memory on this platform: here there is.
///
/// # Errors
/// `Unsupported` elsewhere.
pub fn check_platform(_operation: Operation) -> Result<()> {
    Ok(())
}
