//! macOS: memory of `shm_open`, sleeps on words since macOS 14.4. Type-checked; what Linux can run
//! of it runs there with `--cfg anyipc_as_macos`.

#[cfg(target_os = "macos")]
mod clock;
#[cfg(target_os = "macos")]
mod futex;
#[cfg(target_os = "macos")]
mod map;
mod memory;

#[cfg(target_os = "macos")]
pub use clock::{boot_nanos, coarse_ticks};
#[cfg(target_os = "macos")]
pub use futex::parks;
#[cfg(target_os = "macos")]
pub(crate) use futex::{futex_wait, futex_wake};
#[cfg(target_os = "macos")]
pub(crate) use map::{map_file, populate};
pub use memory::{Anonymous, anonymous, check_anonymous, sealed_len};
