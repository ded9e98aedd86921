//! Windows: files of the private directory that their token leads to, named pipes, events.

mod clock;
mod frames;
mod listener;
mod map;
mod memory;
mod socket;

pub use clock::{Second, boot_nanos, coarse_ticks, second};
pub(crate) use listener::Listener;
pub(crate) use map::{map_file, populate};
pub use memory::{Anonymous, anonymous, check_anonymous, sealed_len};
pub(crate) use socket::{Socket, take_ready, watch_numbered};

use anyipc_core::{Operation, Result};

/// Whether there is shared memory on this platform: here there is.
///
/// # Errors
/// `Unsupported` elsewhere.
pub fn check_platform(_operation: Operation) -> Result<()> {
    Ok(())
}
