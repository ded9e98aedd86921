//! Helpers of the tests: calls that wait, and that fail instead of hanging.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::PathBuf;
use std::time::Duration;

use anyipc_conformance::WaitLoop;
use anyipc_core::{
    COMMON_KEYS, Error, Flags, Hello, Name, Operation, Options, Peer, Result, Transport,
};
use anyipc_named_pipe::{NamedPipe, PipeEndpoint, PipeReceiver, PipeSender};
use anyipc_os::{Dir, Scope};

pub(crate) type Channel = (PipeSender, PipeReceiver, Peer);

/// A name that no other test and no other process uses.
pub(crate) fn name(tag: &str) -> Name {
    Name::new(&format!("pipe-{tag}-{}", std::process::id())).unwrap()
}

pub(crate) fn options(pairs: &[(&str, &str)]) -> Options {
    Options::parse(pairs.iter().copied(), &[COMMON_KEYS, NamedPipe.keys()]).unwrap()
}

pub(crate) fn create(name: &Name) -> PipeEndpoint {
    NamedPipe.create(name, &options(&[])).unwrap()
}

pub(crate) fn open(name: &Name) -> PipeEndpoint {
    NamedPipe.open(name, &options(&[])).unwrap()
}

pub(crate) fn hello() -> Hello {
    Hello { transport: "pipe".into(), max_message: 1 << 20, ..Hello::default() }
}

/// The files of this name in the private directory.
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

/// The path of a name's file with this end.
pub(crate) fn path(name: &Name, end: &str) -> PathBuf {
    directory().join(format!("pipe+{}{end}", name.os_name()))
}

pub(crate) const WAIT_LOOP: WaitLoop = WaitLoop::new(anyipc_os::sleep);

pub(crate) fn send(half: &mut PipeSender, payload: &[u8]) -> Result<()> {
    WAIT_LOOP.send(half, Flags::NONE, payload)?;
    WAIT_LOOP.flush(half)
}

pub(crate) fn recv(half: &mut PipeReceiver) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    WAIT_LOOP.recv(half, &mut got)?;
    Ok(got)
}

/// Accepts or connects.
pub(crate) fn meet(endpoint: &PipeEndpoint) -> Result<Channel> {
    WAIT_LOOP.meet(endpoint, hello())
}

/// A channel of a name: the owner's halves, the opener's.
pub(crate) fn pair(owner: &PipeEndpoint, name: &Name) -> (Channel, Channel) {
    std::thread::scope(|scope| {
        let there = scope.spawn(|| meet(&open(name)).unwrap());
        let here = meet(owner).unwrap();
        (here, there.join().unwrap())
    })
}

/// Accepts for this long. True if a connector came in.
pub(crate) fn accept_for(endpoint: &PipeEndpoint, time: Duration) -> bool {
    WAIT_LOOP.accept_for(endpoint, hello(), time)
}

pub(crate) fn failed<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.unwrap_err()
}
