//! Forks, and a process of the same user that writes anything into the queue's memory.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Endpoint as _, Error, ErrorKind, Name, Operation, Queue, Result, Transport, Waiter,
};
use anyipc_message_queue::MessageQueue;
use anyipc_os::{Dir, Scope};
use common::{Way, create, failed, name, open, options, queue, recv, try_recv};

/// Offsets of the locks, of the positions, and of the bits of the lists that have messages.
const LOCKS: [u64; 2] = [128, 256];
const TAKEN: u64 = 136;
const RETURNED: u64 = 268;
const NONEMPTY: u64 = 276;

/// Pseudo-random numbers below a bound, the same in each run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// The calls of a queue, and the longest time that each took.
const CALLS: [&str; 8] = [
    "try_send",
    "try_recv",
    "arm for messages",
    "arm for room",
    "is_ready",
    "status",
    "disarm",
    "purge",
];
/// The longest time that a call may take, a purge's timeout of a second included: far more than any
/// call needs.
const BOUND: Duration = Duration::from_secs(5);

fn timed(call: impl FnOnce() -> Result<()>) -> Duration {
    let start = Instant::now();
    if let Err(error) = call() {
        tolerable(&error);
    }
    start.elapsed()
}

/// Makes each of the calls once.
fn abused(queue: &mut dyn Queue, seed: &mut u64) -> [Duration; CALLS.len()] {
    let bytes = vec![7; random(seed) as usize % 2000];
    let priority = (random(seed) % 3) as u32;
    [
        timed(|| queue.try_send(priority, &bytes)),
        timed(|| try_recv(queue).map(drop)),
        timed(|| queue.messages().arm(Waiter::Task(std::task::Waker::noop())).map(drop)),
        timed(|| queue.room().arm(Waiter::Thread).map(drop)),
        timed(|| queue.is_ready().map(drop)),
        timed(|| queue.status().map(drop)),
        timed(|| {
            queue.room().disarm();
            Ok(())
        }),
        if random(seed).is_multiple_of(50) {
            timed(|| queue.purge().map(drop))
        } else {
            Duration::ZERO
        },
    ]
}

/// The file of a queue, and the memory in it, behind the file's own header. The geometry is left
/// out: it is read once, when the queue is opened.
fn memory_of(name: &Name) -> (File, u64, u64) {
    let dir = Dir::open(Scope::User, Operation::Open).unwrap();
    let path = dir.path().join(format!("mq+{}.queue", name.os_name()));
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (start, len) = (4096, file.metadata().unwrap().len() - 4096);
    (file, start, len)
}

#[test]
fn no_call_is_long_in_any_memory() {
    let name = name("scribbled-all");
    let owner = create(&name, "capacity=4KiB&priorities=3");
    let (file, start, len) = memory_of(&name);
    let stop = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        let users: Vec<_> = (0..2u64)
            .map(|user| {
                let (mut queue, stop) = (owner.queue().unwrap(), &stop);
                scope.spawn(move || {
                    let (mut seed, mut longest) = (user, [Duration::ZERO; CALLS.len()]);
                    while !stop.load(Relaxed) {
                        let took = abused(&mut *queue, &mut seed);
                        longest
                            .iter_mut()
                            .zip(took)
                            .for_each(|(longest, took)| *longest = took.max(*longest));
                    }
                    longest
                })
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(2);
        let mut seed = 7;
        while Instant::now() < end {
            // Locks, reservation and positions as often as all the rest, and owner ids of live
            // handles.
            let at = match random(&mut seed) % 4 {
                0 => LOCKS[(random(&mut seed) % 2) as usize],
                1 => (64 + random(&mut seed) % 900) & !3,
                2 => [64, 72, 76, TAKEN, RETURNED][(random(&mut seed) % 5) as usize],
                _ => (64 + random(&mut seed) % (len - 68)) & !3,
            };
            let value = match random(&mut seed) % 4 {
                0 => 0,
                1 => (1 + random(&mut seed) as u32 % 2) | 1 << 16,
                2 => random(&mut seed) as u32 % 40,
                _ => (random(&mut seed) as u32).wrapping_mul(3),
            };
            file.write_at(&value.to_ne_bytes(), start + at).unwrap();
        }
        stop.store(true, Relaxed);
        users
            .into_iter()
            .flat_map(|user| CALLS.into_iter().zip(user.join().unwrap()))
            .collect::<Vec<_>>()
    });
    println!("{longest:?}");
    for (call, took) in longest {
        assert!(took < BOUND, "{call} took {took:?}");
    }
    // Locks without an owner are set free by hand; then the queue works again.
    for lock in LOCKS {
        file.write_at(&[0; 4], start + lock).unwrap();
    }
    let mut queue = owner.queue().unwrap();
    queue.purge().unwrap();
    queue.try_send(2, b"as new").unwrap();
    assert_eq!(try_recv(&mut *queue).unwrap(), (2, b"as new".to_vec()));
}

