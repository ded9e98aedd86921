//! Every call that takes a time keeps to it: 100 ms are neither less nor much more.
#![cfg(feature = "shared-memory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::time::{Duration, Instant};

use anyipc::{Capabilities, Channel, ErrorKind, Inbox, Result};
use support::channels::{pair, pair_with};
use support::schemes::{self, can, unique, url};
use support::watchdog::watchdog;

const TIMEOUT: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_millis(250);

/// The call must fail with this kind, never before its time, and in one of three runs not long
/// after it: the other two are for a busy machine.
#[track_caller]
fn keeps_time<T>(what: &str, expected: ErrorKind, mut call: impl FnMut() -> Result<T>) {
    let mut times = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let result = call();
        let took = start.elapsed();
        let Err(error) = result else { panic!("{what} succeeded") };
        assert_eq!(error.kind(), expected, "{what}: {error}");
        assert!(took >= TIMEOUT, "{what} gave up after {took:?}");
        if took <= LATEST {
            return;
        }
        times.push(took);
    }
    panic!("{what} took {times:?}");
}

/// A channel is full if nothing goes in for this long: TCP moves the last of it on a little later.
const FULL: Duration = Duration::from_millis(300);

/// Fills the channel until nothing more goes in.
fn fill(channel: &mut Channel) {
    while channel.send_timeout(&[0; 1000], FULL).is_ok() {}
}

fn schemes_and_waits() -> impl Iterator<Item = (&'static str, &'static str)> {
    schemes::between_processes()
        .iter()
        .flat_map(|scheme| ["adaptive", "spin", "block"].map(|wait| (*scheme, wait)))
}

#[test]
fn channels_keep_time() {
    let _watchdog = watchdog("channels", Duration::from_secs(60));
    for (scheme, wait) in schemes_and_waits() {
        let url = format!("{}?wait={wait}&capacity=4096", url(scheme, "channel"));
        let (owner, mut ours, mut theirs) = pair(&url);
        let mut buffer = Vec::new();
        for (side, channel) in [("owner", &mut ours), ("opener", &mut theirs)] {
            let what = |call: &str| format!("{scheme}: {call} of the {side}, wait={wait}");
            keeps_time(&what("recv"), ErrorKind::TimedOut, || channel.recv_timeout(TIMEOUT));
            keeps_time(&what("recv_into"), ErrorKind::TimedOut, || {
                channel.recv_into_timeout(&mut buffer, TIMEOUT)
            });
            keeps_time(&what("recv_with"), ErrorKind::TimedOut, || {
                channel.recv_with_timeout(TIMEOUT, <[u8]>::len)
            });
        }
        for (side, channel) in [("owner", &mut ours), ("opener", &mut theirs)] {
            let what = |call: &str| format!("{scheme}: {call} of the {side}, wait={wait}");
            fill(channel);
            keeps_time(&what("send"), ErrorKind::TimedOut, || {
                channel.send_timeout(&[0; 1000], TIMEOUT)
            });
            keeps_time(&what("send of fragments"), ErrorKind::TimedOut, || {
                channel.send_timeout(&[0; 100_000], TIMEOUT)
            });
        }
        keeps_time(&format!("{scheme}: accept, wait={wait}"), ErrorKind::TimedOut, || {
            owner.accept_timeout(TIMEOUT)
        });
        // Everything still works.
        while let Ok(message) = theirs.try_recv() {
            assert_eq!(message.len(), 1000);
        }
        ours.send(b"whole").unwrap();
        loop {
            match theirs.recv().unwrap() {
                message if message == b"whole" => break,
                message => assert_eq!(message.len(), 1000, "what timed out never arrives"),
            }
        }
    }
}

#[test]
fn connecting_keeps_time() {
    let _watchdog = watchdog("connecting", Duration::from_secs(60));
    schemes::between_processes().iter().for_each(|scheme| connecting_over(scheme));
}

fn connecting_over(scheme: &str) {
    let nobody = format!("{}?timeout=100ms", url(scheme, "nobody"));
    keeps_time("connect to nobody", ErrorKind::NoOwner, || anyipc::connect(&nobody));

    let url = url(scheme, "left");
    let size = if can(&url, Capabilities::BLOCK) { "?size=100" } else { "" };
    let owner = anyipc::create(format!("{url}{size}")).unwrap();
    let opener = anyipc::open(&url).unwrap();
    keeps_time("connect to an owner that does not accept", ErrorKind::TimedOut, || {
        opener.connect_timeout(TIMEOUT)
    });
    let short_url = format!("{url}?timeout=100ms");
    keeps_time("the same by address", ErrorKind::TimedOut, || anyipc::connect(&short_url));
    drop(owner);
    keeps_time("connect where the owner left", ErrorKind::NoOwner, || {
        opener.connect_timeout(TIMEOUT)
    });
    keeps_time("the same by address", ErrorKind::NoOwner, || anyipc::connect(&short_url));
}

#[test]
fn an_inbox_keeps_time() {
    let _watchdog = watchdog("inboxes", Duration::from_secs(60));
    for (scheme, wait) in schemes_and_waits() {
        let url = format!("{}?wait={wait}&capacity=4096", url(scheme, "inbox"));
        let what = |call: &str| format!("{scheme}: {call}, wait={wait}");
        let mut inbox = Inbox::new(anyipc::create(&url).unwrap()).unwrap();
        keeps_time(&what("recv without peers"), ErrorKind::TimedOut, || {
            inbox.recv_timeout(TIMEOUT)
        });
        let dial = std::thread::spawn(move || {
            let mut channel = anyipc::connect(url).unwrap();
            channel.send(b"here").unwrap();
            channel
        });
        let (peer, _) = inbox.recv().unwrap();
        let _channel = dial.join().unwrap();
        keeps_time(&what("recv"), ErrorKind::TimedOut, || inbox.recv_timeout(TIMEOUT));
        keeps_time(&what("next_event"), ErrorKind::TimedOut, || inbox.next_event_timeout(TIMEOUT));
        while inbox.send_timeout(peer, &[0; 1000], FULL).is_ok() {}
        keeps_time(&what("send"), ErrorKind::TimedOut, || {
            inbox.send_timeout(peer, &[0; 1000], TIMEOUT)
        });
    }
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_keep_time() {
    let _watchdog = watchdog("tasks", Duration::from_secs(60));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    for scheme in schemes::between_processes() {
        let nobody = format!("{}?timeout=100ms", url(scheme, "async-nobody"));
        keeps_time("connect to nobody", ErrorKind::NoOwner, || {
            runtime.block_on(anyipc::connect_async(&nobody))
        });
        let url = format!("{}?timeout=100ms", url(scheme, "async"));
        let _owner = anyipc::create(&url).unwrap();
        keeps_time("connect to an owner that does not accept", ErrorKind::TimedOut, || {
            runtime.block_on(anyipc::connect_async(&url))
        });
    }
}

#[test]
fn a_peer_that_waits_differently_changes_nothing() {
    let _watchdog = watchdog("mixed", Duration::from_secs(60));
    let url = format!("shm://{}", unique("mixed"));
    let (_owner, mut ours, mut theirs) =
        pair_with(&format!("{url}?wait=spin"), &format!("{url}?wait=block"));
    keeps_time("recv, wait=spin", ErrorKind::TimedOut, || ours.recv_timeout(TIMEOUT));
    keeps_time("recv, wait=block", ErrorKind::TimedOut, || theirs.recv_timeout(TIMEOUT));
}
