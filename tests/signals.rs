//! Signals make no wait shorter or longer.
#![cfg(all(target_os = "linux", feature = "in-process"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, Inbox, Result, Select};
use support::channels::pair;
use support::schemes::each;

const TIME: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_millis(250);
static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Relaxed);
}

/// Runs the calls in a thread that gets a signal about every 200 µs; interrupted system calls are
/// not restarted.
fn in_a_storm(calls: impl FnOnce() + Send) {
    // SAFETY: the handler touches an atomic and nothing else; the structure is all zero but for it.
    let handled = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(handled, 0);
    let over = AtomicBool::new(false);
    // With musl it is a pointer, which would stay in its thread.
    // SAFETY: the call has no conditions. The thread lives until the scope ends.
    let target = unsafe { libc::pthread_self() } as usize;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                // SAFETY: the thread is the one that waits for this scope.
                unsafe { libc::pthread_kill(target as libc::pthread_t, libc::SIGUSR1) };
                thread::sleep(Duration::from_micros(200));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(calls));
        over.store(true, Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// The call fails so: never before its time, and in one of three runs not long after it.
#[track_caller]
fn keeps_time<T>(what: &str, expected: &[ErrorKind], mut call: impl FnMut() -> Result<T>) {
    let mut times = Vec::new();
    for _ in 0..3 {
        let (start, before) = (Instant::now(), SIGNALS.load(Relaxed));
        let result = call();
        let took = start.elapsed();
        let Err(error) = result else { panic!("{what} succeeded") };
        assert!(expected.contains(&error.kind()), "{what}: {error}");
        assert!(took >= TIME, "{what} gave up after {took:?}");
        assert!(SIGNALS.load(Relaxed) > before + 10, "{what}: there was no storm");
        if took <= LATEST {
            return;
        }
        times.push(took);
    }
    panic!("{what} took {times:?}");
}

#[test]
fn waits_keep_their_time_in_a_storm_of_signals() {
    each("storm", |url| {
        in_a_storm(|| {
            let late = [ErrorKind::TimedOut];
            let (owner, mut near, mut far) = pair(url);
            keeps_time(&format!("{url}: recv"), &late, || near.recv_timeout(TIME));
            keeps_time(&format!("{url}: accept"), &late, || owner.accept_timeout(TIME));
            let mut select = Select::new().unwrap();
            keeps_time(&format!("{url}: select"), &late, || {
                select.wait_timeout(&mut [&mut near], TIME)
            });
            let message = vec![1; 60_000];
            while far.send_timeout(&message, TIME).is_ok() {}
            keeps_time(&format!("{url}: send"), &late, || far.send_timeout(&message, TIME));
            drop((near, far));
            let deaf = format!("{url}?timeout=100ms");
            keeps_time(&format!("{url}: connect"), &late, || anyipc::connect(&deaf));
            let mut inbox = Inbox::new(owner).unwrap();
            keeps_time(&format!("{url}: inbox"), &late, || inbox.recv_timeout(TIME));
            drop(inbox);
            keeps_time(&format!("{url}: nobody"), &[ErrorKind::NoOwner], || anyipc::connect(&deaf));
        });
    });
}
