//! Peers that misbehave, paths that others have, users that are not wanted, and deaths.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod common;

use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyipc_conformance::{Fixture, kills};
use anyipc_core::{Attempt, ErrorKind, Flags, Hello, Name, Operation, Role};
use anyipc_plain_socket::PlainSocket;
use common::{End, Place, create, meet, name, open};

fn dial(name: &Name) -> UnixStream {
    let address = match name.is_path() {
        true => SocketAddr::from_pathname(name.as_str()),
        false => SocketAddr::from_abstract_name(name.as_str()),
    };
    UnixStream::connect_addr(&address.unwrap()).unwrap()
}

/// An owner with one channel to a stream of ours.
fn dialled(frames: &str) -> (Box<dyn anyipc_core::DynEndpoint>, End, UnixStream) {
    let name = name();
    let owner = create(&name, &[("frames", frames)]).unwrap();
    let stream = dial(&name);
    let end = meet(&*owner).unwrap();
    (owner, end, stream)
}

#[test]
fn a_stream_that_ends_inside_a_message_is_an_error_by_name() {
    for (frames, whole, part) in [
        ("lines", &b"whole\n"[..], &b"half"[..]),
        ("length32le", b"\x05\0\0\0whole", b"\x05\0\0\0hal"),
        ("length32be", b"\0\0\0\x05whole", b"\0\0\0"),
        ("content-length", b"Content-Length: 5\r\n\r\nwhole", b"Content-Length: 5\r\n"),
        ("content-length", b"Content-Length: 5\r\n\r\nwhole", b"Content-Length: 5\r\n\r\nhal"),
    ] {
        let (_owner, mut end, mut stream) = dialled(frames);
        stream.write_all(&[whole, part].concat()).unwrap();
        drop(stream);
        assert_eq!(end.recv().unwrap(), b"whole");
        let error = end.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PeerGone, "{frames}");
        assert!(error.to_string().contains("in the middle of a message"), "{error}");
        assert_eq!(end.recv().unwrap_err().kind(), ErrorKind::PeerGone);
        // Without a part it is an ordinary end.
        let (_owner, mut end, mut stream) = dialled(frames);
        stream.write_all(whole).unwrap();
        drop(stream);
        assert_eq!(end.recv().unwrap(), b"whole");
        assert_eq!(end.recv().unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn a_long_message_is_cut_off_by_name_too() {
    let (_owner, mut end, mut stream) = dialled("length32le");
    let writer = thread::spawn(move || {
        stream.write_all(&300_000_u32.to_le_bytes()).unwrap();
        stream.write_all(&[7; 200_000]).unwrap();
    });
    let error = end.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
    writer.join().unwrap();
}

/// The limit of these channels is 1 MiB. Nothing is kept of what only claims to be long.
#[test]
fn garbage_and_claims_are_corrupt_and_harm_nobody_else() {
    let name = name();
    let owner = create(&name, &[("frames", "content-length")]).unwrap();
    let mut good = dial(&name);
    let mut honest = meet(&*owner).unwrap();
    let before = memory();
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"{\"jsonrpc\":\"2.0\"}\n",
        b"\0\0\0\0",
        b"\x16\x03\x01\x02\0\x01",
        b"Content-Length: 18446744073709551615\r\n\r\n",
        b"Content-Length: 1048577\r\n\r\n",
        b"Content-Length: 99999999999999999999999\r\n\r\n",
        &[b'x'; 5000],
    ] {
        let mut stream = dial(&name);
        let mut end = meet(&*owner).unwrap();
        stream.write_all(garbage).unwrap();
        let error = end.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(end.recv().unwrap_err().kind(), ErrorKind::Corrupt);
        good.write_all(b"Content-Length: 2\r\n\r\nok").unwrap();
        assert_eq!(honest.recv().unwrap(), b"ok");
    }
    for (frames, claim) in
        [("length32le", &b"\xff\xff\xff\xff"[..]), ("length32be", b"\0\x10\0\x01")]
    {
        let (_owner, mut end, mut stream) = dialled(frames);
        stream.write_all(claim).unwrap();
        assert_eq!(end.recv().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    // A line without an end is as long as it may be, then it is refused.
    let (_owner, mut end, mut stream) = dialled("lines");
    let writer = thread::spawn(move || while stream.write_all(&[b'x'; 4096]).is_ok() {});
    let error = end.recv().unwrap_err();
    assert!(error.to_string().contains("max_message"), "{error}");
    drop(end);
    writer.join().unwrap();
    assert!(memory() < before + (16 << 20), "{before} and {}", memory());
    assert_eq!(owner.rejections().count, 0);
}

/// A claim of 1 MiB, 400 times, and not a byte of it.
#[test]
fn a_length_takes_no_memory_before_its_bytes_come() {
    let name = name();
    let owner = create(&name, &[("frames", "length32le")]).unwrap();
    let before = memory();
    let mut kept = Vec::new();
    for _ in 0..400 {
        let mut stream = dial(&name);
        let mut end = meet(&*owner).unwrap();
        stream.write_all(&(1_u32 << 20).to_le_bytes()).unwrap();
        thread::yield_now();
        assert!(end.receiver.try_recv_with(&mut |_, _| {}).unwrap_err().is_would_block());
        kept.push((stream, end));
    }
    assert!(memory() < before + (40 << 20), "{before} and {}", memory());
}

/// Resident bytes of this process.
fn memory() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_peer_that_sends_byte_by_byte_prolongs_no_call() {
    let (_owner, mut end, mut stream) = dialled("content-length");
    let writer = thread::spawn(move || {
        for byte in b"Content-Length: 300\r\n\r\n".iter().chain(&[b'x'; 300]) {
            stream.write_all(&[*byte]).unwrap();
        }
        stream
    });
    assert_eq!(end.recv().unwrap(), [b'x'; 300]);
    writer.join().unwrap();
}

#[test]
fn a_peer_that_reads_nothing_bounds_the_sender_and_gets_whole_frames() {
    let (_owner, mut end, mut stream) = dialled("length32le");
    let mut sent = 0;
    while end.sender.try_send(Flags::NONE, &[sent as u8; 30_000]).is_ok() {
        sent += 1;
        assert!(sent < 1000, "no bound");
    }
    drop(end);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), sent * 30_004, "a part of a frame was sent");
}

#[test]
fn both_ends_of_a_send_learn_of_the_end() {
    let (_owner, mut end, stream) = dialled("lines");
    assert!(end.sender.is_heard());
    drop(stream);
    let begun = Instant::now();
    while end.sender.is_heard() {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(end.send(b"x").unwrap_err().kind(), ErrorKind::Closed);
    // A peer that ends its sending alone still gets answers.
    let (_owner, mut end, mut stream) = dialled("lines");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(end.recv().unwrap_err().kind(), ErrorKind::Closed);
    assert!(end.sender.is_heard());
    end.send(b"answer").unwrap();
    drop(end);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answer\n");
}

#[test]
fn what_others_have_at_a_path_is_not_touched() {
    let place = Place::new();
    // A file.
    let file = place.name("file");
    fs::write(file.as_str(), "precious").unwrap();
    assert_eq!(create(&file, &[]).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(fs::read_to_string(file.as_str()).unwrap(), "precious");
    // A live listener of another program, also by another spelling of its path.
    let path = place.name("live");
    let live = UnixListener::bind(path.as_str()).unwrap();
    let other = Name::path(&path.as_str().replace("/live", "/./live")).unwrap();
    for name in [&path, &other] {
        assert_eq!(create(name, &[]).unwrap_err().kind(), ErrorKind::Exists);
        let adopted = create(name, &[("create", "open_or_create")]).unwrap();
        assert_eq!(adopted.role(), Role::Opener);
    }
    // Only the look at the other spelling had to connect.
    live.set_nonblocking(true).unwrap();
    let mut connections = 0;
    while live.accept().is_ok() {
        connections += 1;
    }
    assert_eq!(connections, 2);
    // A directory that is not there is no reason to wait.
    let error = create(&place.name("no/such"), &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

#[test]
fn a_dead_programs_socket_is_replaced_and_ours_goes_with_us() {
    let place = Place::new();
    let path = place.name("left");
    drop(UnixListener::bind(path.as_str()).unwrap());
    assert!(fs::metadata(path.as_str()).unwrap().file_type().is_socket());
    assert_eq!(open(&path, &[]).unwrap_err().kind(), ErrorKind::NotFound);
    let owner = create(&path, &[]).unwrap();
    let data = fs::metadata(path.as_str()).unwrap();
    assert_eq!(data.permissions().mode() & 0o777, 0o600);
    drop(dial(&path));
    drop(owner);
    assert!(fs::metadata(path.as_str()).is_err());
    // What another program has put in its place meanwhile is not ours to remove.
    let owner = create(&path, &[("allow_uid", "12345")]).unwrap();
    assert_eq!(fs::metadata(path.as_str()).unwrap().permissions().mode() & 0o777, 0o666);
    fs::remove_file(path.as_str()).unwrap();
    let _theirs = UnixListener::bind(path.as_str()).unwrap();
    thread::sleep(Duration::from_millis(1100));
    let hello = Hello { transport: "plain".into(), ..Hello::default() };
    let error = owner.try_connect(&mut Attempt::new(hello)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
    let error = anyipc_core::DynTransport::close(&PlainSocket, owner).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StatFailed, "{error}");
    assert!(fs::metadata(path.as_str()).is_ok());
}

/// With a full queue the kernel forgets a connect; interprocess says that it is under way.
#[test]
fn a_full_queue_is_waited_for() {
    let name = name();
    let owner = create(&name, &[]).unwrap();
    let opener = open(&name, &[]).unwrap();
    let hello = Hello { transport: "plain".into(), ..Hello::default() };
    let mut waiting = Vec::new();
    loop {
        match opener.try_connect(&mut Attempt::new(hello.clone())) {
            Ok(halves) => waiting.push(halves),
            Err(error) => {
                assert!(error.is_would_block(), "{error}");
                break;
            }
        }
        assert!(waiting.len() < 10_000, "no limit of the queue");
    }
    let mut first = meet(&*owner).unwrap();
    let (mut sender, ..) = opener.try_connect(&mut Attempt::new(hello)).unwrap();
    sender.try_send(Flags::NONE, b"one more").unwrap();
    waiting.remove(0).0.try_send(Flags::NONE, b"first").unwrap();
    assert_eq!(first.recv().unwrap(), b"first");
}

/// Another user, by a process of its own. Needs root; without it the test says so.
#[test]
fn other_users_are_turned_away_unless_they_are_named() {
    if !rustix::process::geteuid().is_root() {
        println!("left out: only root can become another user");
        return;
    }
    const DIAL: &str = "import os, socket, sys\n\
        os.setgid(12345); os.setuid(12345)\n\
        s = socket.socket(socket.AF_UNIX); s.connect('\\0' + sys.argv[1])\n\
        s.sendall(b'from 12345\\n'); print(len(s.recv(9)))";
    let run = |name: &Name| Command::new("python3").args(["-c", DIAL, name.as_str()]).spawn();
    let name = name();
    let owner = create(&name, &[]).unwrap();
    let Ok(mut stranger) = run(&name) else {
        println!("left out: python3 is not on this machine");
        return;
    };
    let hello = Hello { transport: "plain".into(), ..Hello::default() };
    let begun = Instant::now();
    while owner.rejections().count == 0 {
        let error = owner.try_connect(&mut Attempt::new(hello.clone())).unwrap_err();
        assert!(error.is_would_block(), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "no rejection");
        thread::sleep(Duration::from_millis(1));
    }
    let last = owner.rejections().last.unwrap();
    assert!(last.contains("allow_uid=12345"), "{last}");
    stranger.wait().unwrap();
    // Another name: a child that another test is starting keeps the first one until its exec.
    let name = common::name();
    let owner = create(&name, &[("allow_uid", "1,12345")]).unwrap();
    let mut stranger = run(&name).unwrap();
    let mut end = meet(&*owner).unwrap();
    assert_eq!(end.peer.uid, Some(12345));
    assert_eq!(end.recv().unwrap(), b"from 12345");
    drop(end);
    stranger.wait().unwrap();
}

/// A stranger that took the name first: nothing is sent to it.
#[test]
fn a_name_that_another_user_took_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("left out: only root can become another user");
        return;
    }
    const SQUAT: &str = "import os, socket, sys\n\
        os.setgid(12345); os.setuid(12345)\n\
        s = socket.socket(socket.AF_UNIX); s.bind('\\0' + sys.argv[1]); s.listen(9)\n\
        c, _ = s.accept(); print(len(c.recv(9)))";
    let name = name();
    let args = ["-c", SQUAT, name.as_str()];
    let Some(squatter) = common::Program::start("python3", &args) else { return };
    let opener = common::open_soon(&name, &[]);
    let error = meet(&*opener).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert_eq!(create(&name, &[]).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(squatter.output(), "0\n");
}

#[test]
fn options_that_no_foreign_peer_could_follow_are_refused() {
    let kind = |pairs: &[(&str, &str)]| create(&name(), pairs).map(drop).unwrap_err().kind();
    assert_eq!(kind(&[("codec", "postcard")]), ErrorKind::InvalidOption);
    assert_eq!(kind(&[("allow_uid", "me")]), ErrorKind::InvalidOption);
    assert_eq!(kind(&[("capacity", "0")]), ErrorKind::InvalidOption);
    let long = Name::new(&"x".repeat(108)).unwrap();
    for error in [create(&long, &[]).unwrap_err(), open(&long, &[]).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
        assert_ne!(error.operation(), Operation::Connect);
    }
    drop(create(&Name::new(&"x".repeat(107)).unwrap(), &[("codec", "json")]).unwrap());
    let refused =
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(name().as_str()).unwrap());
    assert_eq!(refused.unwrap_err().kind(), IoKind::ConnectionRefused);
}

fn fixture() -> Fixture<'static> {
    let fixture = Fixture::new(PlainSocket).sleeper(anyipc_os::sleep);
    fixture
        .option("frames", "length32le")
        .names(|serial| format!("anyipc-plain.kill.{}.{serial}", std::process::id()))
}

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    kills::child(&fixture());
}

#[test]
fn what_a_killed_sender_sent_arrives() {
    kills::sender(&fixture());
}

#[test]
fn a_killed_receiver_is_noticed() {
    kills::receiver(&fixture());
}
