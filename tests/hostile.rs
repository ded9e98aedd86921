//! Messages taken apart and put together, against a transport that does what no honest one does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::collections::VecDeque;
use std::ffi::CStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyipc::transport::{
    Armed, Attempt, Capabilities, Endpoint, Flags, Hello, Key, Name, Options, Peer, RecvHalf,
    SendHalf, Transport, Wait, Waiter, keys,
};
use anyipc::{Channel, Error, ErrorKind, Operation, Registry, Result, Role};
use support::message::pattern;
use support::watchdog::watched;

type Frame = (Flags, Vec<u8>);

/// What the peer sends, and what was sent to it.
#[derive(Debug, Default)]
struct Script {
    incoming: VecDeque<Frame>,
    /// After the incoming ones, these again and again.
    endless: Vec<Frame>,
    /// Frames received so far.
    received: usize,
    outgoing: Vec<Frame>,
    /// How many frames fit before the peer takes none any more.
    room: usize,
}

#[derive(Debug, Clone)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Handle(Scripted);

#[derive(Debug)]
struct Half(Scripted);

const FRAME: usize = 10;

impl Transport for Scripted {
    type Endpoint = Handle;
    fn schemes(&self) -> &'static [&'static str] {
        &["script"]
    }
    fn keys(&self) -> &'static [Key] {
        &[keys::CAPACITY]
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::CHANNEL | Capabilities::HANDSHAKE
    }
    fn create(&self, _: &Name, _: &Options) -> Result<Handle> {
        Ok(Handle(self.clone()))
    }
    fn open(&self, _: &Name, _: &Options) -> Result<Handle> {
        Err(Error::new(Operation::Open, ErrorKind::NotFound))
    }
    fn alloc_lpsz(&self, _: &Name, _: &[u8], _: &Options) -> Result<Handle> {
        Err(Error::new(Operation::AllocLpsz, ErrorKind::Unsupported))
    }
    fn close(&self, _: Handle) -> Result<()> {
        Err(Error::new(Operation::Close, ErrorKind::StatFailed).because("as told"))
    }
}

impl Endpoint for Handle {
    type Sender = Half;
    type Receiver = Half;
    fn role(&self) -> Role {
        Role::Owner
    }
    fn try_connect(&self, _: &mut Attempt) -> Result<(Half, Half, Peer)> {
        let hello = Hello { max_message: 100, ..Hello::default() };
        Ok((Half(self.0.clone()), Half(self.0.clone()), Peer { hello, ..Peer::default() }))
    }
    fn arm(&self, _: &mut Attempt, _: Waiter<'_>) -> Result<Armed> {
        Ok(Armed::After(Duration::from_millis(1)))
    }
    fn read_lpsz(&self, _: &mut dyn FnMut(&CStr)) -> Result<()> {
        Err(Error::new(Operation::ReadLpsz, ErrorKind::Unsupported))
    }
}

impl Wait for Half {
    fn arm(&mut self, _: Waiter<'_>) -> Result<Armed> {
        Ok(Armed::After(Duration::from_millis(1)))
    }
}

impl SendHalf for Half {
    fn max_frame(&self) -> usize {
        FRAME
    }
    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        assert!(max <= FRAME);
        let mut script = self.0.0.lock().unwrap();
        if script.room == 0 {
            return Err(Error::new(Operation::Send, ErrorKind::WouldBlock));
        }
        let mut frame = vec![0; max];
        if let Some(used) = fill(&mut frame) {
            frame.truncate(used);
            script.room -= 1;
            script.outgoing.push((flags, frame));
        }
        Ok(())
    }
}

impl RecvHalf for Half {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        let mut script = self.0.0.lock().unwrap();
        if script.incoming.is_empty() {
            let again = script.endless.clone();
            script.incoming.extend(again);
        }
        let (flags, frame) = script
            .incoming
            .pop_front()
            .ok_or(Error::new(Operation::Receive, ErrorKind::WouldBlock))?;
        script.received += 1;
        drop(script);
        read(flags, &frame);
        Ok(())
    }
}

fn channel(incoming: &[(Flags, &[u8])], endless: &[(Flags, &[u8])]) -> (Scripted, Channel) {
    channel_of("script://x?max_message=50", incoming, endless)
}

fn channel_of(
    url: &str,
    incoming: &[(Flags, &[u8])],
    endless: &[(Flags, &[u8])],
) -> (Scripted, Channel) {
    let own = |frames: &[(Flags, &[u8])]| {
        frames.iter().map(|(f, b)| (*f, b.to_vec())).collect::<Vec<_>>()
    };
    let script = Script {
        incoming: own(incoming).into(),
        endless: own(endless),
        room: 1000,
        ..Script::default()
    };
    let scripted = Scripted(Arc::new(Mutex::new(script)));
    let registry = Registry::empty().with(scripted.clone());
    let channel = registry.create(url).unwrap().accept().unwrap();
    (scripted, channel)
}

fn sent(scripted: &Scripted) -> Vec<Frame> {
    std::mem::take(&mut scripted.0.lock().unwrap().outgoing)
}

const MORE: Flags = Flags::MORE;
const NONE: Flags = Flags::NONE;
const ABORT: Flags = Flags::ABORT;

#[test]
fn a_message_is_taken_apart_at_the_frame() {
    let (peer, mut channel) = channel(&[], &[]);
    for len in [0, 1, 9, 10, 11, 19, 20, 21, 50] {
        let message = pattern(len, 1);
        channel.send(&message).unwrap();
        let frames = sent(&peer);
        let last = frames.len() - 1;
        assert_eq!(frames.len(), len.div_ceil(FRAME).max(1));
        assert!(
            frames
                .iter()
                .enumerate()
                .all(|(i, (f, b))| (*f == NONE) == (i == last) && (i == last || !b.is_empty()))
        );
        assert_eq!(frames.into_iter().flat_map(|(_, b)| b).collect::<Vec<_>>(), message);
    }
    assert_eq!(channel.send(&[0; 51]).unwrap_err().kind(), ErrorKind::MessageTooLarge);
    assert!(sent(&peer).is_empty());
}