#[test]
fn no_call_panics_or_hangs_in_any_memory() {
    let name = name("scribbled");
    let owner = create(&name, "capacity=4KiB&priorities=3");
    let (file, start, len) = memory_of(&name);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for user in 0..2u64 {
            let (owner, stop) = (&owner, &stop);
            scope.spawn(move || {
                let mut queue = loop {
                    match owner.queue() {
                        Ok(queue) => break queue,
                        Err(error) => tolerable(&error),
                    }
                };
                let mut seed = user;
                while !stop.load(Relaxed) {
                    let begun = Instant::now();
                    let bytes = vec![7; random(&mut seed) as usize % 2000];
                    let results = [
                        queue.try_send((random(&mut seed) % 3) as u32, &bytes),
                        try_recv(&mut *queue).map(drop),
                        queue.messages().arm(Waiter::Task(std::task::Waker::noop())).map(drop),
                        queue.room().arm(Waiter::Thread).map(drop),
                        queue.status().map(drop),
                    ];
                    results.into_iter().filter_map(Result::err).for_each(|error| tolerable(&error));
                    queue.room().disarm();
                    if random(&mut seed).is_multiple_of(50)
                        && let Err(error) = queue.purge()
                    {
                        tolerable(&error);
                    }
                    assert!(
                        begun.elapsed() < Duration::from_secs(30),
                        "a call took {:?}",
                        begun.elapsed()
                    );
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(2);
        let mut seed = 99;
        while Instant::now() < end {
            // Valid and invalid words, everywhere, but mostly in the control words. The locks are
            // left out: an owner that keeps one stops the others legitimately.
            let all = random(&mut seed).is_multiple_of(4);
            let at = (64 + random(&mut seed) % if all { len - 68 } else { 900 }) & !3;
            if LOCKS.contains(&at) {
                continue;
            }
            let value = if all { random(&mut seed) as u32 } else { random(&mut seed) as u32 % 40 };
            file.write_at(&value.to_ne_bytes(), start + at).unwrap();
        }
        stop.store(true, Relaxed);
    });
    // However damaged, here by an impossible position, a purge makes it work again.
    file.write_at(&u32::MAX.to_ne_bytes(), start + TAKEN).unwrap();
    let mut queue = owner.queue().unwrap();
    queue.purge().unwrap();
    queue.try_send(2, b"as new").unwrap();
    assert_eq!(try_recv(&mut *queue).unwrap(), (2, b"as new".to_vec()));
    // Opening memory that was overwritten in full is an error.
    file.write_at(&vec![0xa5; usize::try_from(len).unwrap()], start).unwrap();
    assert_eq!(failed(MessageQueue.open(&name, &options(""))).kind(), ErrorKind::Corrupt);
    drop(queue);
    MessageQueue.close(owner).unwrap();
    assert!(MessageQueue.inspect(&name, &options("")).unwrap().is_empty());
}

/// The errors that a call may return while another process writes into its memory.
fn tolerable(error: &Error) {
    let kinds =
        [ErrorKind::WouldBlock, ErrorKind::Corrupt, ErrorKind::Busy, ErrorKind::OutOfMemory];
    assert!(kinds.contains(&error.kind()), "{error}");
}

/// A sender that finds no room in damaged memory must not sleep, as no peer would wake it. A
/// receiver must sleep if the memory shows messages that do not exist.
#[test]
fn no_call_waits_in_vain_for_what_damaged_memory_shows() {
    for priorities in [1, 3] {
        let name = name(&format!("promised-{priorities}"));
        let owner = create(&name, &format!("capacity=4KiB&priorities={priorities}"));
        let dir = Dir::open(Scope::User, Operation::Open).unwrap();
        let file = dir.path().join(format!("mq+{}.queue", name.os_name()));
        let file = OpenOptions::new().write(true).open(file).unwrap();
        let scribble = |at, value: u32| file.write_at(&value.to_ne_bytes(), 4096 + at).unwrap();
        let mut queue = owner.queue().unwrap();
        // Once around, so that the sender has to look at `RETURNED`.
        while queue.try_send(0, b"a").is_ok() {}
        assert_eq!(common::drain(&mut queue).len(), 32);
        scribble(RETURNED, u32::MAX);
        queue.try_send(0, b"b").unwrap();
        assert_eq!(try_recv(&mut *queue).unwrap(), (0, b"b".to_vec()));
        scribble(TAKEN, u32::MAX);
        assert_eq!(failed(queue.try_send(0, b"c")).kind(), ErrorKind::Corrupt);
        assert!(matches!(queue.room().arm(Waiter::Thread), Err(_) | Ok(Armed::Ready)));
        queue.purge().unwrap();
        scribble(NONEMPTY, 1);
        let _ = try_recv(&mut *queue);
        assert_ne!(queue.messages().arm(Waiter::Thread).unwrap(), Armed::Ready);
        queue.messages().disarm();
    }
}

#[test]
fn a_persistent_queue_that_was_overwritten_is_told_and_can_be_removed() {
    let name = name("overwritten");
    drop(create(&name, "persist=true"));
    let file = Dir::open(Scope::User, Operation::Open)
        .unwrap()
        .path()
        .join(format!("mq+{}.queue", name.os_name()));
    let file = OpenOptions::new().write(true).open(file).unwrap();
    // An impossible position.
    file.write_at(&u32::MAX.to_ne_bytes(), 4096 + TAKEN).unwrap();
    let error = failed(MessageQueue.open(&name, &options("")));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("anyipc rm"), "{error}");
    MessageQueue.remove(&name, &options(""), false).unwrap();
    assert!(MessageQueue.inspect(&name, &options("")).unwrap().is_empty());
}

#[test]
fn a_queue_of_another_layout_is_told_and_can_be_removed() {
    let name = name("layout");
    drop(create(&name, "persist=true"));
    let file = Dir::open(Scope::User, Operation::Open)
        .unwrap()
        .path()
        .join(format!("mq+{}.queue", name.os_name()));
    // The number of an older layout, and of a newer one.
    for layout in [3u32, 5] {
        let file = OpenOptions::new().write(true).open(&file).unwrap();
        file.write_at(&layout.to_ne_bytes(), 4096).unwrap();
        drop(file);
        let adopted = MessageQueue.create(&name, &options("persist=true&create=open_or_create"));
        for error in [failed(MessageQueue.open(&name, &options(""))), failed(adopted)] {
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            let said = error.to_string();
            assert!(
                said.contains(&format!("layout {layout}")) && said.contains("layout 4"),
                "{said}"
            );
        }
    }
    MessageQueue.remove(&name, &options(""), false).unwrap();
    drop(create(&name, "persist=true"));
    MessageQueue.remove(&name, &options(""), false).unwrap();
}

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
    handle.messages().arm(Waiter::Task(std::task::Waker::noop())).unwrap();
    let good = forked(|| {
        let is_forked =
            |result: Result<()>| result.is_err_and(|error| error.kind() == ErrorKind::Forked);
        let refused = is_forked(handle.try_send(0, b"x"))
            && is_forked(handle.try_recv_with(&mut |_, _| {}))
            && is_forked(handle.status().map(drop))
            && is_forked(handle.purge().map(drop))
            && is_forked(handle.room().arm(Waiter::Thread).map(drop))
            && is_forked(owner.queue().map(drop));
        handle.messages().park(Duration::from_secs(100));
        handle.messages().disarm();
        drop((handle, owner, opener, other));
        refused
    });
    assert!(good, "a call of the child was not `Forked`, or the child crashed");
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
