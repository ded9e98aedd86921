//! Every interleaving of small rings:
//! `RUSTFLAGS="--cfg loom" cargo test -p anyipc-ring --release --lib`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::primitive::{AtomicU32, AtomicU64};
use crate::{Consumer, LINE, Next, Producer, Refused, Storage, Wake, state};

const LINES: usize = 16;

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
