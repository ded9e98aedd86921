//! Atomics of a thread that dies after any number of stores, for tests.

use std::cell::Cell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;

thread_local! {
    /// Stores that this thread may make before it dies.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// What a death unwinds with.
struct Death;

/// Runs until so many stores have happened. `None` if it died there.
pub(crate) fn with_stores<R>(stores: u32, run: impl FnOnce() -> R) -> Option<R> {
    LEFT.set(stores);
    let result = catch_unwind(AssertUnwindSafe(run));
    LEFT.set(u32::MAX);
    match result {
        Ok(result) => Some(result),
        Err(cause) if cause.is::<Death>() => None,
        Err(cause) => resume_unwind(cause),
    }
}

/// Before each store.
fn live() {
    match LEFT.get() {
        u32::MAX => {}
        0 => resume_unwind(Box::new(Death)),
        left => LEFT.set(left - 1),
    }
}

macro_rules! mortal {
    ($atomic:ident, $int:ty) => {
        #[derive(Debug, Default)]
        #[allow(unreachable_pub, reason = "it stands in public traits")]
        pub struct $atomic(std::sync::atomic::$atomic);

        #[allow(dead_code, reason = "not each width needs each")]
        impl $atomic {
            pub(crate) const fn new(value: $int) -> Self {
                Self(std::sync::atomic::$atomic::new(value))
            }
            pub(crate) fn store(&self, value: $int, order: Ordering) {
                live();
                self.0.store(value, order);
            }
            pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                live();
                self.0.swap(value, order)
            }
            pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                live();
                self.0.fetch_add(value, order)
            }
            pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                live();
                self.0.fetch_sub(value, order)
            }
            pub(crate) fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                live();
                self.0.fetch_or(value, order)
            }
            pub(crate) fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                live();
                self.0.fetch_and(value, order)
            }
            pub(crate) fn compare_exchange(
                &self,
                expected: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                live();
                self.0.compare_exchange(expected, new, success, failure)
            }
        }

        /// Loads, and what only the ring uses.
        impl Deref for $atomic {
            type Target = std::sync::atomic::$atomic;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    };
}

mortal!(AtomicU32, u32);
mortal!(AtomicU64, u64);
