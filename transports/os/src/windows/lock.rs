use std::io;
use std::os::windows::io::AsRawHandle;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, HANDLE};
use windows_sys::Win32::Storage::FileSystem::{
    LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use super::fd::Fd;
use crate::{FileId, Lock};

/// The system keeps others from reading what is locked: so each lock is a byte far behind any
/// content.
const LOCK: u64 = 1 << 62;
const WRITER: u64 = LOCK + 1;
const NUMBERED: u64 = LOCK + (1 << 40);
/// The bytes of which each holder locks one alone. A process that looks locks all of them shared
/// for an instant: it takes no holder's byte, and no other process that looks takes it for one.
const HOLDERS: u64 = LOCK + (1 << 50);
const HOLDER_COUNT: u64 = 1 << 32;

/// How long others that look may keep a holder from locking its byte. Each look takes microseconds.
const LOOKS: Duration = Duration::from_secs(2);

/// The locks of an open file that outlive its handle unless they are given back: a mapping keeps
/// the file open.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// True while it has the lock.
    lock: AtomicBool,
    /// Its byte among `HOLDERS`; 0 is none.
    holder: AtomicU64,
}

impl Held {
    /// Gives them back.
    pub(super) fn release(&self, file: HANDLE) {
        if self.lock.swap(false, Relaxed) {
            unlock_bytes(file, LOCK, 1);
        }
        match self.holder.swap(0, Relaxed) {
            0 => {}
            byte => unlock_bytes(file, byte, 1),
        }
    }
}

/// Takes the lock on the open file, which has none, without waiting; false if another holder
/// excludes it. To change the kind of a lock, [`unlock`] first. Dropping the file gives it back.
pub fn try_lock(fd: &Fd, lock: Lock) -> io::Result<bool> {
    let taken = lock_bytes(fd.as_raw_handle(), LOCK, 1, lock)?;
    if taken {
        fd.held.lock.store(true, Relaxed);
    }
    Ok(taken)
}

/// Gives the lock of [`try_lock`] back.
pub fn unlock(fd: &Fd) {
    fd.held.lock.store(false, Relaxed);
    unlock_bytes(fd.as_raw_handle(), LOCK, 1);
}

/// Shows the lock that this open file has to [`is_held`], until the file is dropped. For locks that
/// are kept.
///
/// # Errors
/// `TimedOut` if other processes never stop looking.
pub fn hold(fd: &Fd) -> io::Result<()> {
    if fd.held.holder.load(Relaxed) != 0 {
        return Ok(());
    }
    let deadline = Instant::now() + LOOKS;
    loop {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let byte = HOLDERS + u64::from(u32::from_ne_bytes(random));
        if lock_bytes(fd.as_raw_handle(), byte, 1, Lock::Exclusive)? {
            fd.held.holder.store(byte, Relaxed);
            return Ok(());
        }
        // Another process looks, or has the same byte.
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::yield_now();
    }
}

/// True if another open file has the lock and shows it by [`hold`]. Ignores processes that take the
/// lock for an instant, and those that look.
pub fn is_held(fd: &Fd) -> io::Result<bool> {
    let file = fd.as_raw_handle();
    let free = lock_bytes(file, HOLDERS, HOLDER_COUNT, Lock::Shared)?;
    if free {
        unlock_bytes(file, HOLDERS, HOLDER_COUNT);
    }
    Ok(!free)
}

/// Takes the writers' lock on the open file, which is independent of [`try_lock`]; false if it is
/// taken.
pub fn try_write_lock(fd: &Fd) -> io::Result<bool> {
    lock_bytes(fd.as_raw_handle(), WRITER, 1, Lock::Exclusive)
}

/// Gives the writers' lock back.
pub fn write_unlock(fd: &Fd) {
    unlock_bytes(fd.as_raw_handle(), WRITER, 1);
}

/// Takes one of 2^32 further locks on the open file; false if it is taken. It ends with
/// [`unlock_number`], or when the file is neither open nor mapped any more.
pub fn try_lock_number(fd: &Fd, number: u32) -> io::Result<bool> {
    lock_bytes(fd.as_raw_handle(), NUMBERED + u64::from(number), 1, Lock::Exclusive)
}

/// Gives a numbered lock back.
pub fn unlock_number(fd: &Fd, number: u32) {
    unlock_bytes(fd.as_raw_handle(), NUMBERED + u64::from(number), 1);
}

/// True if another open file has the numbered lock. For that it is taken for an instant, shared, so
/// that two processes that ask do not take each other for its holder.
pub fn is_number_locked(fd: &Fd, number: u32) -> io::Result<bool> {
    let (file, byte) = (fd.as_raw_handle(), NUMBERED + u64::from(number));
    let free = lock_bytes(file, byte, 1, Lock::Shared)?;
    if free {
        unlock_bytes(file, byte, 1);
    }
    Ok(!free)
}

/// None: the system does not report the holders of a lock.
pub fn holders(_id: FileId) -> Option<Vec<u32>> {
    None
}

/// False: the system does not tell.
pub fn is_stopped(_pid: u32) -> bool {
    false
}

fn lock_bytes(file: HANDLE, start: u64, count: u64, lock: Lock) -> io::Result<bool> {
    let flags = match lock {
        Lock::Shared => LOCKFILE_FAIL_IMMEDIATELY,
        Lock::Exclusive => LOCKFILE_FAIL_IMMEDIATELY | LOCKFILE_EXCLUSIVE_LOCK,
    };
    let mut at = place(start);
    // SAFETY: the file is open for the call and not overlapped: when this returns nothing is going
    // on in `at`.
    if unsafe { LockFileEx(file, flags, 0, count as u32, (count >> 32) as u32, &mut at) } != 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(|code| code as u32) {
        Some(ERROR_LOCK_VIOLATION | ERROR_IO_PENDING) => Ok(false),
        _ => Err(error),
    }
}

fn unlock_bytes(file: HANDLE, start: u64, count: u64) {
    let mut at = place(start);
    // SAFETY: as in `lock_bytes`.
    unsafe { UnlockFileEx(file, 0, count as u32, (count >> 32) as u32, &mut at) };
}

fn place(byte: u64) -> OVERLAPPED {
    let offset = OVERLAPPED_0_0 { Offset: byte as u32, OffsetHigh: (byte >> 32) as u32 };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: offset }, ..OVERLAPPED::default() }
}
