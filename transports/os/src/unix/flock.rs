use std::io;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Fd, Lock};

/// Takes the `flock`, without waiting; false if another holder excludes it.
pub(super) fn flock_now(fd: &Fd, lock: Lock) -> io::Result<bool> {
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
