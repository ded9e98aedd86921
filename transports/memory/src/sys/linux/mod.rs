//! Linux: `memfd`, shared futexes.

mod clock;
#[cfg(not(anyipc_as_macos))]
mod futex;
mod map;
#[cfg(not(anyipc_as_macos))]
mod memory;

pub use clock::{boot_nanos, coarse_ticks};
#[cfg(not(anyipc_as_macos))]
pub use futex::parks;
#[cfg(not(anyipc_as_macos))]
pub(crate) use futex::{futex_wait, futex_wake};
pub(crate) use map::{map_file, populate};
#[cfg(not(anyipc_as_macos))]
pub use memory::{Anonymous, anonymous, check_anonymous, sealed_len};
