//! A process that was stopped while it held a queue's lock, or while it had the next room reserved:
//! the others wait for it no longer than their calls allow.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Endpoint as _, ErrorKind, Name, Settle, Waiter};
use anyipc_os::{Dir, Scope};
use common::{
    Handle, Process, WATCHDOG, Way, create, drain, failed, lease, name, open, recv, role, say,
    send, settle, spawn, try_lease, try_recv,
};

/// Offset of the contents in the file, and in the contents those of the locks, the reservation, the
/// state and the slots.
const CONTENTS: u64 = 4096;
const LOCKS: [u64; 2] = [128, 256];
const RESERVATION: u64 = 72;
const STATE: u64 = 64;
const SLOTS: u64 = 3328;
const SLOT: u64 = 64;

/// The bit of the state that asks for a repair.
const DAMAGED: u32 = 4;

/// Far above what a call takes, far below the timeout of a call that waits.
const AT_ONCE: Duration = Duration::from_millis(10);

/// Runs in the child; in the parent it returns at once.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let endpoint = open(&Name::new(&role[1]).unwrap());
    let mut queue = endpoint.queue().unwrap();
    say("ready");
    match role[0].as_str() {
        "hold" => loop {
            std::thread::park();
        },
        // Waits for room.
        "large" => send(&mut queue, Way::Thread, 0, &[7; 3000]).unwrap(),
        other => panic!("{other}"),
    }
}

fn start(what: &str, name: &Name) -> Process {
    let mut process = spawn(&format!("{what} {name}"));
    assert_eq!(process.hear().unwrap(), "ready");
    process
}

/// The memory of a queue, which any process of the user may write.
struct Bare(File);

impl Bare {
    fn of(name: &Name) -> Self {
        let dir = Dir::open(Scope::User, anyipc_core::Operation::Open).unwrap();
        let path = dir.path().join(format!("mq+{}.queue", name.os_name()));
        Self(OpenOptions::new().read(true).write(true).open(path).unwrap())
    }

    fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact_at(&mut bytes, CONTENTS + at).unwrap();
        bytes
    }

    fn number(&self, at: u64) -> u32 {
        u32::from_ne_bytes(self.read(at))
    }

    fn set(&self, at: u64, value: u32) {
        self.0.write_all_at(&value.to_ne_bytes(), CONTENTS + at).unwrap();
    }

    fn is_reserved(&self) -> bool {
        self.read::<8>(RESERVATION) != [0; 8]
    }

    /// The value of a lock while the process holds it.
    fn owner_id(&self, process: &Process) -> u32 {
        let slots = (0..256).map(|number| (number, SLOTS + u64::from(number) * SLOT));
        let (number, at) =
            slots.into_iter().find(|(_, at)| self.number(*at) == process.pid()).expect("a slot");
        (number + 1) | (self.number(at + 4) & 0x3f_ffff) << 9
    }
}

/// The time below which most calls stay.
fn usual(mut call: impl FnMut()) -> Duration {
    let mut took: Vec<_> = (0..15)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

#[test]
fn no_call_waits_for_a_process_that_was_stopped_in_a_lock() {
    for priorities in [1, 3] {
        for lock in LOCKS {
            let name = name("stopped");
            let owner = create(&name, &format!("priorities={priorities}&capacity=1KiB"));
            let mut queue = owner.queue().unwrap();
            queue.try_send(0, b"there").unwrap();
            let stopped = start("hold", &name);
            let bare = Bare::of(&name);
            bare.set(lock, bare.owner_id(&stopped));

            let mut kinds = Vec::new();
            let took = [
                usual(|| kinds.extend(queue.try_send(0, b"x").err().map(|error| error.kind()))),
                usual(|| kinds.extend(try_recv(&mut *queue).err().map(|error| error.kind()))),
                usual(|| {
                    let _ = queue.is_ready().unwrap();
                }),
                usual(|| {
                    let _ = queue.messages().arm(Waiter::Thread).unwrap();
                }),
                usual(|| {
                    let _ = queue.room().arm(Waiter::Task(std::task::Waker::noop())).unwrap();
                }),
                usual(|| queue.messages().disarm()),
                usual(|| drop(owner.queue().unwrap())),
            ];
            assert!(took.iter().all(|took| *took < AT_ONCE), "{took:?}");
            assert!(kinds.iter().all(|kind| *kind == ErrorKind::WouldBlock), "{kinds:?}");
            let count = usual(|| {
                let _ = queue.status().unwrap();
            });
            assert!(count < Duration::from_millis(200), "{count:?}");
            // No call can succeed before the lock is free: none may be told to try again at once.
            if try_recv(&mut *queue).is_err() {
                assert!(!queue.is_ready().unwrap());
                assert_ne!(queue.messages().arm(Waiter::Thread).unwrap(), Armed::Ready);
                queue.messages().disarm();
            }

            let died = Instant::now();
            stopped.kill();
            drain(&mut queue);
            send(&mut queue, Way::Thread, 0, b"after").unwrap();
            assert_eq!(recv(&mut queue, Way::Task).unwrap().1, b"after");
            assert!(died.elapsed() < Duration::from_secs(1), "{:?}", died.elapsed());
        }
    }
}

/// Each waits for a second at most, not one after another.
#[test]
fn threads_that_end_leases_do_not_wait_for_each_other() {
    const JOBS: usize = 4;
    let name = name("stopped-settle");
    let owner = create(&name, "");
    let mut queue = owner.queue().unwrap();
    let leased: Vec<_> = (0..JOBS)
        .map(|_| {
            queue.try_send(0, b"job").unwrap();
            try_lease(&mut *queue, Duration::MAX).unwrap().1
        })
        .collect();
    let leases = queue.leases().unwrap();
    let stopped = start("hold", &name);
    let bare = Bare::of(&name);
    bare.set(LOCKS[1], bare.owner_id(&stopped));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let ends = leased.iter().map(|job| scope.spawn(|| leases.settle(job.id, Settle::Ack)));
        for end in ends.collect::<Vec<_>>() {
            assert_eq!(failed(end.join().unwrap()).kind(), ErrorKind::Busy);
        }
    });
    let took = start.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    stopped.kill();
    leased.iter().for_each(|job| leases.settle(job.id, Settle::Ack).unwrap());
}

