//! Locks and events in memory that processes share, as tries and announcements. Waiting is derived
//! from them in `anyipc::sync`.
//!
//! An internal crate: it follows no semantic versioning. Use `anyipc::sync`.
#![forbid(unsafe_code)]

mod attempt;
mod barrier;
mod condvar;
mod event;
mod lock_word;
mod mutex;
mod once;
mod place;
mod rwlock;
mod semaphore;
mod slot_cells;

pub use anyipc_ring::event::Reset;
pub use anyipc_ring::mutex::Effort;
pub use anyipc_ring::robust::Taken;
pub use attempt::Attempt;
pub use barrier::{Barrier, BarrierWaiter};
pub use condvar::{Condvar, CondvarWaiter};
pub use event::{Event, EventWaiter};
pub use mutex::{Mutex, MutexWaiter};
pub use once::{Duty, Once, OnceWaiter};
pub use place::{ALIGN, Place};
pub use rwlock::{ReadWaiter, RwLock, WriteWaiter};
pub use semaphore::{Semaphore, SemaphoreWaiter};
