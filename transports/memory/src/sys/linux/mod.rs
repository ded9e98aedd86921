//! Linux: `memfd`, shared futexes, `SCM_RIGHTS`, `epoll`.

mod clock;
#[cfg(not(anyipc_as_macos))]
mod futex;
mod map;
mod memory;
mod socket;

pub use clock::{Second, coarse_ticks, second};
#[cfg(not(anyipc_as_macos))]
pub use futex::parks;
#[cfg(not(anyipc_as_macos))]
pub(crate) use futex::{futex_wait, futex_wake};
pub(crate) use map::{map_file, populate};
pub use memory::{Anonymous, anonymous, check_anonymous, sealed_len};
pub(crate) use socket::{Listener, Socket, take_ready, watch_numbered};

use anyipc_core::{Operation, Result};

/// Whether there is shared memory on this platform: here there is.
///
/// # Errors
/// `Unsupported` elsewhere.
pub fn check_platform(_operation: Operation) -> Result<()> {
    Ok(())
}
