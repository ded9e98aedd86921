#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use crate::primitive::{AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::primitive::is_x86;
use crate::record::{DATA, Header, max_payload};
use crate::sleeper::Sleeper;
use crate::{Consumer, LINE, Next, Producer, Pushed, Refused, Storage, Wake, state};

/// A ring on the heap, made of words, so that Miri can check it.
#[derive(Clone, Debug)]
struct Heap(Arc<Memory>);

#[derive(Debug)]
struct Memory {
    head: AtomicU64,
    tail: AtomicU64,
    consumer: AtomicU32,
    producer: AtomicU32,
    words: Box<[AtomicU64]>,
}

const WORDS: usize = LINE / 8;

impl Heap {
    fn new(lines: usize) -> Self {
        Self(Arc::new(Memory {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            consumer: AtomicU32::new(0),
            producer: AtomicU32::new(0),
            words: (0..lines * WORDS).map(|_| AtomicU64::new(0)).collect(),
        }))
    }

    fn words(&self, position: u64, len: usize) -> Option<&[AtomicU64]> {
        let first = (position % self.lines()) as usize * WORDS + 1;
        self.0.words.get(first..first + len.div_ceil(8))
    }
}

impl Storage for Heap {
    fn lines(&self) -> u64 {
        (self.0.words.len() / WORDS) as u64
    }
    fn head(&self) -> &AtomicU64 {
        &self.0.head
    }
    fn tail_hint(&self) -> &AtomicU64 {
        &self.0.tail
    }
    fn consumer_state(&self) -> &AtomicU32 {
        &self.0.consumer
    }
    fn producer_state(&self) -> &AtomicU32 {
        &self.0.producer
    }
    fn header(&self, position: u64) -> &AtomicU64 {
        &self.0.words[(position % self.lines()) as usize * WORDS]
    }
    fn write<R>(&self, position: u64, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let words = self.words(position, len)?;
        let mut bytes: Vec<u8> =
            words.iter().flat_map(|w| w.load(Ordering::Relaxed).to_ne_bytes()).collect();
        let result = f(&mut bytes[..len]);
        for (word, chunk) in words.iter().zip(bytes.chunks_exact(8)) {
            let chunk = std::array::from_fn(|i| chunk[i]);
            word.store(u64::from_ne_bytes(chunk), Ordering::Relaxed);
        }
        Some(result)
    }
    fn read<R>(&self, position: u64, len: usize, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let words = self.words(position, len)?;
        let bytes: Vec<u8> =
            words.iter().flat_map(|w| w.load(Ordering::Relaxed).to_ne_bytes()).collect();
        Some(f(&bytes[..len]))
    }
}

fn pair(lines: usize) -> (Producer<Heap>, Consumer<Heap>) {
    let heap = Heap::new(lines);
    (Producer::new(heap.clone()), Consumer::new(heap))
}

fn push(producer: &mut Producer<Heap>, payload: &[u8]) -> Result<Wake, Refused> {
    let fill = |frame: &mut [u8]| {
        frame.copy_from_slice(payload);
        Some(payload.len())
    };
    Ok(producer.push(payload.len(), 0, fill)?.unwrap())
}

/// On the fast path where that is open.
fn send(producer: &mut Producer<Heap>, payload: &[u8]) -> Result<Wake, Refused> {
    match producer.push_fast(payload, |from, to| to.copy_from_slice(from)) {
        Pushed::FlushDue => Ok(producer.flush_tail()),
        Pushed::Done => Ok(Wake::None),
        Pushed::Skipped => {
            let sent = push(producer, payload);
            producer.open_fast_path(3, payload.len());
            sent
        }
    }
}

/// The next record's payload.
fn receive(consumer: &mut Consumer<Heap>) -> Vec<u8> {
    match consumer.pop(|_, payload| payload.to_vec()) {
        Next::Frame(payload, _) => payload,
        other => panic!("{other:?} instead of a record"),
    }
}

