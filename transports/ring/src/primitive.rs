//! The atomics of this crate: std's, or loom's where loom explores them.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Nothing: loom reorders as the memory model allows, and has no compiler that reorders more.
#[cfg(loom)]
pub(crate) fn compiler_fence(_order: Ordering) {}
