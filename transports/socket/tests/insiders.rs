//! Peers that were let in over `local://` and do what no honest one does: with the stream of both directions, or with the
//! one that tells who leaves.
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

/// The raw ends of a peer that was let in.
struct Insider {
    data: UnixStream,
    control: UnixStream,
}

impl Insider {
    fn new(data: UnixStream, control: UnixStream) -> Self {
        for stream in [&data, &control] {
            stream.set_read_timeout(Some(LONG)).unwrap();
        }
        Self { data, control }
    }

    fn say(&mut self, payload: &[u8]) {
        let header = FrameHeader { len: payload.len() as u32, flags: Flags::NONE }.encode();
        self.data.write_all(&[&header, payload].concat()).unwrap();
    }

    fn hear(&mut self, len: usize) -> Vec<u8> {
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

/// A hello or a reply that has come whole. The first bytes may bring a descriptor.
fn hear_greeting(stream: &UnixStream) -> (Vec<u8>, Option<OwnedFd>) {
    let (mut heard, mut given) = (Vec::new(), None);
    while Reply::missing(&heard) > 0 {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = vec![0; Reply::missing(&heard)];
        let got = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut rights,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        assert!(got.bytes > 0, "hung up");
        heard.extend(&bytes[..got.bytes]);
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                given = fds.last().or(given);
            }
        }
    }
    (heard, given)
}

/// An opener that is one of these.
fn let_in(tag: &str) -> (StreamEndpoint, Channel, Insider) {
    let (owner, _, path) = owner_of(tag);
    let mut data = UnixStream::connect(path).unwrap();
    data.write_all(&hello("local").encode().unwrap()).unwrap();
    let channel = meet(&owner, hello("local")).unwrap();
    let (welcome, control) = hear_greeting(&data);
    Reply::decode(&welcome).unwrap().unwrap().0.into_result().unwrap();
    (owner, channel, Insider::new(data, control.unwrap().into()))
}

/// An owner that is one of these, and gives that descriptor with its welcome. Beside it what our opener came to.
fn let_us_in(tag: &str, given: Option<&dyn AsFd>) -> (anyipc_core::Result<Channel>, UnixStream) {
    // Its lock is an honest one's, who then hears nobody knock.
    let (_honest, name, path) = owner_of(tag);
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        let opener = scope.spawn(|| {
            let endpoint = Local.open(&name, &options(&Local, &[])).unwrap();
            meet(&endpoint, hello("local"))
        });
        let (data, _) = listener.accept().unwrap();
        hear_greeting(&data);
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

/// What sending comes to. It may be told that there is room, but not again and again for nothing.
fn end_of_sending(sender: &mut StreamSender) -> ErrorKind {
    let mut in_vain = 0;
    loop {
        match sender.try_send(Flags::NONE, &[7; 1000]) {
            Ok(()) => in_vain = 0,
            Err(error) if error.is_would_block() => {
                in_vain += 1;
                assert!(in_vain < 10, "it turns in circles");
                assert!(sleep(&sender.source().unwrap(), Interest::Writable, LONG), "it hangs");
            }
            Err(error) => return error.kind(),
        }
    }
}

fn fill(sender: &mut StreamSender) {
    while sender.try_send(Flags::NONE, &[7; 1000]).is_ok() {}
}

/// What waits for ever fails.
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
fn talk(channel: &mut Channel, insider: &mut Insider) {
    let (sender, receiver, _) = channel;
    send(sender, b"there").unwrap();
    assert_eq!(insider.hear(5), b"there");
    insider.say(b"back");
    assert_eq!(recv(receiver).unwrap(), b"back");
}

#[test]
fn a_half_that_leaves_ends_its_direction_and_says_so() {
    let (_owner, (sender, mut receiver, _), mut insider) = let_in("leave");
    drop(sender);
    let mut rest = Vec::new();
    insider.data.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, BYE);
    insider.say(b"back");
    assert_eq!(recv(&mut receiver).unwrap(), b"back");

    let (_owner, (mut sender, receiver, _), mut insider) = let_in("stop");
    insider.say(b"unread");
    drop(receiver);
    assert_eq!(insider.data.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    let mut word = [0];
    insider.control.read_exact(&mut word).unwrap();
    assert_eq!(word, [STOP]);
    send(&mut sender, b"there").unwrap();
    assert_eq!(insider.hear(5), b"there");
}

#[test]
fn who_dies_is_gone_whatever_else_it_said() {
    for noise in [&b""[..], b"\0", b"\x02", b"noise", &[0xff; 4096]] {
        let (_owner, mut channel, mut insider) = let_in("noise");
        insider.control.write_all(noise).unwrap();
        talk(&mut channel, &mut insider);
        insider.say(b"last");
        drop(insider);
        let (mut sender, mut receiver, _) = channel;
        assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone, "{noise:?}");
        assert_eq!(recv(&mut receiver).unwrap(), b"last");
        assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
    }
}

