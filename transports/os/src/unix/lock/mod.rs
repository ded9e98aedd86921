//! Locks of an open file. Record locks of one byte each are alike on Linux and macOS; the lock of
//! [`try_lock`] is a `flock` on Linux, where `/proc/locks` shows its holders, and one more byte on
//! macOS. There a `flock` and a record lock exclude each other, even of one open file, so no file
//! of ours ever has a `flock`. `--cfg anyipc_as_macos` chooses the byte on Linux.

#[cfg(any(target_os = "macos", anyipc_as_macos))]
mod byte;
#[cfg(not(any(target_os = "macos", anyipc_as_macos)))]
mod flock;

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::Fd;

#[cfg(any(target_os = "macos", anyipc_as_macos))]
pub use byte::{holders, is_stopped, try_lock, unlock};
#[cfg(not(any(target_os = "macos", anyipc_as_macos)))]
pub use flock::{holders, is_stopped, try_lock, unlock};

/// The byte that writers of a snapshot lock.
const WRITER: i64 = 0;
/// The byte that each holder locks for reading: unlike the lock of [`try_lock`], it is never taken
/// for an instant only, and it can be tested without taking it. A process that takes the lock to
/// check the file or to remove it does not lock this byte.
const HELD: i64 = 1;
/// Where the locks of [`try_lock_number`] begin: far from the others, and from any content.
const NUMBERED: i64 = 1 << 40;

/// A call about a record lock.
#[derive(Debug, Clone, Copy)]
enum Change {
    Share,
    Take,
    Release,
}

/// Shows the lock that this open file has to [`is_held`], until the file is closed. For locks that
/// are kept.
pub fn hold(fd: &Fd) -> io::Result<()> {
    change(fd, Change::Share, HELD).map(drop)
}

/// True if another open file has the lock and shows it by [`hold`]. Changes nothing, and ignores
/// processes that take the lock for an instant.
pub fn is_held(fd: &Fd) -> io::Result<bool> {
    is_locked(fd, HELD)
}

/// Takes the writers' lock on the open file, which is independent of [`try_lock`]; false if another
/// open file has it. Two threads sharing one descriptor share the lock too.
pub fn try_write_lock(fd: &Fd) -> io::Result<bool> {
    change(fd, Change::Take, WRITER)
}

/// Gives the writers' lock back.
pub fn write_unlock(fd: &Fd) {
    let _ = change(fd, Change::Release, WRITER);
}

/// Takes one of 2^32 further locks on the open file; false if another open file has it. All threads
/// that share the descriptor share the lock; it ends with [`unlock_number`], with the open file,
/// and with the process.
pub fn try_lock_number(fd: &Fd, number: u32) -> io::Result<bool> {
    change(fd, Change::Take, NUMBERED + i64::from(number))
}

/// Gives a numbered lock back.
pub fn unlock_number(fd: &Fd, number: u32) {
    let _ = change(fd, Change::Release, NUMBERED + i64::from(number));
}

/// True if another open file has the numbered lock. Changes nothing.
pub fn is_number_locked(fd: &Fd, number: u32) -> io::Result<bool> {
    is_locked(fd, NUMBERED + i64::from(number))
}

// `fcntl` of 32-bit glibc takes 32-bit offsets, and the locks lie beyond.
#[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
use libc::flock as Record;
#[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
use libc::flock64 as Record;

/// Changes the lock of the open file on one byte; false if another open file's lock excludes it.
fn change(fd: &Fd, change: Change, byte: i64) -> io::Result<bool> {
    match record_lock(fd, libc::F_OFD_SETLK, change, byte) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// True if another open file has a lock on the byte.
fn is_locked(fd: &Fd, byte: i64) -> io::Result<bool> {
    let met = record_lock(fd, libc::F_OFD_GETLK, Change::Take, byte)?;
    Ok(met.l_type != libc::F_UNLCK as libc::c_short)
}

/// One call about a lock of one byte, owned by the open file. The record comes back as the kernel
/// left it.
fn record_lock(fd: &Fd, command: i32, change: Change, byte: i64) -> io::Result<Record> {
    let kind = match change {
        Change::Share => libc::F_RDLCK,
        Change::Take => libc::F_WRLCK,
        Change::Release => libc::F_UNLCK,
    };
    // `l_pid` must be 0 for a lock of the open file.
    let mut lock = Record {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for the call, and `lock` is a valid structure that `GETLK` may
    // change.
    #[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
    let code = unsafe { libc::syscall(libc::SYS_fcntl64, fd, command, &raw mut lock) };
    // SAFETY: as above.
    #[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
    let code = unsafe { libc::fcntl(fd, command, &raw mut lock) };
    if code == 0 { Ok(lock) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dir, Lock, Scope};
    use anyipc_core::Operation;

    /// A file that is opened several times, and has no name any more.
    fn opened<const N: usize>(what: &str) -> [Fd; N] {
        let dir = Dir::open(Scope::User, Operation::Create).unwrap();
        let name = format!("lock-{what}-{}", std::process::id());
        dir.create_file(&name).unwrap();
        let files = std::array::from_fn(|_| dir.open_file(&name).unwrap());
        dir.unlink(&name).unwrap();
        files
    }

    #[test]
    fn an_unlocked_file_is_free_at_once_and_can_be_locked_in_the_other_way() {
        let [a, b] = opened("kinds");
        assert!(try_lock(&a, Lock::Shared).unwrap() && try_lock(&b, Lock::Shared).unwrap());
        unlock(&a);
        assert!(!try_lock(&a, Lock::Exclusive).unwrap(), "the other has its own");
        unlock(&b);
        assert!(try_lock(&a, Lock::Exclusive).unwrap() && !try_lock(&b, Lock::Shared).unwrap());
        drop(a);
        assert!(try_lock(&b, Lock::Exclusive).unwrap(), "closing gives it back");
    }

    /// Locks of one open file exclude no lock of another kind, its own or another's.
    #[test]
    fn the_kinds_of_locks_know_nothing_of_each_other() {
        let [a, b, c] = opened("independent");
        assert!(try_lock(&a, Lock::Exclusive).unwrap());
        assert!(!is_held(&b).unwrap(), "it is taken for an instant");
        for file in [&a, &b] {
            assert!(try_write_lock(file).unwrap());
            assert!(!try_write_lock(&c).unwrap());
            write_unlock(file);
        }
        for number in [0, 1, u32::MAX] {
            assert!(try_lock_number(&a, number).unwrap() && is_number_locked(&b, number).unwrap());
            assert!(!try_lock_number(&b, number).unwrap());
        }
        unlock(&a);
        assert!(try_lock(&b, Lock::Shared).unwrap() && try_lock(&c, Lock::Shared).unwrap());
        for file in [&b, &c] {
            hold(file).unwrap();
        }
        assert!(is_held(&a).unwrap() && is_held(&b).unwrap());
        drop(c);
        assert!(is_held(&a).unwrap() && !is_held(&b).unwrap(), "it does not see its own");
        assert!(is_number_locked(&b, 1).unwrap());
        unlock_number(&a, 1);
        assert!(!is_number_locked(&b, 1).unwrap() && is_number_locked(&b, 0).unwrap());
    }
}
