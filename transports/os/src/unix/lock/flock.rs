//! Linux: the lock is a `flock`.

use std::io;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Fd, FileId, Lock};

/// Takes the lock on the open file, which has none, without waiting; false if another holder
/// excludes it. To change the kind of a lock, [`unlock`] first. Closing the file gives it back.
pub fn try_lock(fd: &Fd, lock: Lock) -> io::Result<bool> {
    let operation = match lock {
        Lock::Shared => FlockOperation::NonBlockingLockShared,
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    loop {
        match flock(fd, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives the lock of [`try_lock`] back.
pub fn unlock(fd: &Fd) {
    let _ = flock(fd, FlockOperation::Unlock);
}

/// True if the process is stopped, by a signal or a debugger. False if `/proc` does not tell. For
/// display only.
pub fn is_stopped(pid: u32) -> bool {
    // "1234 (name) T …": the name may have blanks and brackets.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        matches!(state, Some('T' | 't'))
    })
}

/// The processes that took a `flock` on the file and still run, those of this PID namespace.
/// `None` without `/proc/locks`. For display only.
pub fn holders(id: FileId) -> Option<Vec<u32>> {
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
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let mut pids: Vec<u32> = locks.lines().filter_map(pid).collect();
    pids.sort_unstable();
    pids.dedup();
    Some(pids)
}