/// After a death the end of a lease repairs the queue, for which it needs the senders' lock as
/// well. It waits for that, too.
#[test]
fn the_end_of_a_lease_waits_for_the_locks_of_a_repair() {
    let name = name("settle-repairs");
    let owner = create(&name, "");
    let mut queue = owner.queue().unwrap();
    queue.try_send(0, b"job").unwrap();
    let (_, leased) = try_lease(&mut *queue, Duration::MAX).unwrap();
    let leases = queue.leases().unwrap();
    let holder = start("hold", &name);
    let bare = Bare::of(&name);
    bare.set(STATE, bare.number(STATE) | DAMAGED);
    bare.set(LOCKS[0], bare.owner_id(&holder));
    std::thread::scope(|scope| {
        let end = scope.spawn(|| leases.settle(leased.id, Settle::Ack));
        std::thread::sleep(Duration::from_millis(100));
        bare.set(LOCKS[0], 0);
        end.join().unwrap().unwrap();
    });
    // It waits for a second at most here as well.
    queue.try_send(0, b"job").unwrap();
    let (_, leased) = try_lease(&mut *queue, Duration::MAX).unwrap();
    bare.set(STATE, bare.number(STATE) | DAMAGED);
    bare.set(LOCKS[0], bare.owner_id(&holder));
    let start = Instant::now();
    assert_eq!(failed(leases.settle(leased.id, Settle::Ack)).kind(), ErrorKind::Busy);
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
}

/// A dead message is counted also if another process has the lock when it has just been moved.
#[test]
fn a_dead_message_that_was_moved_is_counted() {
    const DEAD: u64 = 20;
    let (name, grave) = (name("dying"), name("grave"));
    let grave_owner = create(&grave, "");
    let owner = create(&name, &format!("attempts=1&dead=mq://{grave}"));
    let mut queue = owner.queue().unwrap();
    let holder = start("hold", &name);
    let bare = Bare::of(&name);
    let holders = bare.owner_id(&holder);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Only this test uses the queue: it does no harm that two may have the lock.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                bare.set(LOCKS[1], holders);
                std::thread::sleep(Duration::from_millis(1));
                bare.set(LOCKS[1], 0);
                // Enough to find it dead, and mostly too little for the move.
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let start = Instant::now();
        for count in 1..=DEAD {
            queue.try_send(0, b"job").unwrap();
            let (_, leased) = lease(&mut queue, Way::Thread, Duration::MAX).unwrap();
            settle(&mut queue, leased, Settle::Retry(Duration::ZERO)).unwrap();
            while grave_owner.queue().unwrap().status().unwrap().messages < count {
                assert!(start.elapsed() < WATCHDOG, "{count} was not moved");
                let _ = try_recv(&mut *queue);
            }
        }
        is_over.store(true, Relaxed);
    });
    let status = queue.status().unwrap();
    assert!(status.dead >= DEAD, "{status:?}");
    holder.kill();
}

