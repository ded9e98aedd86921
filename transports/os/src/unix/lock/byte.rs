//! macOS: the lock is a byte like the others.

use std::io;

use super::{Change, change};
use crate::{Fd, FileId, Lock};

/// The byte of the lock, behind [`WRITER`](super::WRITER) and [`HELD`](super::HELD).
const LOCK: i64 = 2;

/// Takes the lock on the open file, which has none, without waiting; false if another holder
/// excludes it. To change the kind of a lock, [`unlock`] first. Closing the file gives it back.
pub fn try_lock(fd: &Fd, lock: Lock) -> io::Result<bool> {
    let kind = match lock {
        Lock::Shared => Change::Share,
        Lock::Exclusive => Change::Take,
    };
    change(fd, kind, LOCK)
}

/// Gives the lock of [`try_lock`] back.
pub fn unlock(fd: &Fd) {
    let _ = change(fd, Change::Release, LOCK);
}

/// None: the system does not report the holders of an open file's lock.
pub fn holders(_id: FileId) -> Option<Vec<u32>> {
    None
}

/// False: the system does not tell.
pub fn is_stopped(_pid: u32) -> bool {
    false
}
