//! Peers that were accepted over `local://` and do what no honest one does, with the stream of both
//! directions or with the control stream.
#![cfg(all(target_os = "linux", not(anyipc_as_macos)))]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyipc_core::{
    ErrorKind, FRAME_HEADER, Flags, FrameHeader, Interest, Name, Reply, SendHalf, Transport, Wait,
};
use anyipc_os::sleep;
use anyipc_socket::{Local, StreamEndpoint, StreamSender};
use common::{Channel, failed, hello, meet, name, options, recv, send};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

const STOP: u8 = 1;
const BYE: [u8; FRAME_HEADER] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
const LONG: Duration = Duration::from_secs(20);

/// The raw ends of a peer that was accepted.
struct RawPeer {
    data: UnixStream,
    control: UnixStream,
}

impl RawPeer {
    fn new(data: UnixStream, control: UnixStream) -> Self {
        for stream in [&data, &control] {
            stream.set_read_timeout(Some(LONG)).unwrap();
        }
        Self { data, control }
    }

    fn send(&mut self, payload: &[u8]) {
        let header = FrameHeader { len: payload.len() as u32, flags: Flags::NONE }.encode();
        self.data.write_all(&[&header, payload].concat()).unwrap();
    }

    fn recv(&mut self, len: usize) -> Vec<u8> {
        let mut frame = vec![0; FRAME_HEADER + len];
        self.data.read_exact(&mut frame).unwrap();
        frame.split_off(FRAME_HEADER)
    }
}

fn owner_of(tag: &str) -> (StreamEndpoint, Name, PathBuf) {
    let name = name(tag);
    let owner = Local.create(&name, &options(&Local, &[])).unwrap();
    let path = Local.inspect(&name, &options(&Local, &[])).unwrap().remove(0).path;
    (owner, name, PathBuf::from(path))
}

/// Receives a whole hello or reply. Its first bytes may bring a descriptor.
fn recv_greeting(stream: &UnixStream) -> (Vec<u8>, Option<OwnedFd>) {
    let (mut received, mut given) = (Vec::new(), None);
    while Reply::missing(&received) > 0 {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = vec![0; Reply::missing(&received)];
        let got = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut rights,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        assert!(got.bytes > 0, "hung up");
        received.extend(&bytes[..got.bytes]);
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                given = fds.last().or(given);
            }
        }
    }
    (received, given)
}

/// An owner's channel with a raw opener.
fn raw_opener(tag: &str) -> (StreamEndpoint, Channel, RawPeer) {
    let (owner, _, path) = owner_of(tag);
    let mut data = UnixStream::connect(path).unwrap();
    data.write_all(&hello("local").encode().unwrap()).unwrap();
    let channel = meet(&owner, hello("local")).unwrap();
    let (welcome, control) = recv_greeting(&data);
    Reply::decode(&welcome).unwrap().unwrap().0.into_result().unwrap();
    (owner, channel, RawPeer::new(data, control.unwrap().into()))
}

/// An opener's channel with a raw owner, which hands this descriptor over with its welcome; and the
/// raw data stream.
fn raw_owner(tag: &str, given: Option<&dyn AsFd>) -> (anyipc_core::Result<Channel>, UnixStream) {
    // An honest owner has the lock. Its listener is replaced, so no connector reaches it.
    let (_honest, name, path) = owner_of(tag);
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        let opener = scope.spawn(|| {
            let endpoint = Local.open(&name, &options(&Local, &[])).unwrap();
            meet(&endpoint, hello("local"))
        });
        let (data, _) = listener.accept().unwrap();
        recv_greeting(&data);
        let welcome = Reply::Welcome(hello("local")).encode().unwrap();
        let fds = given.map(|fd| [fd.as_fd()]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if let Some(fds) = &fds {
            assert!(rights.push(SendAncillaryMessage::ScmRights(fds)));
        }
        sendmsg(&data, &[IoSlice::new(&welcome)], &mut rights, SendFlags::empty()).unwrap();
        (opener.join().unwrap(), data)
    })
}

/// Sends until that fails, and returns the kind of the error. The source may report room in vain,
/// but not again and again.
fn end_of_sending(sender: &mut StreamSender) -> ErrorKind {
    let mut in_vain = 0;
    loop {
        match sender.try_send(Flags::NONE, &[7; 1000]) {
            Ok(()) => in_vain = 0,
            Err(error) if error.is_would_block() => {
                in_vain += 1;
                assert!(in_vain < 10, "the sender busy-loops");
                assert!(sleep(&sender.source().unwrap(), Interest::Writable, LONG), "it hangs");
            }
            Err(error) => return error.kind(),
        }
    }
}

fn fill(sender: &mut StreamSender) {
    while sender.try_send(Flags::NONE, &[7; 1000]).is_ok() {}
}

/// Runs a test that fails if it hangs.
fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel::<()>();
    let runner = thread::spawn(move || {
        test();
        drop(done);
    });
    assert_ne!(finished.recv_timeout(LONG), Err(RecvTimeoutError::Timeout), "it hangs");
    runner.join().unwrap();
}

/// Both directions work.
fn talk(channel: &mut Channel, raw: &mut RawPeer) {
    let (sender, receiver, _) = channel;
    send(sender, b"there").unwrap();
    assert_eq!(raw.recv(5), b"there");
    raw.send(b"back");
    assert_eq!(recv(receiver).unwrap(), b"back");
}

