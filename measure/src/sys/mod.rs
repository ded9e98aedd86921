//! The one place of this crate that knows the platform: cores, CPU time, names, and the bare calls
//! that transports are compared with. The same functions everywhere: `None` where the platform
//! does not tell, `Unsupported` where it cannot.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

#[cfg(not(target_os = "linux"))]
mod not_linux;
#[cfg(not(target_os = "linux"))]
use not_linux as system;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{cpu_time, keep_signals_off, kernel};

#[cfg(not(unix))]
mod not_unix;
#[cfg(not(unix))]
pub(crate) use not_unix::{cpu_time, keep_signals_off, kernel};

pub use system::{allowed_cores, pin};
pub(crate) use system::{baseline, busy_time, cpu_model, end_with_parent, share_a_core};