#[test]
fn a_waiter_goes_on_as_soon_as_the_stopped_process_has_gone() {
    let name = name("continued");
    let owner = create(&name, "");
    let mut queue = owner.queue().unwrap();
    queue.try_send(0, b"there").unwrap();
    let stopped = start("hold", &name);
    let bare = Bare::of(&name);
    bare.set(LOCKS[1], bare.owner_id(&stopped));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| recv(&mut queue, Way::Thread).unwrap().1);
        // The bit of a sleeping waiter.
        let start = Instant::now();
        while bare.number(LOCKS[1]) >> 31 == 0 {
            assert!(start.elapsed() < WATCHDOG);
            std::thread::yield_now();
        }
        stopped.kill();
        assert_eq!(waiter.join().unwrap(), b"there");
    });
}

/// Tries to send a large message into a full queue until it has reserved the next room.
fn reserve(large: &mut Handle, bare: &Bare) {
    let start = Instant::now();
    while !bare.is_reserved() {
        assert!(start.elapsed() < WATCHDOG, "it reserves nothing");
        assert!(failed(large.try_send(0, &[7; 3000])).is_would_block());
        let half = large.room();
        if half.arm(Waiter::Thread).unwrap() != Armed::Ready {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn full(tag: &str) -> (anyipc_message_queue::QueueEndpoint, Handle, Bare) {
    let name = name(tag);
    let owner = create(&name, "capacity=4KiB");
    let mut queue = owner.queue().unwrap();
    while queue.try_send(0, b"small").is_ok() {}
    (owner, queue, Bare::of(&name))
}

#[test]
fn a_large_message_goes_next_and_then_the_others() {
    let (owner, mut queue, bare) = full("next");
    let mut large = owner.queue().unwrap();
    reserve(&mut large, &bare);
    drain(&mut queue);
    assert!(failed(queue.try_send(0, b"small")).is_would_block());
    assert_ne!(queue.room().arm(Waiter::Thread).unwrap(), Armed::Ready);
    queue.room().disarm();
    large.try_send(0, &[7; 3000]).unwrap();
    assert!(!bare.is_reserved());
    queue.try_send(0, b"small").unwrap();
    assert_eq!(drain(&mut queue).len(), 2);
}

#[test]
fn a_reservation_ends_with_the_wait_and_with_the_handle() {
    let (owner, mut queue, bare) = full("given-up");
    let mut large = owner.queue().unwrap();
    reserve(&mut large, &bare);
    large.room().disarm();
    assert!(!bare.is_reserved());
    reserve(&mut large, &bare);
    drop(large);
    drain(&mut queue);
    queue.try_send(0, b"small").unwrap();
}

#[test]
fn a_reservation_ends_with_its_process() {
    let name = name("reserved-death");
    let owner = create(&name, "capacity=4KiB");
    let mut queue = owner.queue().unwrap();
    while queue.try_send(0, b"small").is_ok() {}
    let large = start("large", &name);
    let (bare, start) = (Bare::of(&name), Instant::now());
    while !bare.is_reserved() {
        assert!(start.elapsed() < WATCHDOG, "it reserves nothing");
        std::thread::yield_now();
    }
    large.kill();
    drain(&mut queue);
    queue.try_send(0, b"small").unwrap();
}

#[test]
fn a_reservation_of_a_stopped_process_expires_soon() {
    let (owner, mut queue, bare) = full("reserved-stopped");
    let mut large = owner.queue().unwrap();
    reserve(&mut large, &bare);
    drain(&mut queue);
    // From here on it stands still.
    let start = Instant::now();
    send(&mut queue, Way::Thread, 0, b"small").unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn large_messages_get_in_beside_small_ones() {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    for (priorities, len) in [(1, 3000), (1, 4096), (3, 2000)] {
        let name = name("beside");
        let owner = create(&name, &format!("capacity=4KiB&priorities={priorities}"));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (mut small, stop) = (owner.queue().unwrap(), &stop);
                scope.spawn(move || {
                    while !stop.load(Relaxed) {
                        send(&mut small, Way::Thread, 0, &[1; 100]).unwrap();
                    }
                });
            }
            let (mut receiver, end) = (owner.queue().unwrap(), &stop);
            scope.spawn(move || {
                // Also the rest when the senders have stopped, so that each of them ends.
                let mut idle = Instant::now();
                while !end.load(Relaxed) || idle.elapsed() < Duration::from_millis(500) {
                    if try_recv(&mut *receiver).is_ok() {
                        idle = Instant::now();
                    }
                    std::thread::yield_now();
                }
            });
            let mut large = owner.queue().unwrap();
            for _ in 0..3 {
                let start = Instant::now();
                send(&mut large, Way::Thread, priorities - 1, &vec![2; len]).unwrap();
                assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
            }
            stop.store(true, Relaxed);
        });
    }
}
