//! A forked child holds nothing of its parent's queues.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyipc_core::{Endpoint as _, ErrorKind, Result, Settle, Transport, Waiter};
use anyipc_message_queue::MessageQueue;
use common::{Way, create, failed, name, open, options, queue, recv, try_lease, try_recv};

/// Forks; the child runs `play` and exits without clean-up. True if `play` returned true.
fn forked(play: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child uses nothing that another thread may hold at this moment except the
    // allocator, which the C library keeps usable, and ends by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork"),
        0 => {
            let good = play();
            // SAFETY: `_exit` has no preconditions.
            unsafe { libc::_exit(i32::from(!good)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is valid for the call.
            let ended = unsafe { libc::waitpid(child, &mut status, 0) };
            (ended, status) == (child, 0)
        }
    }
}

#[test]
fn a_forked_child_holds_nothing_and_is_told() {
    let (owner, mut handle) = queue("forked", "");
    let name = common::name("forked-opener");
    let other = create(&name, "");
    let opener = open(&name);
    handle.try_send(0, b"the parent's").unwrap();
    assert!(failed(try_recv(&mut *opener.queue().unwrap())).is_would_block());
    let (_, leased) = try_lease(&mut *handle, Duration::MAX).unwrap();
    let (leases, parents) = (handle.leases().unwrap(), handle.leases().unwrap());
    handle.messages().arm(Waiter::Task(std::task::Waker::noop())).unwrap();
    let good = forked(|| {
        let is_forked =
            |result: Result<()>| result.is_err_and(|error| error.kind() == ErrorKind::Forked);
        let refused = is_forked(handle.try_send(0, b"x"))
            && is_forked(handle.try_recv_with(&mut |_, _| {}))
            && is_forked(handle.status().map(drop))
            && is_forked(handle.purge().map(drop))
            && is_forked(handle.try_send_after(Duration::ZERO, 0, b"x"))
            && is_forked(try_lease(&mut *handle, Duration::ZERO).map(drop))
            && is_forked(handle.leases().map(drop))
            && is_forked(leases.settle(leased.id, Settle::Ack))
            && is_forked(handle.room().arm(Waiter::Thread).map(drop))
            && is_forked(owner.queue().map(drop));
        handle.messages().park(Duration::from_secs(100));
        handle.messages().disarm();
        drop((handle, leases, owner, opener, other));
        refused
    });
    // What the child inherited and dropped is still the parent's.
    parents.settle(leased.id, Settle::Ack).unwrap();
    assert!(good, "a call of the child was not `Forked`, or the child crashed");
}

/// A thread of the parent that ends leases does not exist in the child, nor leaves it a mutex.
#[test]
fn a_child_is_told_while_a_thread_settles() {
    let (_owner, mut handle) = queue("fork-settle", "");
    handle.try_send(0, b"job").unwrap();
    let (_, leased) = try_lease(&mut *handle, Duration::MAX).unwrap();
    let (leases, is_over) = (handle.leases().unwrap(), AtomicBool::new(false));
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                leases.settle(leased.id, Settle::Extend(Duration::MAX)).unwrap();
            }
        });
        let told = (0..100).all(|_| {
            forked(|| {
                // SAFETY: no preconditions. Ends a child that hangs.
                unsafe { libc::alarm(5) };
                let settled = leases.settle(leased.id, Settle::Ack);
                settled.is_err_and(|error| error.kind() == ErrorKind::Forked)
            })
        });
        is_over.store(true, Relaxed);
        told
    });
    assert!(told, "a child hung, or was not told");
}

#[test]
fn a_fork_changes_nothing_for_the_parent() {
    let name = name("fork-parent");
    let owner = create(&name, "");
    let mut handle = owner.queue().unwrap();
    handle.try_send(0, b"one").unwrap();
    let mut other = owner.queue().unwrap();
    assert!(forked(|| {
        drop(other.try_send(0, b"x"));
        true
    }));
    other.try_send(0, b"two").unwrap();
    assert_eq!(recv(&mut handle, Way::Task).unwrap().1, b"one");
    assert_eq!(recv(&mut handle, Way::Thread).unwrap().1, b"two");
    drop((handle, other));
    MessageQueue.close(owner).unwrap();
    assert!(MessageQueue.inspect(&name, &options("")).unwrap().is_empty());
}
