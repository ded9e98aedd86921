//! Every interleaving of small rings:
//! `RUSTFLAGS="--cfg loom" cargo test -p anyipc-ring --release --lib`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::cell::Cell;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence};
use crate::{Consumer, LINE, Next, Producer, Refused, Storage, Wake, ready, state};

const LINES: usize = 16;

thread_local! {
    /// What [`is_x86`] says in this test. The threads of a model are one thread of the system.
    static IS_X86: Cell<bool> = const { Cell::new(false) };
    /// Whether a grace takes as long as it must.
    static HAS_GRACE: Cell<bool> = const { Cell::new(true) };
}

loom::lazy_static! {
    /// 1 while the producer may have published something that is not yet visible.
    static ref UNDER_WAY: AtomicU32 = AtomicU32::new(0);
}

pub(crate) fn is_x86() -> bool {
    IS_X86.get()
}

/// What 20 µs stand for: since it began, the producer has been seen with nothing under way.
#[derive(Debug)]
pub(crate) struct Grace(());

impl Grace {
    pub(crate) fn new() -> Self {
        fence(Ordering::SeqCst);
        Self(())
    }

    pub(crate) fn is_over(&self) -> bool {
        !HAS_GRACE.get() || UNDER_WAY.load(Ordering::Acquire) == 0
    }
}

