use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::unix::flock::{self, flock_now};
use crate::{Fd, FileId, Lock};

/// The byte that writers of a snapshot lock.
const WRITER: i64 = 0;
/// The byte that a holder locks for reading: unlike a `flock`, it can be tested without taking it.
/// A process that takes the `flock` for an instant, to check the file or to remove it, does not
/// lock this byte.
const HELD: i64 = 1;

/// Takes the lock on the open file, which has none, without waiting; false if another holder
/// excludes it. To change the kind of a lock, [`unlock`] first. Closing the file gives it back.
pub fn try_lock(fd: &Fd, lock: Lock) -> io::Result<bool> {
    flock_now(fd, lock)
}

/// Gives the lock of [`try_lock`] back.
pub fn unlock(fd: &Fd) {
    flock::unlock(fd);
}

/// Shows the lock that this open file has to [`is_held`], until the file is closed. For locks that
/// are kept.
pub fn hold(fd: &Fd) -> io::Result<()> {
    record_lock(fd, libc::F_OFD_SETLK, libc::F_RDLCK, HELD).map(drop)
}

/// True if another open file has the lock and shows it by [`hold`]. Changes nothing, and ignores
/// processes that take the lock for an instant.
pub fn is_held(fd: &Fd) -> io::Result<bool> {
    Ok(record_lock(fd, libc::F_OFD_GETLK, libc::F_WRLCK, HELD)? != libc::F_UNLCK)
}

/// Takes the writers' lock on the open file, which is independent of [`try_lock`]; false if another
/// open file has it. Two threads sharing one descriptor share the lock too.
pub fn try_write_lock(fd: &Fd) -> io::Result<bool> {
    taken(record_lock(fd, libc::F_OFD_SETLK, libc::F_WRLCK, WRITER))
}

fn taken(locked: io::Result<i32>) -> io::Result<bool> {
    match locked {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives the writers' lock back.
pub fn write_unlock(fd: &Fd) {
    let _ = record_lock(fd, libc::F_OFD_SETLK, libc::F_UNLCK, WRITER);
}

/// Where the locks of [`try_lock_number`] begin: far from the others, and from any content.
const NUMBERED: i64 = 1 << 40;

/// Takes one of 2^32 further locks on the open file; false if another open file has it. All threads
/// that share the descriptor share the lock; it ends with [`unlock_number`], with the open file,
/// and with the process.
pub fn try_lock_number(fd: &Fd, number: u32) -> io::Result<bool> {
    taken(record_lock(fd, libc::F_OFD_SETLK, libc::F_WRLCK, NUMBERED + i64::from(number)))
}

/// Gives a numbered lock back.
pub fn unlock_number(fd: &Fd, number: u32) {
    let _ = record_lock(fd, libc::F_OFD_SETLK, libc::F_UNLCK, NUMBERED + i64::from(number));
}

/// True if another open file has the numbered lock. Changes nothing.
pub fn is_number_locked(fd: &Fd, number: u32) -> io::Result<bool> {
    let kind = record_lock(fd, libc::F_OFD_GETLK, libc::F_WRLCK, NUMBERED + i64::from(number))?;
    Ok(kind != libc::F_UNLCK)
}

// `fcntl` of 32-bit glibc takes 32-bit offsets, and the locks lie beyond.
#[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
use libc::flock as Record;
#[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
use libc::flock64 as Record;

/// One call about a lock of one byte, owned by the open file. The kind comes back as the kernel
/// left it.
fn record_lock(fd: &Fd, command: i32, kind: i32, byte: i64) -> io::Result<i32> {
    // `l_pid` must be 0 for a lock of the open file.
    let mut lock = Record {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
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
    if code == 0 { Ok(lock.l_type.into()) } else { Err(io::Error::last_os_error()) }
}

/// The processes that took a `flock` on the file and still run, as far as `/proc/locks` shows them:
/// none of another PID namespace. For display only.
pub fn holders(id: FileId) -> Vec<u32> {
    let file = format!(
        "{:02x}:{:02x}:{}",
        rustix::fs::major(id.device),
        rustix::fs::minor(id.device),
        id.inode
    );
    let pid = |line: &str| {
        // "1: FLOCK  ADVISORY  READ 1234 00:1a:5678 0 EOF"; waiters have "->" as the second word.
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_lock = words.next() == Some("FLOCK");
        let pid = words.nth(2)?.parse().ok().filter(|pid| *pid != 0);
        if is_lock && words.next() == Some(file.as_str()) { pid } else { None }
    };
    let mut pids: Vec<u32> = std::fs::read_to_string("/proc/locks")
        .unwrap_or_default()
        .lines()
        .filter_map(pid)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}