/// The next thing in the ring, without its payload.
fn look(consumer: &mut Consumer<Heap>) -> Next<()> {
    consumer.pop(|_, _| ())
}

#[test]
fn a_full_ring_refuses_and_recovers() {
    let (mut producer, mut consumer) = pair(8);
    for round in 0..if cfg!(miri) { 10 } else { 100u8 } {
        let mut sent = 0;
        while send(&mut producer, &[round, sent]).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, 6, "two lines stay free");
        for i in 0..sent {
            assert_eq!(receive(&mut consumer), [round, i]);
        }
        assert_eq!(look(&mut consumer), Next::Empty);
        consumer.release();
    }
}

/// A header's upper half tells an empty ring from an empty record: nothing may cut it, also where
/// addresses have 32 bits.
#[test]
fn an_empty_ring_holds_no_empty_record_at_any_position() {
    let (mut producer, mut consumer) = pair(8);
    for round in 0..if cfg!(miri) { 40 } else { 1000u32 } {
        for most in [0, 64, u32::MAX as usize - 1] {
            let found = consumer.pop_fast(most, |payload| payload.len());
            assert!(found.is_err_and(|len| len > consumer.max_payload()), "{round}: {found:?}");
        }
        // One line, so that no padding is due.
        let payload = &[7; 50][..round as usize % 50];
        push(&mut producer, payload).unwrap();
        assert!(consumer.pop_fast(50, |read| read == payload).unwrap());
        // Flags make a record another one.
        producer.push(0, 1, |_| Some(0)).unwrap();
        assert!(consumer.pop_fast(0, |_| ()).is_err_and(|len| len > consumer.max_payload()));
        assert!(matches!(
            consumer.pop(|flags, payload| (flags, payload.len())),
            Next::Frame((1, 0), _)
        ));
        consumer.release();
    }
}

#[test]
fn a_false_tail_costs_time_and_nothing_else() {
    for tail in [0, 1, 1 << 20, u64::MAX / 2, u64::MAX] {
        let (mut producer, mut consumer) = pair(256);
        for round in 0..if cfg!(miri) { 1 } else { 10u8 } {
            for i in 0..200 {
                send(&mut producer, &[round, i]).unwrap();
                consumer.storage().tail_hint().store(tail, Ordering::Relaxed);
            }
            for i in 0..200 {
                assert_eq!(receive(&mut consumer), [round, i]);
            }
            consumer.release();
        }
    }
}

#[test]
fn payload_that_looks_like_headers_stays_payload() {
    let (mut producer, mut consumer) = pair(16);
    for position in 0..if cfg!(miri) { 40 } else { 2000u64 } {
        // A record full of words that would each be a valid header somewhere near.
        let fake: Vec<u8> =
            (0..30).flat_map(|i| Header::pack(3, 0, DATA, position + i).to_ne_bytes()).collect();
        send(&mut producer, &fake).unwrap();
        assert_eq!(receive(&mut consumer), fake);
        assert_eq!(look(&mut consumer), Next::Empty);
        consumer.release();
        let dirty = producer.push(200, 0, |frame| {
            frame.copy_from_slice(&fake[..200]);
            None
        });
        assert_eq!(dirty, Ok(None));
        let short = producer.push(200, 0, |frame| {
            frame.copy_from_slice(&fake[..200]);
            Some(1)
        });
        assert_eq!(short, Ok(Some(Wake::None)));
        assert_eq!(receive(&mut consumer).len(), 1);
        assert_eq!(look(&mut consumer), Next::Empty);
        consumer.release();
    }
}

#[test]
fn a_close_delivers_what_was_sent() {
    let (mut producer, mut consumer) = pair(8);
    send(&mut producer, b"last").unwrap();
    producer.close();
    assert_eq!(receive(&mut consumer), b"last");
    assert_eq!(look(&mut consumer), Next::Closed);

    let (mut producer, mut consumer) = pair(8);
    consumer.close();
    assert_eq!(send(&mut producer, b"x").unwrap_err(), Refused::Closed);
}