#[test]
fn a_flood_of_stops_is_one_and_only_for_its_direction() {
    let (_owner, mut channel, mut insider) = let_in("flood");
    insider.control.set_nonblocking(true).unwrap();
    while insider.control.write(&[STOP; 4096]).is_ok() {}
    for _ in 0..100 {
        talk(&mut channel, &mut insider);
    }
    drop(insider);
    let (mut sender, mut receiver, _) = channel;
    assert_eq!(end_of_sending(&mut sender), ErrorKind::Closed);
    assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
}

#[test]
fn without_the_control_stream_messages_go_on() {
    let (_owner, mut channel, mut insider) = let_in("control");
    insider.control = UnixStream::pair().unwrap().0;
    for _ in 0..100 {
        talk(&mut channel, &mut insider);
    }
    let (mut sender, receiver, _) = channel;
    // Its word of leaving reaches nobody, and that is all.
    drop(receiver);
    assert_eq!(insider.data.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    send(&mut sender, b"there").unwrap();
    assert_eq!(insider.hear(5), b"there");
    drop(insider);
    assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
}

#[test]
fn a_direction_that_ends_without_a_word_is_a_death_and_the_other_goes_on() {
    let (_owner, (mut sender, mut receiver, _), mut insider) = let_in("shut-write");
    insider.data.shutdown(Shutdown::Write).unwrap();
    assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
    for _ in 0..100 {
        send(&mut sender, b"there").unwrap();
        assert_eq!(insider.hear(5), b"there");
    }

    let (_owner, (mut sender, mut receiver, _), mut insider) = let_in("shut-read");
    insider.data.shutdown(Shutdown::Read).unwrap();
    assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
    for _ in 0..100 {
        insider.say(b"back");
        assert_eq!(recv(&mut receiver).unwrap(), b"back");
    }
}

/// As one that reads nothing, until it dies.
#[test]
fn who_shuts_a_full_queue_keeps_a_sender_waiting_only_while_it_lives() {
    let (_owner, (mut sender, _receiver, _), insider) = let_in("full");
    fill(&mut sender);
    insider.data.shutdown(Shutdown::Read).unwrap();
    let sender = thread::spawn(move || end_of_sending(&mut sender));
    drop(insider);
    assert_eq!(sender.join().unwrap(), ErrorKind::PeerGone);
}

/// What was given to us it may hold, too, and do with as it likes.
#[test]
fn nothing_waits_for_a_control_stream() {
    watched(a_control_stream_that_is_full_and_blocks);
}

fn a_control_stream_that_is_full_and_blocks() {
    let (mine, given) = UnixStream::pair().unwrap();
    let (channel, data) = let_us_in("duplicate", Some(&given));
    let (mut channel, mut insider) = (channel.unwrap(), Insider::new(data, mine));
    // No room for a word of ours, and calls that would wait for ever.
    given.set_nonblocking(true).unwrap();
    while (&given).write(&[7; 4096]).is_ok() {}
    given.set_nonblocking(false).unwrap();
    talk(&mut channel, &mut insider);
    let (mut sender, receiver, _) = channel;
    drop(receiver);
    send(&mut sender, b"there").unwrap();
    assert_eq!(insider.hear(5), b"there");
    drop(insider.data);
    assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
}

#[test]
fn a_welcome_with_another_descriptor_or_none_is_no_harm() {
    let (channel, _data) = let_us_in("nothing", None);
    assert_eq!(failed(channel).kind(), ErrorKind::Corrupt);
    let null = std::fs::File::open("/dev/null").unwrap();
    let (pipe, _other) = std::io::pipe().unwrap();
    for (i, given) in [&null as &dyn AsFd, &pipe].into_iter().enumerate() {
        let (channel, data) = let_us_in(&format!("strange-{i}"), Some(given));
        let control = UnixStream::pair().unwrap().0;
        let (mut channel, mut insider) = (channel.unwrap(), Insider::new(data, control));
        talk(&mut channel, &mut insider);
        let (mut sender, receiver, _) = channel;
        drop(receiver);
        drop(insider);
        assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
    }
}
