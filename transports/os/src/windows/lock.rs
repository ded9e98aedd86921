use std::io;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::{
    LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use super::fd::Fd;
use crate::{FileId, Lock};

/// The system keeps others from reading what is locked: so each lock is a byte far behind any
/// content.
const HELD: u64 = 1 << 62;
const WRITER: u64 = HELD + 1;
const NUMBERED: u64 = HELD + (1 << 40);

/// Takes the lock on the open file, which has none, without waiting; false if another holder
/// excludes it. To change the kind of a lock, [`unlock`] first. Closing the file gives it back,
/// unless it is mapped.
pub fn try_lock(fd: &Fd, lock: Lock) -> io::Result<bool> {
    lock_byte(fd, HELD, lock)
}

/// Gives the lock of [`try_lock`] back.
pub fn unlock(fd: &Fd) {
    unlock_byte(fd, HELD);
}

/// Nothing: here [`is_held`] sees the lock itself, also one that is taken for an instant only.
pub fn hold(_fd: &Fd) -> io::Result<()> {
    Ok(())
}

/// True if another open file holds the lock alone. For that it is taken for an instant together
/// with others, which no process mistakes for an exclusive holder.
pub fn is_held(fd: &Fd) -> io::Result<bool> {
    let free = lock_byte(fd, HELD, Lock::Shared)?;
    if free {
        unlock_byte(fd, HELD);
    }
    Ok(!free)
}

/// Takes the writers' lock on the open file, which [`try_lock`] knows nothing of; false if it is
/// taken.
pub fn try_write_lock(fd: &Fd) -> io::Result<bool> {
    lock_byte(fd, WRITER, Lock::Exclusive)
}

/// Gives the writers' lock back.
pub fn write_unlock(fd: &Fd) {
    unlock_byte(fd, WRITER);
}

/// Takes one of 2³² further locks on the open file; false if it is taken.
pub fn try_lock_number(fd: &Fd, number: u32) -> io::Result<bool> {
    lock_byte(fd, NUMBERED + u64::from(number), Lock::Exclusive)
}

/// Gives a numbered lock back.
pub fn unlock_number(fd: &Fd, number: u32) {
    unlock_byte(fd, NUMBERED + u64::from(number));
}

/// True if the numbered lock is taken. For that it is asked for, for an instant.
pub fn is_number_locked(fd: &Fd, number: u32) -> io::Result<bool> {
    let free = lock_byte(fd, NUMBERED + u64::from(number), Lock::Shared)?;
    if free {
        unlock_number(fd, number);
    }
    Ok(!free)
}

/// None: the system does not report the holders of a lock.
pub fn holders(_id: FileId) -> Vec<u32> {
    Vec::new()
}

fn lock_byte(fd: &Fd, byte: u64, lock: Lock) -> io::Result<bool> {
    let flags = match lock {
        Lock::Shared => LOCKFILE_FAIL_IMMEDIATELY,
        Lock::Exclusive => LOCKFILE_FAIL_IMMEDIATELY | LOCKFILE_EXCLUSIVE_LOCK,
    };
    let mut at = place(byte);
    // SAFETY: the file is open for the call and not overlapped: when this returns nothing is going
    // on in `at`.
    if unsafe { LockFileEx(fd.as_raw_handle(), flags, 0, 1, 0, &mut at) } != 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(|code| code as u32) {
        Some(ERROR_LOCK_VIOLATION | ERROR_IO_PENDING) => Ok(false),
        _ => Err(error),
    }
}

fn unlock_byte(fd: &Fd, byte: u64) {
    let mut at = place(byte);
    // SAFETY: as in `lock_byte`.
    unsafe { UnlockFileEx(fd.as_raw_handle(), 0, 1, 0, &mut at) };
}

fn place(byte: u64) -> OVERLAPPED {
    let offset = OVERLAPPED_0_0 { Offset: byte as u32, OffsetHigh: (byte >> 32) as u32 };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: offset }, ..OVERLAPPED::default() }
}