#[test]
fn a_half_that_leaves_ends_its_direction_and_says_so() {
    let (_owner, (sender, mut receiver, _), mut raw) = raw_opener("leave");
    drop(sender);
    let mut rest = Vec::new();
    raw.data.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, BYE);
    raw.send(b"back");
    assert_eq!(recv(&mut receiver).unwrap(), b"back");

    let (_owner, (mut sender, receiver, _), mut raw) = raw_opener("stop");
    raw.send(b"unread");
    drop(receiver);
    assert_eq!(raw.data.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    let mut word = [0];
    raw.control.read_exact(&mut word).unwrap();
    assert_eq!(word, [STOP]);
    send(&mut sender, b"there").unwrap();
    assert_eq!(raw.recv(5), b"there");
}

#[test]
fn a_death_is_peer_gone_with_any_noise_on_the_control_stream() {
    for noise in [&b""[..], b"\0", b"\x02", b"noise", &[0xff; 4096]] {
        let (_owner, mut channel, mut raw) = raw_opener("noise");
        raw.control.write_all(noise).unwrap();
        talk(&mut channel, &mut raw);
        raw.send(b"last");
        drop(raw);
        let (mut sender, mut receiver, _) = channel;
        assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone, "{noise:?}");
        assert_eq!(recv(&mut receiver).unwrap(), b"last");
        assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
    }
}

#[test]
fn a_flood_of_stops_is_one_and_only_for_its_direction() {
    let (_owner, mut channel, mut raw) = raw_opener("flood");
    raw.control.set_nonblocking(true).unwrap();
    while raw.control.write(&[STOP; 4096]).is_ok() {}
    for _ in 0..100 {
        talk(&mut channel, &mut raw);
    }
    drop(raw);
    let (mut sender, mut receiver, _) = channel;
    assert_eq!(end_of_sending(&mut sender), ErrorKind::Closed);
    assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
}

#[test]
fn without_the_control_stream_messages_go_on() {
    let (_owner, mut channel, mut raw) = raw_opener("control");
    raw.control = UnixStream::pair().unwrap().0;
    for _ in 0..100 {
        talk(&mut channel, &mut raw);
    }
    let (mut sender, receiver, _) = channel;
    // That the receiver closes is not heard, which has no other effect.
    drop(receiver);
    assert_eq!(raw.data.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    send(&mut sender, b"there").unwrap();
    assert_eq!(raw.recv(5), b"there");
    drop(raw);
    assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
}

#[test]
fn a_direction_that_ends_without_a_word_is_a_death_and_the_other_goes_on() {
    let (_owner, (mut sender, mut receiver, _), mut raw) = raw_opener("shut-write");
    raw.data.shutdown(Shutdown::Write).unwrap();
    assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
    for _ in 0..100 {
        send(&mut sender, b"there").unwrap();
        assert_eq!(raw.recv(5), b"there");
    }

    let (_owner, (mut sender, mut receiver, _), mut raw) = raw_opener("shut-read");
    raw.data.shutdown(Shutdown::Read).unwrap();
    assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
    for _ in 0..100 {
        raw.send(b"back");
        assert_eq!(recv(&mut receiver).unwrap(), b"back");
    }
}

/// Like a peer that reads nothing until it dies.
#[test]
fn a_peer_that_shuts_a_full_queue_keeps_a_sender_waiting_only_while_it_lives() {
    let (_owner, (mut sender, _receiver, _), raw) = raw_opener("full");
    fill(&mut sender);
    raw.data.shutdown(Shutdown::Read).unwrap();
    let sender = thread::spawn(move || end_of_sending(&mut sender));
    drop(raw);
    assert_eq!(sender.join().unwrap(), ErrorKind::PeerGone);
}

/// The peer may still hold what it handed over, and do anything with it.
#[test]
fn nothing_waits_for_a_control_stream() {
    watched(a_control_stream_that_is_full_and_blocks);
}

fn a_control_stream_that_is_full_and_blocks() {
    let (mine, given) = UnixStream::pair().unwrap();
    let (channel, data) = raw_owner("duplicate", Some(&given));
    let (mut channel, mut raw) = (channel.unwrap(), RawPeer::new(data, mine));
    // No room for a `STOP`, and calls that would block for ever.
    given.set_nonblocking(true).unwrap();
    while (&given).write(&[7; 4096]).is_ok() {}
    given.set_nonblocking(false).unwrap();
    talk(&mut channel, &mut raw);
    let (mut sender, receiver, _) = channel;
    drop(receiver);
    send(&mut sender, b"there").unwrap();
    assert_eq!(raw.recv(5), b"there");
    drop(raw.data);
    assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
}

#[test]
fn a_welcome_with_another_descriptor_or_none_is_no_harm() {
    let (channel, _data) = raw_owner("nothing", None);
    assert_eq!(failed(channel).kind(), ErrorKind::Corrupt);
    let null = std::fs::File::open("/dev/null").unwrap();
    let (pipe, _other) = std::io::pipe().unwrap();
    for (i, given) in [&null as &dyn AsFd, &pipe].into_iter().enumerate() {
        let (channel, data) = raw_owner(&format!("strange-{i}"), Some(given));
        let control = UnixStream::pair().unwrap().0;
        let (mut channel, mut raw) = (channel.unwrap(), RawPeer::new(data, control));
        talk(&mut channel, &mut raw);
        let (mut sender, receiver, _) = channel;
        drop(receiver);
        drop(raw);
        assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
    }
}
