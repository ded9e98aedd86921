//! The locks on bytes of a file.
#![cfg(target_os = "linux")]

use anyipc_core::Operation;
use anyipc_os::{
    Dir, Scope, is_number_locked, try_lock_number, try_write_lock, unlock_number, write_unlock,
};

/// Their offsets need more than 32 bits on every target.
#[test]
fn a_numbered_lock_is_seen_and_refused_by_another_open_file() {
    let dir = Dir::open(Scope::User, Operation::Create).unwrap();
    let name = format!("numbered-{}", std::process::id());
    let (ours, theirs) = (dir.create_file(&name).unwrap(), dir.open_file(&name).unwrap());
    for number in [0, 1, i32::MAX as u32, u32::MAX] {
        assert!(!is_number_locked(&theirs, number).unwrap());
        assert!(try_lock_number(&ours, number).unwrap());
        assert!(is_number_locked(&theirs, number).unwrap());
        assert!(!try_lock_number(&theirs, number).unwrap());
        // It is no other lock.
        assert!(!is_number_locked(&theirs, number ^ 2).unwrap());
        assert!(try_write_lock(&theirs).unwrap());
        write_unlock(&theirs);
        unlock_number(&ours, number);
        assert!(try_lock_number(&theirs, number).unwrap());
        unlock_number(&theirs, number);
    }
    dir.unlink(&name).unwrap();
}
