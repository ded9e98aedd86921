//! A wait costs next to no processor time.
#![cfg(all(target_os = "linux", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::time::{Duration, Instant};

use anyipc::{BlockExt, ErrorKind, Inbox, Select, Selectable};
use rustix::time::{ClockId, clock_gettime};
#[cfg(feature = "in-process")]
use support::channels::{kind, pair};
use support::place::Scratch;
use support::process::{Process, end_with_parent, linger, say, serve, spawn};
use support::schemes::{self, url};
use support::watchdog::watchdog;

/// How long everybody sleeps.
const NAP: Duration = Duration::from_secs(2);

#[test]
fn child() {
    serve(&[
        ("receiver", receiver),
        ("sender", sender),
        ("inbox", inbox),
        ("select", select),
        ("peer", peer),
        ("task", task),
        ("watcher", watcher),
    ]);
}

/// The processor time of this process, all threads.
fn consumed() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Says what a call costs that waits in vain, in millionths of the time it took.
fn measure(call: impl FnOnce()) {
    let (before, start) = (consumed(), Instant::now());
    call();
    let (cost, took) = (consumed() - before, start.elapsed());
    assert!(took >= NAP, "it waited only {took:?}");
    say(&(cost.as_nanos() * 1_000_000 / took.as_nanos()).to_string());
}

/// `receiver URL`: an owner's channel from which nothing comes.
fn receiver(words: &[&str]) {
    end_with_parent();
    let owner = anyipc::create(words[0]).unwrap();
    say("ready");
    let mut channel = owner.accept().unwrap();
    measure(|| assert_eq!(kind(channel.recv_timeout(NAP)), ErrorKind::TimedOut));
}

/// `sender URL`: an owner's channel into which nothing more goes.
fn sender(words: &[&str]) {
    end_with_parent();
    let owner = anyipc::create(words[0]).unwrap();
    say("ready");
    let mut channel = owner.accept().unwrap();
    // TCP moves the last of it on a little later, which leaves room again.
    while channel.send_timeout(&[0; 1000], NAP / 2).is_ok() {}
    measure(|| assert_eq!(kind(channel.send_timeout(&[0; 1000], NAP)), ErrorKind::TimedOut));
}

/// `inbox URL <peers>`
fn inbox(words: &[&str]) {
    end_with_parent();
    let mut inbox = Inbox::new(anyipc::create(words[0]).unwrap()).unwrap();
    say("ready");
    let peers: usize = words[1].parse().unwrap();
    while inbox.peers().count() < peers {
        inbox.next_event().unwrap();
    }
    measure(|| assert_eq!(kind(inbox.recv_timeout(NAP)), ErrorKind::TimedOut));
}

/// `task URL`: a receiver that is a task, and another that accepts.
fn task(words: &[&str]) {
    end_with_parent();
    #[cfg(feature = "tokio")]
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let owner = anyipc::create(words[0]).unwrap();
        say("ready");
        let mut channel = owner.accept_async().await.unwrap();
        let (before, start) = (consumed(), Instant::now());
        tokio::select! {
            message = channel.recv() => panic!("{message:?}"),
            other = owner.accept_async() => panic!("{other:?}"),
            () = tokio::time::sleep(NAP) => {}
        }
        let cost = consumed() - before;
        say(&(cost.as_nanos() * 1_000_000 / start.elapsed().as_nanos()).to_string());
    });
    let _ = words;
}

/// `select URL,URL,… _`: a channel and an acceptor of each, and an in-process channel, in one wait.
fn select(words: &[&str]) {
    end_with_parent();
    let owners: Vec<_> = words[0].split(',').map(|url| anyipc::create(url).unwrap()).collect();
    say("ready");
    let mut channels: Vec<_> = owners.iter().map(|owner| owner.accept().unwrap()).collect();
    let mut acceptors: Vec<_> = owners.iter().map(|owner| owner.acceptor().unwrap()).collect();
    #[cfg(feature = "in-process")]
    let (_inside, inside, _here) = pair("inproc://idle.select");
    #[cfg(feature = "in-process")]
    channels.push(inside);
    let channels = channels.iter_mut().map(|channel| channel as &mut dyn Selectable);
    let mut all: Vec<_> =
        channels.chain(acceptors.iter_mut().map(|acceptor| acceptor as _)).collect();
    let mut select = Select::new().unwrap();
    measure(|| assert_eq!(kind(select.wait_timeout(&mut all, NAP)), ErrorKind::TimedOut));
}

