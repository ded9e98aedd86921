//! Platforms that are not built yet: the names of `unix`, each call `Unsupported`.

#![expect(missing_docs, reason = "documented in unix")]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Interest, Source};
use anyipc_os::Dir;

use super::{Credentials, SendRoom};

fn no<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "sockets are not built for this platform yet, see ROADMAP.md; use inproc://",
    ))
}

#[derive(Debug)]
pub struct Stream(Infallible);

impl Stream {
    pub(crate) const PEEKS: bool = false;
    pub(crate) const PASSES_STREAMS: bool = false;
    pub(crate) const TCP_BOTH_WAYS: bool = false;
    pub(crate) const DRAINS: bool = false;

    pub(crate) fn local(_dir: &Dir, _name: &str) -> io::Result<Self> {
        no()
    }
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        no()
    }
    pub fn tcp(_to: &SocketAddr) -> io::Result<Self> {
        no()
    }
    pub fn connected(&self) -> io::Result<bool> {
        match self.0 {}
    }
    pub fn credentials(&self) -> io::Result<Credentials> {
        match self.0 {}
    }
    pub(crate) fn send(&self, _bytes: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn send_two(&self, _first: &[u8], _second: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn send_with(&self, _bytes: &[u8], _other: &Self) -> io::Result<usize> {
        match self.0 {}
    }
    pub fn has_bytes(&self) -> io::Result<bool> {
        match self.0 {}
    }
    pub(crate) fn recv(&self, _bytes: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn recv_with(
        &self,
        _bytes: &mut [u8],
        _other: &mut Option<Self>,
    ) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn sleeps(&self) -> bool {
        match self.0 {}
    }
    pub(crate) fn recv_within(&self, _bytes: &mut [u8], _timeout: Duration) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn tells_of_stop(&self) -> bool {
        match self.0 {}
    }
    pub(crate) fn end_sending(&self) {
        match self.0 {}
    }
    pub(crate) fn end_receiving(&self) {
        match self.0 {}
    }
    pub(crate) fn part(&self) {
        match self.0 {}
    }
    pub(crate) fn writable(&self) -> bool {
        match self.0 {}
    }
    pub(crate) fn limit_sending(&mut self, _bytes: u64) -> io::Result<SendRoom> {
        match self.0 {}
    }
    pub(crate) fn limit_receiving(&self, _bytes: u64) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn raise_send_buffer(&self) {
        match self.0 {}
    }
    pub(crate) fn reset_send_buffer(&self) {
        match self.0 {}
    }
    pub(crate) fn send_interest(&self) -> Interest {
        match self.0 {}
    }
    pub(crate) fn source(self: &Arc<Self>) -> Source {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct Listener(Infallible);

impl Listener {
    pub(crate) fn local(_dir: &Dir, _name: &str, _shared: bool) -> io::Result<Self> {
        no()
    }
    pub fn tcp(_at: &SocketAddr) -> io::Result<Self> {
        no()
    }
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        match self.0 {}
    }
}