#[test]
fn an_abandoned_message_is_called_off() {
    let (peer, mut channel) = channel(&[], &[]);
    peer.0.lock().unwrap().room = 0;
    let timeout = Duration::from_millis(5);
    assert_eq!(channel.send_timeout(&[1; 25], timeout).unwrap_err().kind(), ErrorKind::TimedOut);
    peer.0.lock().unwrap().room = 2;
    assert_eq!(channel.send_timeout(&[2; 25], timeout).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(sent(&peer), [(MORE, vec![2; 10]), (MORE, vec![2; 10])]);
    assert_eq!(channel.try_send(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    peer.0.lock().unwrap().room = 1;
    // The call for off goes out, then there is no room.
    assert_eq!(channel.try_send(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    peer.0.lock().unwrap().room = 9;
    channel.try_send(b"x").unwrap();
    channel.send_with(3, |frame| Some(frame.len())).unwrap();
    assert_eq!(sent(&peer), [(ABORT, vec![]), (NONE, b"x".to_vec()), (NONE, vec![0; 3])]);
}

#[test]
fn fragments_are_put_together() {
    let incoming: &[(Flags, &[u8])] = &[
        (MORE, b"ab"),
        (NONE, b"cd"),
        (NONE, b"e"),
        (MORE, b"lost"),
        (ABORT, b""),
        (MORE, b"f"),
        (MORE, b"g"),
        (NONE, b""),
        (NONE, b""),
        (MORE, b"part"),
    ];
    let (_, mut all) = channel(incoming, &[]);
    for expected in [&b"abcd"[..], b"e", b"fg", b""] {
        assert_eq!(all.try_recv().unwrap(), expected);
    }
    assert_eq!(all.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
    let (peer, mut shown) = channel(incoming, &[]);
    for expected in [&b"abcd"[..], b"e", b"fg", b""] {
        assert_eq!(shown.recv_with(<[u8]>::to_vec).unwrap(), expected);
    }
    assert_eq!(
        shown.recv_timeout(Duration::from_millis(5)).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    peer.0.lock().unwrap().incoming.push_back((NONE, b"y".to_vec()));
    assert_eq!(shown.recv_with(<[u8]>::to_vec).unwrap(), b"party");
}

#[test]
fn a_peer_that_breaks_the_rules_is_found_out() {
    let both = Flags::from_bits(3).unwrap();
    for (frames, why) in [
        (&[(NONE, &[0; 51][..])][..], "max_message=50"),
        (&[(MORE, &[0; 30]), (NONE, &[0; 21])], "max_message=50"),
        (&[(MORE, b"")], "empty fragment"),
        (&[(MORE, b"a"), (MORE, b"")], "empty fragment"),
        (&[(ABORT, b"")], "called"),
        (&[(MORE, b"a"), (ABORT, b"a")], "called"),
        (&[(MORE, b"a"), (both, b"")], "called"),
    ] {
        for with in [false, true] {
            let (_, mut channel) = channel(frames, &[(NONE, b"after")]);
            let mut receive =
                || if with { channel.recv_with(<[u8]>::to_vec) } else { channel.recv() };
            let error = receive().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(receive().unwrap_err().kind(), ErrorKind::Corrupt, "it stays so");
        }
    }
}

#[test]
fn endless_fragments_hold_no_call() {
    watched("endless fragments", || {
        let (_, mut fragments) = channel(&[], &[(MORE, b"x")]);
        assert_eq!(fragments.recv().unwrap_err().kind(), ErrorKind::Corrupt);
        let (_, mut aborts) = channel(&[], &[(MORE, b"x"), (ABORT, b"")]);
        assert_eq!(aborts.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        let error = aborts.recv_timeout(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

/// A call does bounded work, however much of an endless message is there already.
#[test]
fn one_call_takes_a_bounded_part() {
    watched("an endless message", || {
        let endless = || channel_of("script://x?max_message=1GiB", &[], &[(MORE, b"x")]);
        let (script, mut channel) = endless();
        for call in 1..10 {
            assert_eq!(channel.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
            let received = script.0.lock().unwrap().received;
            assert!(received <= call * 1000, "{received} frames in {call} calls");
        }
        let (script, mut channel) = endless();
        let error = channel.recv_timeout(Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(script.0.lock().unwrap().received > 0);
        // What is whole after many calls arrives.
        let mut frames: Vec<(Flags, &[u8])> = vec![(MORE, b"0123456789"); 5000];
        frames.push((NONE, b"end"));
        let (_, mut channel) = channel_of("script://x", &frames, &[]);
        assert_eq!(channel.recv_timeout(Duration::from_secs(20)).unwrap().len(), 50_003);
        let (_, mut channel) = channel_of("script://x", &frames, &[]);
        let mut select = anyipc::Select::new().unwrap();
        assert_eq!(select.wait(&mut [&mut channel]).unwrap(), 0);
        assert_eq!(channel.try_recv().unwrap().len(), 50_003);
    });
}

#[test]
fn a_report_of_close_is_passed_on() {
    let registry = Registry::empty().with(Scripted(Arc::default()));
    let error = registry.create("script://x").unwrap().close().unwrap_err();
    assert_eq!(error.code().map(anyipc::SmCode::value), Some(-5));
    assert!(error.to_string().contains("script://x"), "{error}");
}