/// Publishes a record as x86 does: it is visible some time after the producer has looked for a
/// sleeper.
fn push_late(producer: &mut Producer<Modelled>, value: u8) -> Wake {
    UNDER_WAY.store(1, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    let wake = push(producer, value).unwrap();
    fence(Ordering::SeqCst);
    UNDER_WAY.store(0, Ordering::Release);
    wake
}

#[derive(Clone)]
struct Modelled {
    control: Arc<Control>,
    array: Arc<Array>,
}

struct Control {
    head: AtomicU64,
    tail: AtomicU64,
    consumer: AtomicU32,
    producer: AtomicU32,
}

struct Array {
    headers: Vec<AtomicU64>,
    payloads: Vec<UnsafeCell<[u8; LINE]>>,
}

impl Array {
    fn new(lines: usize) -> Arc<Self> {
        Arc::new(Self {
            headers: (0..lines).map(|_| AtomicU64::new(0)).collect(),
            payloads: (0..lines).map(|_| UnsafeCell::new([0xff; LINE])).collect(),
        })
    }
}

impl Storage for Modelled {
    fn lines(&self) -> u64 {
        self.array.headers.len() as u64
    }
    fn head(&self) -> &AtomicU64 {
        &self.control.head
    }
    fn tail_hint(&self) -> &AtomicU64 {
        &self.control.tail
    }
    fn consumer_state(&self) -> &AtomicU32 {
        &self.control.consumer
    }
    fn producer_state(&self) -> &AtomicU32 {
        &self.control.producer
    }
    fn header(&self, position: u64) -> &AtomicU64 {
        &self.array.headers[position as usize % self.array.headers.len()]
    }
    fn write<R>(&self, position: u64, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        self.array.payloads[position as usize % self.array.payloads.len()].with_mut(|cell| {
            // SAFETY: loom checks that this access is exclusive; the records of these tests fit a
            // line.
            Some(f(unsafe { &mut (&mut *cell)[..len] }))
        })
    }
    fn read<R>(&self, position: u64, len: usize, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.array.payloads[position as usize % self.array.payloads.len()].with(|cell| {
            // SAFETY: loom checks that no thread writes meanwhile.
            Some(f(unsafe { &(&*cell)[..len] }))
        })
    }
}

/// A pair with cursors `turned` lines into the ring, single-threaded until then.
fn pair(turned: u64) -> (Producer<Modelled>, Consumer<Modelled>) {
    let control = Control {
        head: AtomicU64::new(0),
        tail: AtomicU64::new(0),
        consumer: AtomicU32::new(0),
        producer: AtomicU32::new(0),
    };
    let memory = Modelled { control: Arc::new(control), array: Array::new(LINES) };
    let (mut producer, mut consumer) = (Producer::new(memory.clone()), Consumer::new(memory));
    for _ in 0..turned {
        push(&mut producer, 0).unwrap();
        assert!(matches!(consumer.pop(|_, _| ()), Next::Frame(..)));
        consumer.release();
    }
    (producer, consumer)
}

fn push(producer: &mut Producer<Modelled>, value: u8) -> Result<Wake, Refused> {
    let fill = |frame: &mut [u8]| {
        frame[0] = value;
        Some(1)
    };
    Ok(producer.push(1, 0, fill)?.unwrap())
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

#[test]
fn records_are_whole_and_in_order_across_the_wrap() {
    model(|| {
        let (mut producer, mut consumer) = pair(15);
        let sender = thread::spawn(move || {
            for value in 1..=3 {
                push(&mut producer, value).unwrap();
            }
        });
        let mut next = 1;
        for _ in 0..4 {
            match consumer.pop(|_, payload| payload[0]) {
                Next::Frame(value, _) => {
                    assert_eq!(value, next);
                    next += 1;
                }
                other => {
                    assert_eq!(other, Next::Empty);
                    consumer.release();
                    thread::yield_now();
                }
            }
        }
        sender.join().unwrap();
        while let Next::Frame(value, _) = consumer.pop(|_, payload| payload[0]) {
            assert_eq!(value, next);
            next += 1;
        }
        assert_eq!(next, 4);
    });
}

/// A sleeping receiver is always woken: a lost wake-up is a deadlock, which loom reports.
#[test]
fn no_wake_is_lost_by_a_receiver() {
    model(|| {
        let (mut producer, mut consumer) = pair(0);
        let wake_up = Arc::new(Notify::new());
        let notifier = Arc::clone(&wake_up);
        let sender = thread::spawn(move || {
            for value in 1..=2 {
                if push(&mut producer, value).unwrap() != Wake::None {
                    notifier.notify();
                }
            }
        });
        for expected in 1..=2 {
            let value = loop {
                match consumer.pop(|_, payload| payload[0]) {
                    Next::Frame(value, _) => break value,
                    _ => {
                        if consumer.arm(state::PARKED).is_some() {
                            wake_up.wait();
                        }
                    }
                }
            };
            assert_eq!(value, expected);
        }
        sender.join().unwrap();
    });
}

/// A receiver that polls, and so spares an x86 sender the fence, and then sleeps.
fn receiver_that_polled() {
    IS_X86.set(true);
    model(|| {
        let (mut producer, mut consumer) = pair(0);
        for _ in 0..2 {
            assert_eq!(consumer.pop(|_, _| ()), Next::Empty);
        }
        assert_ne!(
            consumer.storage().control.consumer.load(Ordering::Relaxed) & state::UNFENCED,
            0
        );
        let wake_up = Arc::new(Notify::new());
        let notifier = Arc::clone(&wake_up);
        let sender = thread::spawn(move || {
            if push_late(&mut producer, 1) != Wake::None {
                notifier.notify();
            }
        });
        while consumer.pop(|_, _| ()) == Next::Empty {
            if consumer.arm(state::PARKED).is_some() {
                wake_up.wait();
            } else {
                thread::yield_now();
            }
        }
        sender.join().unwrap();
    });
}

/// x86: no wake-up is lost, whether or not the sender has seen that it must fence again.
#[test]
fn no_wake_is_lost_after_a_grace() {
    receiver_that_polled();
}

/// Without the grace one is: the model finds it.
#[test]
#[should_panic(expected = "deadlock")]
fn without_a_grace_a_wake_is_lost() {
    HAS_GRACE.set(false);
    receiver_that_polled();
}

/// Not x86: a receiver that polls demands every fence.
#[test]
fn only_x86_goes_without_fences() {
    model(|| {
        let (_producer, mut consumer) = pair(0);
        for _ in 0..8 {
            assert_eq!(consumer.pop(|_, _| ()), Next::Empty);
        }
        assert_eq!(consumer.storage().control.consumer.load(Ordering::Relaxed), 0);
    });
}

/// A receiver of many channels that takes a sender's bit finds what the sender published, and one
/// that goes to sleep is woken.
#[test]
fn no_channel_of_many_is_overlooked() {
    model(|| {
        // A published count, the bits, the waiting word.
        let shared = Arc::new((AtomicU32::new(0), AtomicU64::new(0), AtomicU32::new(0)));
        let wake_up = Arc::new(Notify::new());
        let (sent, notifier) = (Arc::clone(&shared), Arc::clone(&wake_up));
        let sender = thread::spawn(move || {
            for count in 1..=2 {
                sent.0.store(count, Ordering::Release);
                if ready::mark(&sent.1, 1, &sent.2) {
                    notifier.notify();
                }
            }
        });
        let (published, word, waiting) = &*shared;
        let mut seen = 0;
        while seen < 2 {
            if ready::take(word, 0) != 0 {
                seen = published.load(Ordering::Acquire);
            } else if ready::arm(waiting, [word]) {
                wake_up.wait();
            }
        }
        sender.join().unwrap();
    });
}

/// A sender that sleeps on a full ring is always woken, and writes only where the receiver has
/// read.
#[test]
fn no_wake_is_lost_by_a_sender() {
    model(|| {
        let (mut producer, mut consumer) = pair(0);
        while push(&mut producer, 1).is_ok() {}
        let wake_up = Arc::new(Notify::new());
        let notifier = Arc::clone(&wake_up);
        let receiver = thread::spawn(move || {
            for _ in 0..2 {
                match consumer.pop(|_, _| ()) {
                    Next::Frame((), Wake::None) => {}
                    Next::Frame(..) => notifier.notify(),
                    other => panic!("{other:?}"),
                }
            }
            if consumer.release() != Wake::None {
                notifier.notify();
            }
            consumer
        });
        for _ in 0..2 {
            while push(&mut producer, 2).is_err() {
                if producer.arm(state::PARKED).is_some() {
                    wake_up.wait();
                }
            }
        }
        drop(receiver.join().unwrap());
    });
}

/// A close is noticed by a sleeping receiver, after everything that was sent.
#[test]
fn a_close_comes_after_the_last_record() {
    model(|| {
        let (mut producer, mut consumer) = pair(0);
        let wake_up = Arc::new(Notify::new());
        let notifier = Arc::clone(&wake_up);
        let sender = thread::spawn(move || {
            for wake in [push(&mut producer, 9).unwrap(), producer.close()] {
                if wake != Wake::None {
                    notifier.notify();
                }
            }
        });
        let mut got = Vec::new();
        loop {
            match consumer.pop(|_, payload| payload[0]) {
                Next::Frame(value, _) => got.push(value),
                Next::Empty => {
                    if consumer.arm(state::PARKED).is_some() {
                        wake_up.wait();
                    }
                }
                other => {
                    assert_eq!(other, Next::Closed);
                    break;
                }
            }
        }
        assert_eq!(got, [9]);
        sender.join().unwrap();
    });
}

/// A ring that moves to a larger array loses nothing, and no side writes where the other reads.
#[test]
fn a_move_keeps_every_record() {
    model(|| {
        let (mut producer, mut consumer) = pair(15);
        let larger = Array::new(2 * LINES);
        let handed = Modelled { array: Arc::clone(&larger), ..consumer.storage().clone() };
        let wake_up = Arc::new(Notify::new());
        let notifier = Arc::clone(&wake_up);
        let sender = thread::spawn(move || {
            let moved = Modelled { array: larger, ..producer.storage().clone() };
            let wake_peer = |wake| {
                if wake != Wake::None {
                    notifier.notify();
                }
            };
            wake_peer(push(&mut producer, 1).unwrap());
            wake_peer(producer.offer().unwrap());
            if producer.poll_offer() == Some(true) {
                wake_peer(producer.move_to(moved).unwrap());
            }
            wake_peer(push(&mut producer, 2).unwrap());
        });
        let mut next = 1;
        while next < 3 {
            match consumer.pop(|_, payload| payload[0]) {
                Next::Frame(value, _) => {
                    assert_eq!(value, next);
                    next += 1;
                }
                Next::Offer => {
                    consumer.accept_offer();
                }
                Next::Moved => consumer.follow(handed.clone()),
                _ => {
                    if consumer.arm(state::PARKED).is_some() {
                        wake_up.wait();
                    }
                }
            }
        }
        sender.join().unwrap();
    });
}
