use std::io;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Fd, Lock};

/// Takes the `flock`, without waiting; false if another holder excludes it. The open file
/// has none.
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

/// Gives the `flock` back.
pub(super) fn unlock(fd: &Fd) {
    let _ = flock(fd, FlockOperation::Unlock);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dir, Scope};
    use anyipc_core::Operation;

    #[test]
    fn an_unlocked_file_is_free_at_once_and_can_be_locked_in_the_other_way() {
        let dir = Dir::open(Scope::User, Operation::Create).unwrap();
        let name = format!("flock-{}", std::process::id());
        let (a, b) = (dir.create_file(&name).unwrap(), dir.open_file(&name).unwrap());
        dir.unlink(&name).unwrap();
        assert!(flock_now(&a, Lock::Shared).unwrap() && flock_now(&b, Lock::Shared).unwrap());
        unlock(&a);
        assert!(!flock_now(&a, Lock::Exclusive).unwrap(), "the other has its own");
        unlock(&b);
        assert!(flock_now(&a, Lock::Exclusive).unwrap() && !flock_now(&b, Lock::Shared).unwrap());
    }
}
