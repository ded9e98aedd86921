//! The event that wakes a sleeping thread, on each platform.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use std::time::Duration;

use anyipc_core::Interest;
use anyipc_os::{Event, sleep};

#[test]
fn it_is_signalled_from_set_to_reset() {
    let event = Event::new().unwrap();
    let is_set = || sleep(&event.source(), Interest::Readable, Duration::ZERO);
    for _ in 0..3 {
        assert!(!is_set());
        event.set();
        event.set();
        assert!(is_set() && is_set());
        event.reset();
        event.reset();
    }
}

/// Setters that race with resets leave nothing behind: neither a byte without the flag, which
/// would end every sleep, nor the flag without a byte, which would end none.
#[test]
fn a_race_leaves_no_half_of_a_signal() {
    let event = Event::new().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..20_000).for_each(|_| event.set()));
        }
        (0..20_000).for_each(|_| event.reset());
    });
    event.reset();
    assert!(!sleep(&event.source(), Interest::Readable, Duration::ZERO));
    event.set();
    assert!(sleep(&event.source(), Interest::Readable, Duration::ZERO));
}
