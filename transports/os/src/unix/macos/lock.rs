use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::unix::flock::{self, flock_now};
use crate::{Fd, FileId, Lock};

/// Takes the lock on the open file, which has none, without waiting; false if another holder
/// excludes it. To change the kind of a lock, [`unlock`] first. Closing the file gives it back.
pub fn try_lock(fd: &Fd, lock: Lock) -> io::Result<bool> {
    flock_now(fd, lock)
}

/// Gives the lock of [`try_lock`] back.
pub fn unlock(fd: &Fd) {
    flock::unlock(fd);
}

/// Nothing: here [`is_held`] sees the lock itself, also one that is taken for an instant only.
pub fn hold(_fd: &Fd) -> io::Result<()> {
    Ok(())
}

/// True if another open file holds the lock. Changes nothing: the kernel keeps `flock`s and record
/// locks in one list, and reports which lock a record lock would meet.
pub fn is_held(fd: &Fd) -> io::Result<bool> {
    let mut lock = libc::flock {
        l_start: 0,
        l_len: 0,
        l_pid: 0,
        l_type: libc::F_WRLCK,
        l_whence: libc::SEEK_SET as i16,
    };
    // SAFETY: the descriptor is open for the call, and `lock` is a valid structure that the call
    // may change.
    let code = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if code == 0 { Ok(lock.l_type != libc::F_UNLCK) } else { Err(io::Error::last_os_error()) }
}

fn none<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `Unsupported`: only memory needs it, of which there is none here yet.
pub fn try_write_lock(_fd: &Fd) -> io::Result<bool> {
    none()
}

/// Nothing, as there is no [`try_write_lock`].
pub fn write_unlock(_fd: &Fd) {}

/// `Unsupported`: only memory needs it, of which there is none here yet.
pub fn try_lock_number(_fd: &Fd, _number: u32) -> io::Result<bool> {
    none()
}

/// Nothing, as there is no [`try_lock_number`].
pub fn unlock_number(_fd: &Fd, _number: u32) {}

/// `Unsupported`: only memory needs it, of which there is none here yet.
pub fn is_number_locked(_fd: &Fd, _number: u32) -> io::Result<bool> {
    none()
}

/// None: the system does not report the holders of a `flock`.
pub fn holders(_id: FileId) -> Vec<u32> {
    Vec::new()
}
