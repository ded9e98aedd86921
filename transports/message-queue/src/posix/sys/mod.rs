//! The calls of the system, the same on each platform.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(super) use unsupported::*;

/// What a kernel queue is and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    /// The most messages.
    pub(super) most: usize,
    /// Bytes of the longest message.
    pub(super) longest: usize,
    /// Messages that are there.
    pub(super) messages: usize,
}
