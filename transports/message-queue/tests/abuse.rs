//! A process of the same user that writes anything into the queue's memory.
#![cfg(any(target_os = "linux", windows))]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Endpoint as _, Error, ErrorKind, LeaseId, Name, Operation, Queue, Result, Settle,
    Transport, Waiter,
};
use anyipc_message_queue::MessageQueue;
use anyipc_os::{Dir, Fd, Scope};
use common::{create, failed, name, options, try_lease, try_recv};

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
const CALLS: [&str; 11] = [
    "try_send",
    "try_recv",
    "arm for messages",
    "arm for room",
    "is_ready",
    "status",
    "disarm",
    "purge",
    "try_lease",
    "settle",
    "try_send_after",
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
        timed(|| try_lease(queue, Duration::from_micros(random(seed) % 3000)).map(drop)),
        timed(|| {
            let id = LeaseId { place: random(seed) as u32 % 40, number: random(seed) % 1000 };
            let time = Duration::from_micros(random(seed) % 3000);
            let all = [Settle::Ack, Settle::Retry(time), Settle::Extend(time), Settle::Detach];
            queue.leases()?.settle(id, all[random(seed) as usize % all.len()])
        }),
        timed(|| {
            queue.try_send_after(Duration::from_micros(random(seed) % 3000), priority, &bytes)
        }),
    ]
}

/// Bytes of the file before the queue's memory.
const HEADER: u64 = 4096;

/// The file of a queue, as a process that scribbles has it. The geometry is left out: it is read
/// once, when the queue is opened.
struct Memory(Fd);

impl Memory {
    fn of(name: &Name) -> Self {
        let dir = Dir::open(Scope::User, Operation::Open).unwrap();
        Self(dir.open_file(&format!("mq+{}.queue", name.os_name())).unwrap())
    }

    /// Bytes of the queue's memory.
    fn len(&self) -> u64 {
        self.0.status().unwrap().size - HEADER
    }

    fn fill(&self, at: u64, bytes: &[u8]) {
        self.0.write_all_at(bytes, HEADER + at).unwrap();
    }

    fn write(&self, at: u64, word: u32) {
        self.fill(at, &word.to_ne_bytes());
    }
}

#[test]
fn no_call_is_long_in_any_memory() {
    let name = name("scribbled-all");
    let owner = create(&name, "capacity=4KiB&priorities=3");
    let memory = Memory::of(&name);
    let len = memory.len();
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
                1 => (1 + random(&mut seed) as u32 % 2) | 1 << 9,
                2 => random(&mut seed) as u32 % 40,
                _ => (random(&mut seed) as u32).wrapping_mul(3),
            };
            memory.write(at, value);
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
        memory.write(lock, 0);
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
    let memory = Memory::of(&name);
    let len = memory.len();
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
                        try_lease(&mut *queue, Duration::from_millis(1)).map(drop),
                        queue.try_send_after(Duration::from_millis(1), 1, &bytes),
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
            memory.write(at, value);
        }
        stop.store(true, Relaxed);
    });
    // However damaged, here by an impossible position, a purge makes it work again.
    memory.write(TAKEN, u32::MAX);
    let mut queue = owner.queue().unwrap();
    queue.purge().unwrap();
    queue.try_send(2, b"as new").unwrap();
    assert_eq!(try_recv(&mut *queue).unwrap(), (2, b"as new".to_vec()));
    // Opening memory that was overwritten in full is an error.
    memory.fill(0, &vec![0xa5; usize::try_from(len).unwrap()]);
    assert_eq!(failed(MessageQueue.open(&name, &options(""))).kind(), ErrorKind::Corrupt);
    drop(queue);
    MessageQueue.close(owner).unwrap();
    assert!(MessageQueue.inspect(&name, &options("")).unwrap().is_empty());
}

/// The errors that a call may return while another process writes into its memory.
fn tolerable(error: &Error) {
    let kinds = [
        ErrorKind::WouldBlock,
        ErrorKind::Corrupt,
        ErrorKind::Busy,
        ErrorKind::OutOfMemory,
        ErrorKind::NotFound,
    ];
    assert!(kinds.contains(&error.kind()), "{error}");
}

/// A sender that finds no room in damaged memory must not sleep, as no peer would wake it. A
/// receiver must sleep if the memory shows messages that do not exist.
#[test]
fn no_call_waits_in_vain_for_what_damaged_memory_shows() {
    for priorities in [1, 3] {
        let name = name(&format!("promised-{priorities}"));
        let owner = create(&name, &format!("capacity=4KiB&priorities={priorities}"));
        let memory = Memory::of(&name);
        let mut queue = owner.queue().unwrap();
        // Once around, so that the sender has to look at `RETURNED`.
        while queue.try_send(0, b"a").is_ok() {}
        assert_eq!(common::drain(&mut queue).len(), 32);
        memory.write(RETURNED, u32::MAX);
        queue.try_send(0, b"b").unwrap();
        assert_eq!(try_recv(&mut *queue).unwrap(), (0, b"b".to_vec()));
        memory.write(TAKEN, u32::MAX);
        assert_eq!(failed(queue.try_send(0, b"c")).kind(), ErrorKind::Corrupt);
        assert!(matches!(queue.room().arm(Waiter::Thread), Err(_) | Ok(Armed::Ready)));
        queue.purge().unwrap();
        memory.write(NONEMPTY, 1);
        let _ = try_recv(&mut *queue);
        assert_ne!(queue.messages().arm(Waiter::Thread).unwrap(), Armed::Ready);
        queue.messages().disarm();
    }
}

#[test]
fn a_persistent_queue_that_was_overwritten_is_told_and_can_be_removed() {
    let name = name("overwritten");
    drop(create(&name, "persist=true"));
    // An impossible position.
    Memory::of(&name).write(TAKEN, u32::MAX);
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
    // The number of an older layout, and of a newer one.
    for layout in [4u32, 6] {
        Memory::of(&name).write(0, layout);
        let adopted = MessageQueue.create(&name, &options("persist=true&create=open_or_create"));
        for error in [failed(MessageQueue.open(&name, &options(""))), failed(adopted)] {
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            let said = error.to_string();
            assert!(
                said.contains(&format!("layout {layout}")) && said.contains("layout 5"),
                "{said}"
            );
        }
    }
    MessageQueue.remove(&name, &options(""), false).unwrap();
    drop(create(&name, "persist=true"));
    MessageQueue.remove(&name, &options(""), false).unwrap();
}
