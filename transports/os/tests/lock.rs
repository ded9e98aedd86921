//! The locks on bytes of a file.
#![cfg(any(target_os = "linux", windows))]

use anyipc_core::Operation;
use anyipc_os::{
    Dir, Lock, Scope, hold, is_held, is_number_locked, try_lock, try_lock_number, try_write_lock,
    unlock, unlock_number, write_unlock,
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

/// A process that looks, or has the lock for an instant, is no holder; and no look keeps a holder
/// from its lock.
#[test]
fn only_a_holder_is_seen() {
    const ROUNDS: u32 = 2000;
    let dir = Dir::open(Scope::User, Operation::Create).unwrap();
    let name = format!("held-{}", std::process::id());
    let ours = dir.create_file(&name).unwrap();
    let (other, third) = (dir.open_file(&name).unwrap(), dir.open_file(&name).unwrap());
    assert!(try_lock(&other, Lock::Exclusive).unwrap());
    assert!(!is_held(&third).unwrap(), "a lock for an instant");
    assert!(!try_lock(&ours, Lock::Shared).unwrap());
    unlock(&other);
    // Several processes look all the time, at nothing but the lock of an instant.
    std::thread::scope(|scope| {
        let looks: Vec<_> = (0..3)
            .map(|_| {
                let file = dir.open_file(&name).unwrap();
                scope.spawn(move || (0..ROUNDS).filter(|_| is_held(&file).unwrap()).count())
            })
            .collect();
        while !looks.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert!(try_lock(&ours, Lock::Exclusive).unwrap(), "looking took the lock");
            unlock(&ours);
        }
        assert!(looks.into_iter().all(|look| look.join().unwrap() == 0), "a look was seen");
    });
    // Holders come and go under the eyes of others.
    std::thread::scope(|scope| {
        let looks = [(); 2].map(|()| {
            let file = dir.open_file(&name).unwrap();
            scope.spawn(move || (0..ROUNDS).filter(|_| is_held(&file).unwrap()).count())
        });
        while !looks.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let file = dir.open_file(&name).unwrap();
            assert!(try_lock(&file, Lock::Shared).unwrap());
            hold(&file).unwrap();
            assert!(is_held(&third).unwrap());
        }
    });
    assert!(!is_held(&third).unwrap());
    dir.unlink(&name).unwrap();
}
