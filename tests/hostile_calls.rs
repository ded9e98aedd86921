//! Every call does bounded work beside a peer that completes the handshake and then floods, stalls
//! and scribbles, from a process of its own. Measures the longest call of each kind: its time, and
//! its thread's processor time, which tells work from a busy machine.
#![cfg(all(target_os = "linux", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyipc::transport::{Attempt, DynEndpoint, Flags, Hello, RecvHalf, SendHalf};
use anyipc::{Address, Channel, Error, ErrorKind, Event, Inbox, PeerId, Registry, Result, Select};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use rustix::time::{ClockId, clock_gettime};
use support::process::{end_with_parent, say, serve, spawn_here};
use support::random::Random;
use support::schemes;
use support::watchdog::watchdog;

/// The shortest time of measuring beside each behaviour, with `accept` and again with an inbox.
const SCENE: Duration = Duration::from_millis(400);
/// What a timed call is given.
const TIMEOUT: Duration = Duration::from_millis(10);
/// How far a call may exceed its timeout: in processor time, and on the clock of a busy machine.
const WORK: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(5);

#[test]
fn child() {
    serve(&[("hostile", hostile)]);
}

// --- The hostile peer.

/// What it does over every transport.
const BEHAVIOURS: &[&str] = &["fragments", "aborts", "empties", "garbage", "dawdle"];
/// Where there is memory to scribble in.
const SCRIBBLE: &str = "scribble";
/// Where that is a ring.
const RECORDS: &[&str] = &["records", "offers"];
/// Where there is a socket that takes them.
const DESCRIPTORS: &str = "descriptors";

type Halves = (Box<dyn SendHalf>, Box<dyn RecvHalf>);

/// `hostile URL MANNER ROLE`: meets again whenever it was thrown out.
fn hostile(words: &[&str]) {
    end_with_parent();
    let (url, behaviour, owns) = (words[0], words[1], words[2] == "owner");
    let mut random = Random::new(7);
    let address: Address = url.parse().unwrap();
    let (transport, options) = Registry::global().resolve(&address).unwrap();
    let owner = owns.then(|| transport.create(address.name(), &options).unwrap());
    // Behind the control words, the array that the owner reads; then the one that it writes.
    let array = if owns { 4096 + CAPACITY } else { 4096 };
    say("ready");
    if behaviour == "queue" {
        let queue = anyipc::open(url).unwrap();
        let _queue = queue.queue().unwrap();
        say("inside");
        loop {
            scribble(Instant::now() + SCENE, |memory, len| words_over(memory, len, &mut random));
        }
    }
    loop {
        let met = match &owner {
            Some(owner) => meet(&**owner, address.scheme()),
            None => transport
                .open(address.name(), &options)
                .and_then(|end| meet(&*end, address.scheme())),
        };
        let Ok((mut sender, _receiver)) = met else { continue };
        let until = Instant::now() + SCENE / 4;
        match behaviour {
            "fragments" => flood(&mut *sender, &[(Flags::MORE, b"x")], until),
            "aborts" => flood(&mut *sender, &[(Flags::MORE, b"x"), (Flags::ABORT, b"")], until),
            "empties" => flood(&mut *sender, &[(Flags::NONE, b"")], until),
            "garbage" => raw(until, |_| random.next().to_le_bytes().repeat(128)),
            // A frame of 60000 bytes begins, and goes on byte by byte.
            "dawdle" => {
                raw(
                    until,
                    |turn| if turn == 0 { 60_000u64.to_le_bytes().to_vec() } else { vec![7] },
                )
            }
            SCRIBBLE => scribble(until, |memory, len| words_over(memory, len, &mut random)),
            "records" => {
                scribble(until, |memory, len| records(memory, len, array, || 1 + random.below(4)))
            }
            "offers" => scribble(until, |memory, len| records(memory, len, array, || 3)),
            DESCRIPTORS => descriptors(until),
            _ => panic!("no behaviour {behaviour}"),
        }
    }
}

/// The handshake, as an honest peer does it.
fn meet(endpoint: &dyn DynEndpoint, scheme: &str) -> Result<Halves> {
    let hello = Hello { transport: scheme.into(), max_message: 16 << 20, ..Hello::default() };
    let mut attempt = Attempt::new(hello);
    let start = Instant::now();
    loop {
        match endpoint.try_connect(&mut attempt) {
            Ok((sender, receiver, _)) => return Ok((sender, receiver)),
            Err(error) if error.is_would_block() && start.elapsed() < Duration::from_secs(1) => {
                std::thread::yield_now();
            }
            Err(error) => return Err(error),
        }
    }
}

