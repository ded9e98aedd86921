//! What the tests share: calls that wait, and give up rather than hang.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, COMMON_KEYS, Endpoint as _, Error, Flags, Hello, Interest, Name, Operation, Options,
    Peer, RecvHalf, Result, SendHalf, Source, Transport, Wait, Waiter,
};
use anyipc_named_pipe::{Endpoint, NamedPipe, Receiver, Sender};
use anyipc_os::{Dir, Scope};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// No call may take longer.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(20);

pub(crate) type Channel = (Sender, Receiver, Peer);

/// A name that no other test and no other process uses.
pub(crate) fn name(tag: &str) -> Name {
    Name::new(&format!("pipe-{tag}-{}", std::process::id())).unwrap()
}

pub(crate) fn options(pairs: &[(&str, &str)]) -> Options {
    Options::parse(pairs.iter().copied(), &[COMMON_KEYS, NamedPipe.keys()]).unwrap()
}

pub(crate) fn create(name: &Name) -> Endpoint {
    NamedPipe.create(name, &options(&[])).unwrap()
}

pub(crate) fn open(name: &Name) -> Endpoint {
    NamedPipe.open(name, &options(&[])).unwrap()
}

pub(crate) fn hello() -> Hello {
    Hello { transport: "pipe".into(), max_message: 1 << 20, ..Hello::default() }
}

fn sleep(source: &Source, interest: Interest, longest: Duration) {
    let flags = if interest == Interest::Readable { PollFlags::IN } else { PollFlags::OUT };
    let mut fds = [PollFd::from_borrowed_fd(source.as_fd(), flags)];
    let limit = Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: longest.subsec_nanos().into() };
    poll(&mut fds, Some(&limit)).unwrap();
}

/// What lies in the private directory of this name.
pub(crate) fn files(name: &Name) -> Vec<String> {
    let stem = format!("pipe+{}", name.os_name());
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.starts_with(&stem))
        .collect();
    names.sort_unstable();
    names
}

/// The private directory.
pub(crate) fn directory() -> PathBuf {
    Dir::open(Scope::User, Operation::Open).unwrap().path().to_owned()
}

/// The file of a name that ends like this.
pub(crate) fn path(name: &Name, end: &str) -> PathBuf {
    directory().join(format!("pipe+{}{end}", name.os_name()))
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
    wait(half, |half| half.try_send(Flags::NONE, payload))?;
    wait(half, |half| half.try_flush())
}

pub(crate) fn recv(half: &mut Receiver) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    wait(half, |half| half.try_recv_with(&mut |_, frame| got = frame.to_vec()))?;
    Ok(got)
}

/// An endpoint's attempt as something to wait for.
struct Trying<'a>(&'a Endpoint, Attempt);

impl Wait for Trying<'_> {
    fn source(&self) -> Result<Source> {
        self.0.source(&self.1)
    }
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.0.arm(&mut self.1, waiter)
    }
}

/// Accepts or connects.
pub(crate) fn meet(endpoint: &Endpoint) -> Result<Channel> {
    wait(&mut Trying(endpoint, Attempt::new(hello())), |trying| trying.0.try_connect(&mut trying.1))
}

/// A channel of a name: the owner's halves, the opener's.
pub(crate) fn pair(owner: &Endpoint, name: &Name) -> (Channel, Channel) {
    std::thread::scope(|scope| {
        let there = scope.spawn(|| meet(&open(name)).unwrap());
        let here = meet(owner).unwrap();
        (here, there.join().unwrap())
    })
}

/// Accepts for this long; true if someone came in.
pub(crate) fn accept_for(endpoint: &Endpoint, time: Duration) -> bool {
    let end = Instant::now() + time;
    let mut trying = Trying(endpoint, Attempt::new(hello()));
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
