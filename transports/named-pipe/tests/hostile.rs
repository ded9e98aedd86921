//! Hostile connectors: garbage, silence, slowness, and files that are no FIFOs.
#![cfg(all(target_os = "linux", not(anyipc_as_macos)))]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{
    Attempt, Endpoint as _, ErrorKind, FRAME_HEADER, Flags, Hello, Name, RecvHalf, Reply, Transport,
};
use anyipc_named_pipe::{NamedPipe, PipeEndpoint};
use common::{
    accept_for, create, failed, files, hello, meet, name, open, options, path, recv, send,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// An end of a FIFO that never blocks.
fn fifo(name: &Name, end: &str) -> File {
    OpenOptions::new().read(true).write(true).custom_flags(NONBLOCK).open(path(name, end)).unwrap()
}

fn write_listener(name: &Name, bytes: &[u8]) {
    assert_eq!(fifo(name, ".fifo").write(bytes).unwrap(), bytes.len());
}

/// A connection id that no connector has.
fn connection_id() -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}{:016x}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed))
}

fn ask(name: &Name, connection_id: &str) {
    write_listener(name, format!("\nanyipc-pipe 1 {connection_id}\n").as_bytes());
}

/// A connector without the library.
struct RawConnector {
    up: File,
    down: File,
    _stops: [File; 2],
}

impl RawConnector {
    fn new(name: &Name, says: &[u8]) -> Self {
        let connection_id = connection_id();
        let ends =
            [".up", ".down", ".up-stop", ".down-stop"].map(|end| format!(".{connection_id}{end}"));
        for end in &ends {
            mknodat(CWD, path(name, end), FileType::Fifo, Mode::RWXU, 0).unwrap();
        }
        let down = OpenOptions::new()
            .read(true)
            .custom_flags(NONBLOCK)
            .open(path(name, &ends[1]))
            .unwrap();
        let (up, stops) = (fifo(name, &ends[0]), [fifo(name, &ends[2]), fifo(name, &ends[3])]);
        let hostile = Self { up, down, _stops: stops };
        hostile.send(says);
        ask(name, &connection_id);
        hostile
    }

    fn send(&self, bytes: &[u8]) {
        assert_eq!((&self.up).write(bytes).unwrap(), bytes.len());
    }

    /// What the owner has sent so far, and whether it hung up.
    fn received(&self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let end = (&self.down).read_to_end(&mut bytes);
        (bytes, end.is_ok())
    }
}

/// One message each way between the owner and an honest peer that connects while the owner accepts.
fn honest_peers_meet(owner: &PipeEndpoint, name: &Name) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut sender, mut receiver, _) = meet(&open(name)).unwrap();
            send(&mut sender, b"ping").unwrap();
            assert_eq!(recv(&mut receiver).unwrap(), b"pong");
        });
        let (mut sender, mut receiver, _) = meet(owner).unwrap();
        assert_eq!(recv(&mut receiver).unwrap(), b"ping");
        send(&mut sender, b"pong").unwrap();
    });
}

#[test]
fn garbage_in_the_listener_is_counted_and_confuses_no_other() {
    let name = name("garbage");
    let owner = create(&name);
    let long = [b'x'; 60_000];
    let garbage: [&[u8]; 12] = [
        b"x",
        b"no newline at all",
        b"GET / HTTP/1.1\r\n",
        &[0; 4096],
        &[0xff; 100],
        &long,
        b"anyipc-pipe 1 ",
        b"anyipc-pipe 1 0123456789abcdef0123456789abcde",
        b"anyipc-pipe 1 0123456789abcdef0123456789abcdefF\n",
        b"anyipc-pipe 1 ABCDEF0123456789abcdef0123456789\n",
        b"anyipc-pipe 1 ../../../../../../../../../../dev\n",
        b"anyipc-pipe 2 0123456789abcdef0123456789abcdef\n",
    ];
    for (i, bytes) in garbage.into_iter().enumerate() {
        write_listener(&name, bytes);
        honest_peers_meet(&owner, &name);
        let rejections = owner.rejections();
        assert_eq!(rejections.count, i as u64 + 1, "{:?}", rejections.last);
        assert!(rejections.last.unwrap().contains("no request"));
    }
    assert_eq!(files(&name).len(), 2);
}

#[test]
fn endless_writing_does_not_hold_the_owner() {
    let name = name("flood");
    let owner = create(&name);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for lines in [&b"x\nx\nx\nx\n"[..], &[b'y'; 4096]] {
            let (listener, done) = (fifo(&name, ".fifo"), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let _ = (&listener).write(lines);
                }
            });
        }
        for _ in 0..20 {
            honest_peers_meet(&owner, &name);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(owner.rejections().count > 0);
}

