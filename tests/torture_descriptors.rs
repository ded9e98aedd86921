//! Owners with hardly any descriptors: connected clients are served, others wait until one leaves,
//! and waiting costs next to nothing.
#![cfg(all(target_os = "linux", feature = "shared-memory", feature = "socket"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::Inbox;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::process::{Process, end_with_parent, say, serve, spawn_here};
use support::schemes::{self, url};
use support::watchdog::watchdog;

/// What the owner's process may open.
const FEW: u64 = 40;
const CLIENTS: usize = 30;
/// How long a client stays inside, so that others have to wait.
const STAY: Duration = Duration::from_millis(400);
const TIMEOUT: &str = "timeout=60s";

#[test]
fn child() {
    serve(&[("echo", echo), ("hoard", hoard), ("squeezed", squeezed)]);
}

fn limit(descriptors: u64) {
    let usual = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors), ..usual }).unwrap();
}

/// An inbox that answers everything.
fn answer(mut inbox: Inbox) -> ! {
    loop {
        match inbox.recv() {
            Ok((from, message)) => drop(inbox.send(from, &message)),
            Err(error) => eprintln!("the owner's recv: {error}"),
        }
    }
}

/// `echo URL <descriptors>`
fn echo(words: &[&str]) {
    end_with_parent();
    limit(words[1].parse().unwrap());
    let inbox = Inbox::new(anyipc::create(words[0]).unwrap()).unwrap();
    say(&inbox.endpoint().address().to_string());
    answer(inbox);
}

/// `hoard URL`: the process has used all its descriptors for something else.
fn hoard(words: &[&str]) {
    end_with_parent();
    limit(FEW);
    let mut inbox = Inbox::new(anyipc::create(words[0]).unwrap()).unwrap();
    assert!(inbox.try_recv().is_err());
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    say(&inbox.endpoint().address().to_string());
    answer(inbox);
}

/// `squeezed URL`: connects with no free descriptor, with one, and so on, and says how it ended.
fn squeezed(words: &[&str]) {
    end_with_parent();
    let taken = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    for free in 0..12 {
        limit(taken + free);
        let met = anyipc::connect(words[0]).and_then(|mut channel| {
            channel.send(b"ping")?;
            channel.recv_timeout(Duration::from_secs(10))
        });
        limit(FEW);
        say(&met.map_or_else(|error| format!("{:?}: {error}", error.kind()), |_| "served".into()));
    }
}

#[test]
fn an_opener_without_descriptors_is_told_so() {
    let _watchdog = watchdog("descriptors", Duration::from_secs(120));
    for scheme in schemes::between_processes() {
        let mut owner = spawn_here(&format!("echo {} 100", url(scheme, "squeezed")));
        let url = owner.hear();
        let mut opener = spawn_here(&format!("squeezed {url}"));
        let mut served = 0;
        for free in 0..12 {
            let heard = opener.hear();
            served += u32::from(heard == "served");
            let told = heard.starts_with("Io: ") && heard.contains("(os error 24)");
            assert!(heard == "served" || told, "{scheme} with {free} free: {heard}");
        }
        assert!(served > 0, "{scheme}");
        owner.kill_with(&url);
        opener.wait();
    }
}

/// How long a process has run or was ready to run: a busy one is so all the time, also on a loaded
/// machine.
fn wanted(process: &Process) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
    let stats = tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("schedstat")).ok());
    let nanos = |stat: String| {
        stat.split(' ').take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>()
    };
    Duration::from_nanos(stats.map(nanos).sum())
}

/// What is busy takes all of it.
fn assert_idle(wanted: Duration, time: Duration, what: &str) {
    assert!(wanted < time * 2 / 3, "{what}: busy for {wanted:?} in {time:?}");
}

#[test]
fn more_clients_than_descriptors_are_all_served_in_the_end() {
    let _watchdog = watchdog("descriptors", Duration::from_secs(300));
    for scheme in schemes::between_processes() {
        let url = url(scheme, "few");
        let mut owner = spawn_here(&format!("echo {url} {FEW}"));
        let url = format!("{}?{TIMEOUT}", owner.hear());
        let start = Instant::now();
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(|| {
                        let mut channel = anyipc::connect(&url)?;
                        for _ in 0..2 {
                            channel.send(b"ping")?;
                            channel.recv_timeout(Duration::from_secs(60))?;
                            thread::sleep(STAY);
                        }
                        Ok::<_, anyipc::Error>(())
                    })
                })
                .collect();
            for client in clients {
                client.join().unwrap().unwrap_or_else(|error| panic!("{url}: {error}"));
            }
        });
        assert_idle(wanted(&owner), start.elapsed(), &url);
        owner.kill_with(&url);
    }
}

#[test]
fn a_connector_of_an_owner_without_descriptors_waits_and_costs_nothing() {
    let _watchdog = watchdog("descriptors", Duration::from_secs(120));
    const TIME: Duration = Duration::from_secs(1);
    for scheme in schemes::between_processes() {
        let url = url(scheme, "none");
        let mut owner = spawn_here(&format!("hoard {url}"));
        let url = format!("{}?timeout=1s", owner.hear());
        let (before, start) = (wanted(&owner), Instant::now());
        let error = anyipc::connect(&url).unwrap_err();
        assert!(start.elapsed() >= TIME, "{url}: {error}");
        assert_idle(wanted(&owner) - before, start.elapsed(), &url);
        owner.kill_with(&url);
    }
}

/// Without the key they can do nothing but hold places.
#[test]
fn silent_connections_do_not_keep_an_owner_busy() {
    let _watchdog = watchdog("descriptors", Duration::from_secs(120));
    let mut owner = spawn_here(&format!("echo {} 1024", url("tcp", "")));
    let address = owner.hear();
    let port = address.strip_prefix("tcp://").unwrap().split('?').next().unwrap();
    let held: Vec<_> = (0..400).map(|_| TcpStream::connect(port).unwrap()).collect();
    // Before their time is over.
    let (before, start) = (wanted(&owner), Instant::now());
    thread::sleep(Duration::from_millis(700));
    assert_idle(wanted(&owner) - before, start.elapsed(), "400 silent connections");
    drop(held);
    let (done, finished) = channel();
    let url = format!("{address}?{TIMEOUT}");
    thread::spawn(move || {
        let mut channel = anyipc::connect(&url).unwrap();
        channel.send(b"ping").unwrap();
        done.send(channel.recv().unwrap()).unwrap();
    });
    assert_eq!(finished.recv_timeout(Duration::from_secs(60)).unwrap(), b"ping");
    owner.kill_with(&address);
}
