//! Checks of one operating system, behind the same names on each.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(crate) use linux::check_directory;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::check_directory;
