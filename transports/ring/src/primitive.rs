//! The atomics of this crate: std's, or loom's where loom explores them, or those of threads that
//! die in tests.

#[cfg(all(test, not(loom)))]
pub(crate) use crate::mortal::{AtomicU32, AtomicU64};
#[cfg(not(any(test, loom)))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{Ordering, compiler_fence, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Nothing: loom reorders as the memory model allows, and has no compiler that reorders more.
#[cfg(loom)]
pub(crate) fn compiler_fence(_order: Ordering) {}

/// True on processors of the x86 family. There stores become visible in the order of the program,
/// microseconds after the instruction, and an atomic read-modify-write is a full fence.
#[cfg(not(all(test, loom)))]
#[inline(always)]
pub(crate) const fn is_x86() -> bool {
    cfg!(any(target_arch = "x86", target_arch = "x86_64"))
}

/// What the test explores.
#[cfg(all(test, loom))]
pub(crate) use crate::loom_tests::is_x86;

/// A full fence behind an atomic read-modify-write with `SeqCst`, before a load of another word.
/// For x86 that operation is one. For ARM it is not: its store may become visible after the load.
#[inline(always)]
pub(crate) fn fence_behind_swap() {
    if !is_x86() {
        fence(Ordering::SeqCst);
    }
}
