//! Helpers of the tests: calls that wait, and that fail instead of hanging.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::time::Duration;

use anyipc_conformance::WaitLoop;
use anyipc_core::{
    COMMON_KEYS, Endpoint, Error, Flags, Hello, Name, Options, Peer, Result, Transport,
};
use anyipc_socket::{StreamReceiver, StreamSender};

pub(crate) type Channel = (StreamSender, StreamReceiver, Peer);

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

pub(crate) const WAIT_LOOP: WaitLoop = WaitLoop::new(anyipc_os::sleep);

pub(crate) fn send(half: &mut StreamSender, payload: &[u8]) -> Result<()> {
    WAIT_LOOP.send(half, Flags::NONE, payload)
}

pub(crate) fn recv(half: &mut StreamReceiver) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    WAIT_LOOP.recv(half, &mut got)?;
    Ok(got)
}

/// Accepts or connects.
pub(crate) fn meet<E>(endpoint: &E, hello: Hello) -> Result<Channel>
where
    E: Endpoint<Sender = StreamSender, Receiver = StreamReceiver>,
{
    WAIT_LOOP.meet(endpoint, hello)
}

/// Accepts for this long. True if a connector came in.
pub(crate) fn accept_for<E: Endpoint>(endpoint: &E, scheme: &str, time: Duration) -> bool {
    WAIT_LOOP.accept_for(endpoint, hello(scheme), time)
}

pub(crate) fn failed<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.unwrap_err()
}