#[test]
fn a_waiting_side_is_woken_once() {
    let (mut producer, mut consumer) = pair(8);
    assert_eq!(consumer.arm(state::PARKED), Some(state::PARKED));
    assert_eq!(send(&mut producer, b"x").unwrap(), Wake::Thread);
    assert_eq!(send(&mut producer, b"x").unwrap(), Wake::None);
    assert_eq!(consumer.arm(state::PARKED), None, "there is something to receive");
    while send(&mut producer, b"x").is_ok() {}
    assert!(producer.arm(state::POLLING).is_some());
    let mut wakes = Vec::new();
    while let Next::Frame((), wake) = look(&mut consumer) {
        wakes.push(wake);
    }
    wakes.push(consumer.release());
    assert_eq!(wakes.iter().filter(|w| **w == Wake::Task).count(), 1);
}

proptest! {
    #[test]
    fn everything_arrives_in_order(
        sizes in proptest::collection::vec(0..250usize, 1..200), lines in 4..6u32,
    ) {
        let (mut producer, mut consumer) = pair(1 << lines);
        let max = producer.max_payload();
        let message = |(i, n): (usize, &usize)| vec![i as u8; (*n).min(max)];
        let messages: Vec<Vec<u8>> = sizes.iter().enumerate().map(message).collect();
        let (mut next_in, mut next_out) = (0, 0);
        while next_out < messages.len() {
            while next_in < messages.len() && send(&mut producer, &messages[next_in]).is_ok() {
                next_in += 1;
            }
            while let Next::Frame(got, _) = consumer.pop(|_, p| p.to_vec()) {
                prop_assert_eq!(&got, &messages[next_out]);
                next_out += 1;
            }
            consumer.release();
        }
    }

    #[test]
    fn scribbled_control_words_end_in_an_error(
        words in proptest::collection::vec(any::<u64>(), 64),
        head: u64, states: [u32; 2], rounds in 1..40usize,
    ) {
        let (mut producer, mut consumer) = pair(8);
        let _ = send(&mut producer, b"one");
        for (i, word) in words.iter().enumerate() {
            consumer.storage().0.words[i].store(*word, Ordering::Relaxed);
        }
        consumer.storage().head().store(head, Ordering::Relaxed);
        consumer.storage().consumer_state().store(states[0], Ordering::Relaxed);
        consumer.storage().producer_state().store(states[1], Ordering::Relaxed);
        for _ in 0..rounds {
            let _ = consumer.pop(|_, p| assert!(p.len() <= max_payload(8)));
            let _ = send(&mut producer, &[0; 120]);
            let _ = producer.arm(state::PARKED);
            let _ = consumer.arm(state::PARKED);
        }
    }
}

#[test]
fn two_threads_lose_nothing() {
    let count: u32 = if cfg!(miri) { 200 } else { 200_000 };
    let (mut producer, mut consumer) = pair(16);
    let sender = thread::spawn(move || {
        for i in 0..count {
            let payload = vec![i as u8; 4 + (i % 200) as usize];
            let message = [&i.to_le_bytes()[..], &payload].concat();
            while send(&mut producer, &message).is_err() {
                thread::yield_now();
            }
        }
        producer.close();
    });
    let mut expected = 0u32;
    loop {
        match consumer.pop(|_, p| {
            assert_eq!(p[..4], expected.to_le_bytes());
            assert!(
                p[4..].iter().all(|b| *b == expected as u8)
                    && p.len() == 8 + (expected % 200) as usize
            );
        }) {
            Next::Frame(..) => expected += 1,
            Next::Empty => {
                consumer.release();
                thread::yield_now();
            }
            other => {
                assert_eq!(other, Next::Closed);
                break;
            }
        }
    }
    assert_eq!(expected, count);
    sender.join().unwrap();
}