fn flood(sender: &mut dyn SendHalf, frames: &[(Flags, &[u8])], until: Instant) {
    for (flags, payload) in frames.iter().cycle() {
        while let Err(error) = sender.try_send(*flags, payload) {
            if !error.is_would_block() || Instant::now() > until {
                return;
            }
            let _ = sender.try_flush();
            std::thread::yield_now();
        }
    }
}

/// Duplicates of the sockets and pipes that this process has but its standard ones.
fn streams() -> Vec<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        if number > 2
            && (target.starts_with("socket:")
                || target.contains(".fifo")
                || target.contains("pipe"))
        {
            found.extend(pidfd_getfd(&own, number, PidfdGetfdFlags::empty()));
        }
    }
    found
}

/// Writes these bytes to the socket, without any protocol.
fn raw(until: Instant, mut bytes: impl FnMut(u64) -> Vec<u8>) {
    let streams = streams();
    let mut turn = 0;
    while Instant::now() < until {
        let bytes = bytes(turn);
        turn += 1;
        for stream in &streams {
            let _ = rustix::io::write(stream, &bytes);
        }
    }
}

/// Many of them, and each 10 ms the last one of a socket that lingers when it is closed.
fn descriptors(until: Instant) {
    let (streams, null) = (streams(), File::open("/dev/null").unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut due = Instant::now();
    while Instant::now() < until {
        let mut lingers = None;
        if Instant::now() >= due {
            due += Duration::from_millis(10);
            lingers = Some(lingering(&listener));
        }
        let first = lingers.as_ref().map_or(null.as_fd(), AsFd::as_fd);
        let many = [first, null.as_fd(), null.as_fd()];
        let mut sent = false;
        for stream in &streams {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            sent |= sendmsg(stream, &[IoSlice::new(&[1])], &mut control, flags).is_ok();
        }
        if !sent {
            // Not here.
            std::mem::forget(lingers);
        }
    }
}

/// A connection that stays open until this process ends; its other end reads nothing.
fn lingering(listener: &TcpListener) -> TcpStream {
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    std::mem::forget(listener.accept().unwrap());
    socket.set_nonblocking(true).unwrap();
    set_socket_linger(&socket, Some(2 * LATE)).unwrap();
    while (&socket).write(&[7; 1 << 16]).is_ok() {}
    socket
}

/// A mapping of the channel's memory, written through the file system.
struct Mapped {
    memory: File,
    start: u64,
}

impl Mapped {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> std::io::Result<()> {
        self.memory.write_all_at(bytes, self.start + at)
    }
}

fn scribble(until: Instant, mut write: impl FnMut(&Mapped, u64)) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped: Vec<_> = maps
        .lines()
        .filter(|line| line.contains("memfd:anyipc") || line.contains("/anyipc-"))
        .filter(|line| line.contains("rw-s"))
        .map(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let end = rest.split(' ').next().unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            let memory = OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
            (Mapped { memory, start: number(start) }, number(end) - number(start))
        })
        .collect();
    while Instant::now() < until {
        mapped.iter().for_each(|(memory, len)| write(memory, *len));
    }
}

/// Random words over the control words and somewhere.
fn words_over(mapped: &Mapped, len: u64, random: &mut Random) {
    let words: Vec<u8> = (0..512).flat_map(|_| random.next().to_le_bytes()).collect();
    mapped.write_all_at(&words, 0).unwrap();
    mapped.write_all_at(&words, random.below(len / 4096) * 4096).unwrap();
}

/// Records in the ring's format, of these kinds, on each line of an array. There are as many lines
/// as positions that headers can tell apart: the owner finds a record on every line, again and
/// again.
fn records(mapped: &Mapped, len: u64, array: u64, mut kind: impl FnMut() -> u64) {
    const LINE: usize = 64;
    let header = |line: u64, kind: u64| (kind << 40 | line << 48).to_le_bytes();
    let lines = CAPACITY.min(len.saturating_sub(array)) / LINE as u64;
    let mut written = vec![0; lines as usize * LINE];
    for (line, record) in written.chunks_mut(LINE).enumerate() {
        record[..8].copy_from_slice(&header(line as u64, kind()));
    }
    mapped.write_all_at(&written, array).unwrap();
}

// --- The one beside it.

const CAPACITY: u64 = 4 << 20;

