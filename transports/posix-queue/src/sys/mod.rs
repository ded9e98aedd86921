//! The system calls, the same on each platform.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(super) use unsupported::*;

/// The limits and the contents of a kernel queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    /// Messages that fit.
    pub(super) capacity: usize,
    /// Bytes of the longest message.
    pub(super) max_message: usize,
    /// Messages in the queue.
    pub(super) messages: usize,
}

/// Bytes of the longest message that the kernel allows. Where that cannot be read, the kernel's
/// default.
pub(super) fn max_message() -> u64 {
    limit("msgsize_max").unwrap_or(8192) as u64
}

/// Messages in a queue of the usual size: what the kernel allows by default, or less where its
/// limit was lowered.
pub(super) fn usual_messages() -> u64 {
    limit("msg_max").unwrap_or(10).clamp(1, 10) as u64
}
