//! Linux and macOS: sockets. What differs between the two is in `linux` and `macos`, under the same
//! names. The code for macOS also works on Linux, where `--cfg anyipc_as_macos` chooses it for its
//! tests.

#[cfg(not(any(target_os = "macos", anyipc_as_macos)))]
mod linux;
mod listener;
#[cfg(any(target_os = "macos", anyipc_as_macos))]
mod macos;
mod socket;

#[cfg(not(any(target_os = "macos", anyipc_as_macos)))]
use linux as system;
#[cfg(any(target_os = "macos", anyipc_as_macos))]
use macos as system;

pub use listener::Listener;
#[cfg(not(any(target_os = "macos", anyipc_as_macos)))]
pub(crate) use system::SendRoom;
pub use system::Stream;