/// The longest call of each kind.
#[derive(Default)]
struct Longest(BTreeMap<&'static str, (u64, Duration, Duration)>);

impl Longest {
    fn timed<R>(&mut self, what: &'static str, call: impl FnOnce() -> R) -> R {
        let (start, cpu) = (Instant::now(), processor());
        let result = call();
        let (time, work) = (start.elapsed(), processor() - cpu);
        let (count, longest, most) = self.0.entry(what).or_default();
        (*count, *longest, *most) = (*count + 1, time.max(*longest), work.max(*most));
        result
    }

    /// Prints them, and names those that took too long.
    fn report(&self, scene: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (what, (count, longest, most)) in &self.0 {
            let line = format!(
                "{scene:<32} {what:<26} {count:>7} calls, \
                 longest {longest:>9.1?}, {most:>9.1?} work"
            );
            println!("{line}");
            let given = if what.contains("10 ms") { TIMEOUT } else { Duration::ZERO };
            if *longest > given + LATE || *most > given + WORK {
                faults.push(line);
            }
        }
        faults
    }
}

fn processor() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Whether the channel or what it belongs to is of no more use.
fn ended<T>(result: &Result<T>) -> bool {
    let goes_on =
        |error: &Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    !result.as_ref().err().is_none_or(goes_on)
}

fn channels(url: &str, longest: &mut Longest) {
    let owner = anyipc::create(url).unwrap();
    let mut acceptor = owner.acceptor().unwrap();
    let mut select = Select::new().unwrap();
    let until = Instant::now() + SCENE;
    let mut met = false;
    while Instant::now() < until || !met {
        let Ok(mut channel) =
            longest.timed("accept_timeout(10 ms)", || acceptor.accept_timeout(TIMEOUT))
        else {
            continue;
        };
        met = true;
        let turn = Instant::now() + SCENE / 8;
        while Instant::now() < turn && !suffer(&mut channel, longest) {
            let _ = longest
                .timed("select.try_wait", || select.try_wait(&mut [&mut channel, &mut acceptor]));
            let _ = longest.timed("select.wait_timeout(10 ms)", || {
                select.wait_timeout(&mut [&mut channel, &mut acceptor], TIMEOUT)
            });
            let _ = longest.timed("try_accept", || acceptor.try_accept());
        }
        longest.timed("drop", || drop(channel));
    }
    drop(acceptor);
    longest.timed("close of the endpoint", || owner.close()).unwrap();
    longest.timed("a bare sleep (10 ms)", || std::thread::sleep(TIMEOUT));
}

/// Some calls. True if the channel has ended.
fn suffer(channel: &mut Channel, longest: &mut Longest) -> bool {
    let long = [7; 100_000];
    let mut over = false;
    for _ in 0..8 {
        over |= ended(&longest.timed("try_recv", || channel.try_recv()));
        over |= ended(&longest.timed("try_recv_with", || channel.try_recv_with(<[u8]>::len)));
    }
    over |= ended(&longest.timed("recv_timeout(10 ms)", || channel.recv_timeout(TIMEOUT)));
    let _ = longest.timed("try_send", || channel.try_send(b"short"));
    let _ = longest.timed("try_send of 100 kB", || channel.try_send(&long));
    let _ = longest.timed("send_timeout(10 ms)", || channel.send_timeout(&long, TIMEOUT));
    over
}

fn opener(url: &str, longest: &mut Longest) {
    let endpoint = anyipc::open(url).unwrap();
    let mut select = Select::new().unwrap();
    let until = Instant::now() + SCENE;
    let mut met = false;
    while Instant::now() < until || !met {
        let connected =
            longest.timed("connect_timeout(10 ms)", || endpoint.connect_timeout(TIMEOUT));
        // A busy machine may answer later than that.
        let connected = connected.or_else(|_| endpoint.connect_timeout(LATE));
        let Ok(mut channel) = connected else { continue };
        met = true;
        let turn = Instant::now() + SCENE / 8;
        while Instant::now() < turn && !suffer(&mut channel, longest) {
            let _ = longest.timed("select.wait_timeout(10 ms)", || {
                select.wait_timeout(&mut [&mut channel], TIMEOUT)
            });
        }
        longest.timed("drop", || drop(channel));
    }
    longest.timed("close of the endpoint", || endpoint.close()).unwrap();
}

fn inbox(url: &str, longest: &mut Longest) {
    let mut inbox = Inbox::new(anyipc::create(url).unwrap()).unwrap();
    let until = Instant::now() + SCENE;
    let mut met = false;
    while Instant::now() < until || !met {
        let mut inside: Vec<PeerId> = inbox.peers().collect();
        let events = [
            longest.timed("inbox.try_next_event", || inbox.try_next_event()),
            longest.timed("inbox.next_event(10 ms)", || inbox.next_event_timeout(TIMEOUT)),
        ];
        for event in events {
            if let Ok(Event::Connected(id)) = event {
                inside.push(id);
            }
        }
        let _ = longest.timed("inbox.try_recv", || inbox.try_recv());
        let _ = longest.timed("inbox.recv_timeout(10 ms)", || inbox.recv_timeout(TIMEOUT));
        met |= !inside.is_empty();
        for id in inside {
            let _ = longest.timed("inbox.try_send", || inbox.try_send(id, b"short"));
            let _ = longest.timed("inbox.send_timeout(10 ms)", || {
                inbox.send_timeout(id, &[7; 100_000], TIMEOUT)
            });
        }
    }
    longest.timed("drop of the inbox", || drop(inbox));
}

/// Measures the calls beside a hostile peer, with one behaviour after the other.
fn calls_end_in_time(scheme: &str, behaviours: &[&[&str]]) {
    let _watchdog = watchdog(scheme, Duration::from_secs(300));
    let mut faults = Vec::new();
    for behaviour in behaviours.concat() {
        let capacity = if RECORDS.contains(&behaviour) { CAPACITY } else { 64 << 10 };
        let scenes = [
            ("channel", "opener", channels as fn(&str, &mut Longest)),
            ("inbox", "opener", inbox),
            ("opener", "owner", opener),
        ];
        for (side, role, scene) in scenes {
            let url = schemes::url(scheme, "calls") + &format!("?capacity={capacity}");
            let mut hostile = spawn_here(&format!("hostile {url} {behaviour} {role}"));
            hostile.expect("ready");
            let mut longest = Longest::default();
            scene(&url, &mut longest);
            faults.extend(longest.report(&format!("{scheme} {behaviour} {side}")));
            hostile.kill_with(&url);
        }
    }
    assert!(faults.is_empty(), "these took too long:\n{}", faults.join("\n"));
}

#[test]
fn shared_memory() {
    calls_end_in_time("shm", &[BEHAVIOURS, RECORDS, &[SCRIBBLE, DESCRIPTORS]]);
}

#[cfg(feature = "message-queue")]
#[test]
fn message_queues() {
    calls_end_in_time("mq", &[BEHAVIOURS, &[SCRIBBLE, DESCRIPTORS]]);
}

/// Another process that has the queue open scribbles over its memory.
#[cfg(feature = "message-queue")]
#[test]
fn a_queue() {
    let _watchdog = watchdog("queue", Duration::from_secs(120));
    let url = schemes::url("mq", "calls");
    let owner = anyipc::create(&url).unwrap();
    let mut queue = owner.queue().unwrap();
    let mut hostile = spawn_here(&format!("hostile {url} queue opener"));
    hostile.expect("ready");
    hostile.expect("inside");
    let mut longest = Longest::default();
    let until = Instant::now() + SCENE;
    while Instant::now() < until {
        let _ = longest.timed("try_send", || queue.try_send(0, b"short"));
        let _ =
            longest.timed("send_timeout(10 ms)", || queue.send_timeout(0, &[7; 50_000], TIMEOUT));
        let _ = longest.timed("try_recv", || queue.try_recv());
        let _ = longest.timed("recv_timeout(10 ms)", || queue.recv_timeout(TIMEOUT));
        let _ = longest.timed("status", || queue.status());
        let _ = longest.timed("purge", || queue.purge());
    }
    longest.timed("drop", || drop(queue));
    let _ = longest.timed("close", || owner.close());
    hostile.kill_with(&url);
    let faults = longest.report("mq scribble queue");
    assert!(faults.is_empty(), "these took too long:\n{}", faults.join("\n"));
}

#[cfg(feature = "named-pipe")]
#[test]
fn pipes() {
    calls_end_in_time("pipe", &[BEHAVIOURS]);
}

#[cfg(feature = "socket")]
#[test]
fn local_sockets() {
    calls_end_in_time("local", &[BEHAVIOURS, &[DESCRIPTORS]]);
}

#[cfg(feature = "socket")]
#[test]
fn tcp() {
    calls_end_in_time("tcp", &[BEHAVIOURS]);
}

/// The transports without a test of their own above.
#[test]
fn other_transports() {
    let above = ["shm", "mq", "pipe", "local", "tcp"];
    let others = schemes::between_processes().iter().filter(|scheme| !above.contains(scheme));
    others.for_each(|scheme| calls_end_in_time(scheme, &[BEHAVIOURS]));
}