/// `watcher URL`: four readers of a block that does not change.
fn watcher(words: &[&str]) {
    end_with_parent();
    let owner = anyipc::create(format!("{}&size=4096", words[0])).unwrap();
    let block = owner.block().unwrap();
    say("ready");
    let (mut first, mut second) = (block.watch().unwrap(), block.watch().unwrap());
    let mut select = Select::new().unwrap();
    const LATE: ErrorKind = ErrorKind::TimedOut;
    measure(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(kind(block.load_newer_bytes(&mut 0, NAP)), LATE));
            scope.spawn(|| assert_eq!(kind(block.wait_u32(0, 0, NAP)), LATE));
            scope.spawn(|| assert_eq!(kind(first.wait_timeout(NAP)), LATE));
            scope.spawn(|| assert_eq!(kind(select.wait_timeout(&mut [&mut second], NAP)), LATE));
        });
    });
}

/// `peer URL,… <count>`: connects to each and says nothing, ever.
fn peer(words: &[&str]) {
    let count: usize = words[1].parse().unwrap();
    let urls = words[0].split(',');
    let _silent: Vec<_> =
        urls.flat_map(|url| (0..count).map(move |_| anyipc::connect(url).unwrap())).collect();
    linger();
}

/// One process that waits, and perhaps one that keeps it waiting.
struct Pair {
    what: String,
    waits: Process,
    _silent: Option<Process>,
}

impl Pair {
    fn new(
        place: &Scratch,
        scheme: &str,
        what: &str,
        role: &str,
        wait: &str,
        peers: usize,
    ) -> Self {
        Self::over(place, &[scheme], what, role, wait, peers)
    }

    fn over(
        place: &Scratch,
        schemes: &[&str],
        what: &str,
        role: &str,
        wait: &str,
        peers: usize,
    ) -> Self {
        // A fixed capacity: a sender that sleeps again and again would get a larger ring.
        let url = |scheme: &&str| format!("{}?wait={wait}&capacity=64KiB", url(scheme, "idle"));
        let (url, scheme) =
            (schemes.iter().map(url).collect::<Vec<_>>().join(","), schemes.join(", "));
        let mut waits = spawn(place.path(), &format!("{role} {url} {peers}"));
        waits.expect("ready");
        let silent = spawn(place.path(), &format!("peer {url} {peers}"));
        Self { what: format!("{scheme}: {what}, wait={wait}"), waits, _silent: Some(silent) }
    }

    fn alone(place: &Scratch, what: &str, role: &str) -> Self {
        let mut waits =
            spawn(place.path(), &format!("{role} {}?wait=adaptive", url("shm", "idle")));
        waits.expect("ready");
        Self { what: what.into(), waits, _silent: None }
    }
}

#[test]
fn a_wait_uses_less_than_a_hundredth_of_a_core() {
    let _watchdog = watchdog("the sleepers", Duration::from_secs(60));
    let place = Scratch::new("idle");
    let mut pairs = Vec::new();
    for (scheme, wait) in schemes::between_processes()
        .iter()
        .flat_map(|scheme| ["block", "adaptive"].map(|wait| (scheme, wait)))
    {
        pairs.push(Pair::new(&place, scheme, "a receiver", "receiver", wait, 1));
        pairs.push(Pair::new(&place, scheme, "a sender without room", "sender", wait, 1));
        pairs.push(Pair::new(&place, scheme, "an inbox with one peer", "inbox", wait, 1));
        pairs.push(Pair::new(&place, scheme, "an inbox with 50 peers", "inbox", wait, 50));
        if cfg!(feature = "tokio") {
            pairs.push(Pair::new(&place, scheme, "two tasks", "task", wait, 1));
        }
    }
    for wait in ["block", "adaptive"] {
        pairs.push(Pair::over(
            &place,
            schemes::between_processes(),
            "a select over all of them",
            "select",
            wait,
            1,
        ));
    }
    pairs.push(Pair::alone(&place, "four readers of a block", "watcher"));
    for pair in &mut pairs {
        let ppm: u64 = pair.waits.hear().parse().unwrap();
        eprintln!("{}: {:.3} % of a core", pair.what, ppm as f64 / 1e4);
        assert!(ppm < 10_000, "{} uses {ppm} millionths of a core", pair.what);
        pair.waits.finish();
    }
}
