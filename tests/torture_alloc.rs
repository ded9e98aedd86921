//! Messages cost no allocation once a channel is warm, on neither side.
#![cfg(feature = "shared-memory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use anyipc::{Channel, Receiver, Result, Sender};
use support::channels::pair;
use support::schemes::{self, url};
use support::watchdog::watchdog;

/// The system's allocator, counting for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is the system allocator's, with the caller's own promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(start, layout, size) }
    }
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM: usize = 500;
const MESSAGES: usize = 1_000;

/// Runs the call until it is warm, then many times; how often this thread allocated meanwhile.
fn allocations(mut call: impl FnMut() -> Result<()>) -> u64 {
    (0..WARM).for_each(|_| call().unwrap());
    let before = ALLOCATIONS.get();
    (0..MESSAGES).for_each(|_| call().unwrap());
    ALLOCATIONS.get() - before
}

fn send(sender: &mut Sender, message: &[u8], in_place: bool) -> Result<()> {
    match in_place {
        false => sender.send(message),
        true => sender.send_with(message.len(), |frame| {
            frame.copy_from_slice(message);
            Some(message.len())
        }),
    }
}

fn receive(receiver: &mut Receiver, buffer: &mut Vec<u8>, in_place: bool) -> Result<()> {
    match in_place {
        false => receiver.recv_into(buffer).map(drop),
        true => receiver.recv_with(|message| {
            buffer.clear();
            buffer.extend_from_slice(message);
        }),
    }
}

/// How a test uses a channel.
#[derive(Debug, Clone, Copy)]
struct Way {
    len: usize,
    send_in_place: bool,
    read_in_place: bool,
}

/// The owner's part: sends a stream, then answers questions. How often it allocated.
fn owner(channel: Channel, way: Way) -> [u64; 2] {
    let (mut sender, mut receiver) = channel.split();
    let (message, mut buffer) = (vec![7; way.len], Vec::with_capacity(way.len));
    let streaming = allocations(|| send(&mut sender, &message, way.send_in_place));
    let answering = allocations(|| {
        receive(&mut receiver, &mut buffer, way.read_in_place)?;
        send(&mut sender, &buffer, way.send_in_place)
    });
    [streaming, answering]
}

/// The opener's part: receives a stream, then asks. How often it allocated.
fn opener(channel: Channel, way: Way) -> [u64; 2] {
    let (mut sender, mut receiver) = channel.split();
    let (message, mut buffer) = (vec![7; way.len], Vec::with_capacity(way.len));
    let streaming = allocations(|| receive(&mut receiver, &mut buffer, way.read_in_place));
    let asking = allocations(|| {
        send(&mut sender, &message, way.send_in_place)?;
        receive(&mut receiver, &mut buffer, way.read_in_place)
    });
    assert_eq!(buffer, message);
    [streaming, asking]
}

/// Lets the sender of one side and the receiver of the other sleep once: what a half sleeps on is
/// made at its first sleep.
fn let_sleep(from: &mut Channel, to: &mut Channel) {
    let longer_than_a_spin = Duration::from_millis(5);
    assert!(to.recv_timeout(longer_than_a_spin).is_err());
    let mut sent = 0;
    while from.send_timeout(&[0; 4096], longer_than_a_spin).is_ok() {
        sent += 1;
    }
    (0..sent).for_each(|_| drop(to.recv().unwrap()));
}

#[test]
fn a_warm_channel_allocates_nothing() {
    let _watchdog = watchdog("the allocations", Duration::from_secs(300));
    for (scheme, wait) in schemes::between_processes()
        .iter()
        .flat_map(|scheme| ["adaptive", "block"].map(|wait| (scheme, wait)))
    {
        for trust in ["copy", "same-user"] {
            for len in [64, 4096] {
                for (send_in_place, read_in_place) in [(false, false), (true, true)] {
                    let way = Way { len, send_in_place, read_in_place };
                    // A fixed capacity: a resize allocates once or twice.
                    let url = format!(
                        "{}?wait={wait}&trust={trust}&capacity=64KiB",
                        url(scheme, "alloc")
                    );
                    let (_endpoint, mut ours, mut theirs) = pair(&url);
                    let_sleep(&mut ours, &mut theirs);
                    let_sleep(&mut theirs, &mut ours);
                    let other = std::thread::spawn(move || opener(theirs, way));
                    let counts = [owner(ours, way), other.join().unwrap()];
                    assert_eq!(counts, [[0; 2]; 2], "{way:?} {url}");
                }
            }
        }
    }
}

#[test]
fn the_counter_counts() {
    let once = || {
        drop(std::hint::black_box(vec![1]));
        Ok(())
    };
    assert_eq!(allocations(once), MESSAGES as u64);
}