/// A batch wakes its receiver once, at its end.
#[test]
fn a_batch_wakes_once() {
    let (mut producer, mut consumer) = pair(64);
    for _ in 0..20 {
        assert!(consumer.arm(state::PARKED).is_some());
        producer.cork();
        for _ in 0..3 {
            assert_eq!(push(&mut producer, b"one of many"), Ok(Wake::None));
        }
        assert_eq!(producer.uncork(), Wake::Thread);
        assert_eq!(producer.uncork(), Wake::None);
        while let Next::Frame(..) = look(&mut consumer) {}
    }
}

/// A closure that gives up, or writes less than it could, leaves no trace in the records behind.
#[test]
fn what_was_given_up_is_never_read() {
    let (mut producer, mut consumer) = pair(16);
    for round in 0..if cfg!(miri) { 10 } else { 100u8 } {
        for max in [1, 60, 100, 200] {
            let scribble = |frame: &mut [u8], used| {
                frame.fill(0xff);
                used
            };
            assert_eq!(producer.push(max, 0, |frame| scribble(frame, None)), Ok(None));
            let used = usize::from(round) % (max + 1);
            let sent = producer.push(max, 0, |frame| scribble(frame, Some(used)));
            assert!(matches!(sent, Ok(Some(_))));
            assert_eq!(receive(&mut consumer), vec![0xff; used]);
            assert_eq!(look(&mut consumer), Next::Empty);
        }
    }
}

/// Fences are spared while the consumer keeps polling and something comes now and then, never while
/// it sleeps, and on x86 only.
#[test]
fn a_sleeping_consumer_demands_fences() {
    let (mut producer, mut consumer) = pair(8);
    let is_spared = |consumer: &mut Consumer<Heap>, times: u32| {
        (0..times).for_each(|_| assert_eq!(look(consumer), Next::Empty));
        consumer.storage().consumer_state().load(Ordering::Relaxed) & state::UNFENCED != 0
    };
    assert_eq!(is_spared(&mut consumer, 100), is_x86());
    assert!(!is_spared(&mut consumer, 100), "nothing has come for a while");
    send(&mut producer, b"x").unwrap();
    assert_eq!(receive(&mut consumer), b"x");
    assert_eq!(is_spared(&mut consumer, 1), is_x86());
    while consumer.arm(state::PARKED).is_none() {}
    assert!(!is_spared(&mut consumer, 1));
}

/// A consumer that spares the producer its fences until it sleeps misses no record: each is
/// published at about the time at which the consumer decides to sleep.
#[test]
#[cfg_attr(miri, ignore = "Miri knows no time within which a store gets visible")]
fn nobody_sleeps_through_an_unfenced_record() {
    const ROUNDS: u64 = 20_000;
    let (mut producer, mut consumer) = pair(64);
    let taken = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&taken);
    let sleeper = Arc::new(Sleeper::default());
    let waker = Arc::clone(&sleeper);
    let sender = thread::spawn(move || {
        for round in 0..ROUNDS {
            while seen.load(Ordering::Acquire) != round {
                std::hint::spin_loop();
            }
            // Up to a little more than the consumer stays awake.
            (0..round * 7 % 97).for_each(|_| std::hint::spin_loop());
            match send(&mut producer, b"x").unwrap() {
                Wake::None => {}
                Wake::Thread => waker.wake(producer.storage().consumer_state()),
                other => panic!("{other:?} is not how the consumer waits"),
            }
        }
    });
    let took = |consumer: &mut Consumer<Heap>| matches!(look(consumer), Next::Frame(..));
    for round in 0..ROUNDS {
        while !took(&mut consumer) {
            if (0..40).any(|_| took(&mut consumer)) {
                break;
            }
            if let Some(value) = consumer.arm(state::PARKED) {
                let slept = Instant::now();
                sleeper.sleep(consumer.storage().consumer_state(), value, Duration::from_secs(20));
                assert!(
                    slept.elapsed() < Duration::from_secs(20),
                    "round {round} was slept through"
                );
                consumer.disarm();
            }
        }
        consumer.release();
        taken.store(round + 1, Ordering::Release);
    }
    sender.join().unwrap();
}
