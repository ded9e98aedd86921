//! What one operating system does its own way, behind the same names on each.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(unix)]
mod unix;
#[cfg(not(unix))]
mod windows;

#[cfg(target_os = "linux")]
pub(crate) use linux::{base, check_directory};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{base, check_directory};
#[cfg(unix)]
pub(crate) use unix::{CAN_STOP, bare_stdout, descriptors, go_on, now, stop};
#[cfg(not(unix))]
pub(crate) use windows::{CAN_STOP, bare_stdout, descriptors, go_on, now, stop};
