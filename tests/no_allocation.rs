//! While both sides keep up, a message costs no allocation, at neither end.
#![cfg(feature = "in-process")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use support::channels::pair;
use support::schemes::each;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn messages_allocate_nothing() {
    each("alloc", |url| {
        let (_owner, mut a, mut b) = pair(url);
        let mut buffer = Vec::new();
        let mut rounds = |count: u32| {
            for i in 0..count {
                a.send(&i.to_le_bytes()).unwrap();
                assert_eq!(b.recv_into(&mut buffer).unwrap(), 4);
                b.try_send(&buffer).unwrap();
                a.recv_with(|message| assert_eq!(message, i.to_le_bytes())).unwrap();
                a.send_with(100, |frame| Some(frame.len())).unwrap();
                assert_eq!(b.try_recv_into(&mut buffer).unwrap(), 100);
                assert!(b.try_recv_into(&mut buffer).unwrap_err().is_would_block());
            }
        };
        // A ring may have to grow at first.
        rounds(5_000);
        let before = COUNT.get();
        rounds(10_000);
        assert_eq!(COUNT.get() - before, 0, "{url}");
    });
}

#[test]
fn waiting_for_an_answer_allocates_nothing() {
    each("alloc-wait", |url| {
        let url = format!("{url}?wait=block");
        let (_owner, mut a, mut b) = pair(&url);
        let answering = std::thread::spawn(move || {
            let mut buffer = Vec::new();
            while b.recv_into(&mut buffer).is_ok() {
                b.send(&buffer).unwrap();
            }
        });
        let mut exchange = |count: u32| {
            for i in 0..count {
                a.send(&i.to_le_bytes()).unwrap();
                a.recv_with(|message| assert_eq!(message, i.to_le_bytes())).unwrap();
            }
        };
        exchange(10);
        let before = COUNT.get();
        exchange(1000);
        assert_eq!(COUNT.get() - before, 0, "{url}");
        drop(a);
        answering.join().unwrap();
    });
}
