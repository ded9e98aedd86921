//! What the tests share: calls that wait, and give up rather than hang.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, COMMON_KEYS, Endpoint, Error, Flags, Hello, Interest, Name, Options, Peer, RecvHalf,
    Result, SendHalf, Source, Transport, Wait, Waiter,
};
use anyipc_socket::{Receiver, Sender};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// No call may take longer.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(20);

pub(crate) type Channel = (Sender, Receiver, Peer);

/// A name that no other test and no other process uses.
pub(crate) fn name(tag: &str) -> Name {
    Name::new(&format!("socket-{tag}-{}", std::process::id())).unwrap()
}

pub(crate) fn any_port() -> Name {
    Name::new("127.0.0.1:0").unwrap()
}

pub(crate) fn options(transport: &impl Transport, pairs: &[(&str, &str)]) -> Options {
    Options::parse(pairs.iter().copied(), &[COMMON_KEYS, transport.keys()]).unwrap()
}

pub(crate) fn hello(scheme: &str) -> Hello {
    Hello { transport: scheme.into(), max_message: 1 << 20, ..Hello::default() }
}

fn sleep(source: &Source, interest: Interest, longest: Duration) {
    let flags = if interest == Interest::Readable { PollFlags::IN } else { PollFlags::OUT };
    let mut fds = [PollFd::from_borrowed_fd(source.as_fd(), flags)];
    let limit = Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: longest.subsec_nanos().into() };
    poll(&mut fds, Some(&limit)).unwrap();
}

/// Repeats the call until it does not block.
pub(crate) fn wait<W: Wait + ?Sized, T>(
    half: &mut W,
    mut call: impl FnMut(&mut W) -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + WATCHDOG;
    loop {
        match call(half) {
            Err(error) if error.is_would_block() => {}
            done => return done,
        }
        assert!(Instant::now() < deadline, "nothing happened");
        match half.arm(Waiter::Thread)? {
            Armed::Source(interest) => sleep(&half.source()?, interest, WATCHDOG),
            Armed::After(time) => std::thread::sleep(time),
            _ => {}
        }
    }
}

pub(crate) fn send(half: &mut Sender, payload: &[u8]) -> Result<()> {
    wait(half, |half| half.try_send(Flags::NONE, payload))
}

pub(crate) fn recv(half: &mut Receiver) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    wait(half, |half| half.try_recv_with(&mut |_, frame| got = frame.to_vec()))?;
    Ok(got)
}

/// An endpoint's attempt as something to wait for.
struct Trying<'a, E>(&'a E, Attempt);

impl<E: Endpoint> Wait for Trying<'_, E> {
    fn source(&self) -> Result<Source> {
        self.0.source(&self.1)
    }
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.0.arm(&mut self.1, waiter)
    }
}

/// Accepts or connects.
pub(crate) fn meet<E>(endpoint: &E, hello: Hello) -> Result<Channel>
where
    E: Endpoint<Sender = Sender, Receiver = Receiver>,
{
    wait(&mut Trying(endpoint, Attempt::new(hello)), |trying| trying.0.try_connect(&mut trying.1))
}

/// Accepts for this long; true if someone came in.
pub(crate) fn accept_for<E: Endpoint>(endpoint: &E, scheme: &str, time: Duration) -> bool {
    let end = Instant::now() + time;
    let mut trying = Trying(endpoint, Attempt::new(hello(scheme)));
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        match trying.0.try_connect(&mut trying.1) {
            Ok(_) => return true,
            Err(error) => assert!(error.is_would_block(), "{error}"),
        }
        match trying.arm(Waiter::Thread).unwrap() {
            Armed::Source(interest) => sleep(&trying.source().unwrap(), interest, left),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    false
}

pub(crate) fn failed<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.unwrap_err()
}
