//! Linux: `flock`, `O_TMPFILE`, `memfd`, shared futexes.

mod dir;
mod fd;
mod fork;
mod futex;
mod lock;
mod map;
mod memory;

pub(crate) use dir::{Dir, same_file};
pub(crate) use fd::Fd;
pub(crate) use fork::generation;
pub(crate) use futex::{futex_wait, futex_wake};
pub(crate) use lock::{holders, try_lock, try_write_lock, write_unlock};
pub(crate) use map::Map;
pub(crate) use memory::{anonymous, check_anonymous};

pub(crate) use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
