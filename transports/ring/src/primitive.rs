//! The atomics of the ring and the waits: std's, or loom's where loom explores them.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Nothing: loom reorders no more than the memory model allows, whatever a compiler does.
#[cfg(loom)]
pub(crate) fn compiler_fence(_order: Ordering) {}