#[test]
fn a_connector_that_gave_up_is_no_offence() {
    let name = name("gone");
    let owner = create(&name);
    for _ in 0..300 {
        ask(&name, &connection_id());
    }
    honest_peers_meet(&owner, &name);
    assert_eq!(owner.rejections().count, 0);
}

#[test]
fn a_slow_connector_is_dropped_within_a_second_and_delays_no_other() {
    const HOSTILES: usize = 100;
    let name = name("slow");
    let owner = create(&name);
    let hostiles: Vec<_> = (0..HOSTILES)
        .map(|i| RawConnector::new(&name, if i % 2 == 0 { b"AIPC\x01" } else { b"" }))
        .collect();
    let begun = Instant::now();
    honest_peers_meet(&owner, &name);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "honest peers connected after {:?}",
        begun.elapsed()
    );
    assert!(!accept_for(&owner, Duration::from_millis(1300)));
    let rejections = owner.rejections();
    assert_eq!(rejections.count, HOSTILES as u64, "{:?}", rejections.last);
    assert!(rejections.last.unwrap().contains("1 s"));
    for hostile in &hostiles {
        let (said, hung_up) = hostile.received();
        assert!(hung_up && said.len() < 2048);
        assert!(matches!(Reply::decode(&said).unwrap(), Some((Reply::Reject { .. }, _))));
    }
    assert_eq!(files(&name).len(), 2, "the FIFOs of living connectors have no names any more");
    honest_peers_meet(&owner, &name);
}

#[test]
fn garbage_instead_of_a_hello_is_turned_away() {
    let name = name("hello");
    let owner = create(&name);
    let mut wrong_length = hello().encode().unwrap();
    wrong_length[6] -= 1;
    let mut too_long = hello().encode().unwrap();
    too_long[7] = 0xff;
    let mut version = hello().encode().unwrap();
    version[4] = 9;
    let other = Hello { transport: "shm".into(), ..hello() }.encode().unwrap();
    let all: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\n",
        &[0; 4096],
        &[0xff; 100],
        &wrong_length,
        &too_long,
        &version,
        &other,
    ];
    for (i, bytes) in all.into_iter().enumerate() {
        let hostile = RawConnector::new(&name, bytes);
        honest_peers_meet(&owner, &name);
        assert_eq!(owner.rejections().count, i as u64 + 1, "{:?}", owner.rejections().last);
        let (said, hung_up) = hostile.received();
        assert!(hung_up);
        assert!(matches!(Reply::decode(&said).unwrap(), Some((Reply::Reject { .. }, _))));
    }
    // One that says too little and leaves.
    drop(RawConnector::new(&name, b"AIPC"));
    honest_peers_meet(&owner, &name);
    assert_eq!(files(&name).len(), 2);
}

#[test]
fn what_is_no_frame_is_corrupt_and_costs_no_memory() {
    let name = name("frames");
    let owner = create(&name);
    for (bytes, expected) in [
        (&[0xfd, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], ErrorKind::Corrupt),
        (&[1, 0, 1, 0, 0, 0, 0, 0], ErrorKind::Corrupt),
        (&[1, 0, 0, 0, 0x80, 0, 0, 0], ErrorKind::Corrupt),
        (&[1, 0, 0, 0, 0, 0, 0, 1], ErrorKind::Corrupt),
        (&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], ErrorKind::Closed),
        (&[5, 0, 0, 0, 0, 0, 0, 0, b'x'], ErrorKind::PeerGone),
    ] {
        let hostile = RawConnector::new(&name, &hello().encode().unwrap());
        let (_sender, mut receiver, _) = meet(&owner).unwrap();
        hostile.send(&[2, 0, 0, 0, 0, 0, 0, 0, b'o', b'k']);
        assert_eq!(recv(&mut receiver).unwrap(), b"ok");
        // One byte at a time: each call would block until the header is complete.
        for byte in bytes {
            assert!(failed(receiver.try_recv_with(&mut |_, _| {})).is_would_block());
            hostile.send(&[*byte]);
        }
        if expected == ErrorKind::PeerGone {
            drop(hostile);
        }
        for _ in 0..3 {
            assert_eq!(failed(recv(&mut receiver)).kind(), expected, "{bytes:?}");
        }
    }
}

/// An honest sender sends one mark at a time. A call that answered any number of them would never
/// return.
#[test]
fn marks_without_frames_between_them_are_corrupt() {
    const MARK: [u8; 8] = [0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let name = name("marks");
    let owner = create(&name);
    let hostile = RawConnector::new(&name, &hello().encode().unwrap());
    let (_sender, mut receiver, _) = meet(&owner).unwrap();
    for _ in 0..3 {
        hostile.send(&MARK);
        assert!(failed(receiver.try_recv_with(&mut |_, _| {})).is_would_block());
    }
    hostile.send(&[2, 0, 0, 0, 0, 0, 0, 0, b'o', b'k']);
    assert_eq!(recv(&mut receiver).unwrap(), b"ok");
    hostile.send(&MARK.repeat(500));
    assert_eq!(failed(receiver.try_recv_with(&mut |_, _| {})).kind(), ErrorKind::Corrupt);
}

#[test]
fn frames_of_any_length_pass_byte_by_byte() {
    let name = name("bytes");
    let owner = create(&name);
    let hostile = RawConnector::new(&name, &hello().encode().unwrap());
    let (_sender, mut receiver, _) = meet(&owner).unwrap();
    for len in [0usize, 1, 7, 300, 5000] {
        let mut bytes = vec![0; FRAME_HEADER];
        bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
        bytes[4] = Flags::MORE.bits();
        bytes.resize(FRAME_HEADER + len, b'z');
        for byte in bytes {
            assert!(failed(receiver.try_recv_with(&mut |_, _| {})).is_would_block());
            hostile.send(&[byte]);
        }
        let mut got = None;
        receiver.try_recv_with(&mut |flags, frame| got = Some((flags, frame.len()))).unwrap();
        assert_eq!(got, Some((Flags::MORE, len)));
    }
}

#[test]
fn files_that_are_no_fifos_are_refused_and_left_alone() {
    let name = name("no-fifos");
    let owner = create(&name);
    let make: [fn(&std::path::Path); 3] = [
        |path| fs::write(path, b"mine").unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
    ];
    for make in make {
        // In the place of each FIFO of a connection.
        for wrong in [".up", ".down", ".up-stop", ".down-stop"] {
            let before = owner.rejections().count;
            let connection_id = connection_id();
            let mut made = Vec::new();
            for end in [".up", ".down", ".up-stop", ".down-stop"] {
                let path = path(&name, &format!(".{connection_id}{end}"));
                if end == wrong {
                    make(&path);
                } else {
                    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
                }
                made.push(path);
            }
            ask(&name, &connection_id);
            honest_peers_meet(&owner, &name);
            assert_eq!(owner.rejections().count, before + 1);
            for path in made {
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            }
        }
    }
    drop(owner);
    // In the place of the listener, and of the lock.
    for (end, dead) in [(".fifo", true), (".lock", true), (".fifo", false)] {
        for make in make {
            let owner = (!dead).then(|| create(&name));
            if !dead {
                fs::remove_file(path(&name, end)).unwrap();
            }
            make(&path(&name, end));
            let error = match &owner {
                Some(_) => {
                    let endpoint = open(&name);
                    failed(endpoint.try_connect(&mut Attempt::new(hello())))
                }
                None if end == ".lock"
                    && path(&name, end).is_file()
                    && !path(&name, end).is_symlink() =>
                {
                    // A lock file without a holder: what a crash may have left.
                    drop(create(&name));
                    continue;
                }
                None => failed(NamedPipe.create(&name, &options(&[]))),
            };
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io), "{end}: {error}");
            assert!(error.to_string().contains(end) || error.kind() == ErrorKind::Io, "{error}");
            let there = path(&name, end);
            assert!(there.symlink_metadata().is_ok(), "not ours to remove");
            fs::remove_file(&there).or_else(|_| fs::remove_dir(&there)).unwrap();
            drop(owner);
            let _ = fs::remove_file(path(&name, ".lock"));
        }
    }
    drop(create(&name));
    assert!(files(&name).is_empty(), "{:?}", files(&name));
}

/// Acts as an owner without the library: reads the request and answers with these bytes.
fn answer(name: &Name, says: &[u8]) -> (File, [File; 3]) {
    let mut line = [0; 100];
    let deadline = Instant::now() + anyipc_conformance::WATCHDOG;
    let got = loop {
        match fifo(name, ".fifo").read(&mut line) {
            Ok(got) => break got,
            Err(_) => assert!(Instant::now() < deadline, "no connector asked"),
        }
        thread::yield_now();
    };
    let text = std::str::from_utf8(&line[..got]).unwrap().trim();
    let connection_id = text.strip_prefix("anyipc-pipe 1 ").unwrap();
    let end = |end: &str| fifo(name, &format!(".{connection_id}{end}"));
    let down = end(".down");
    (&down).write_all(says).unwrap();
    (down, [end(".up"), end(".up-stop"), end(".down-stop")])
}

#[test]
fn an_owner_that_says_nonsense_or_stops_is_named() {
    let name = name("owner");
    let _owner = create(&name);
    for (says, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], ErrorKind::Corrupt),
        (&[0; 100], ErrorKind::Corrupt),
        (b"AIPC\x09\x00\x00\x00", ErrorKind::Mismatch),
        (b"AIPC\x01", ErrorKind::TimedOut),
    ] {
        thread::scope(|scope| {
            let fake = scope.spawn(|| answer(&name, says));
            let begun = Instant::now();
            let error = failed(meet(&open(&name)));
            assert_eq!(error.kind(), expected, "{error}");
            assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
            drop(fake.join());
        });
    }
}
