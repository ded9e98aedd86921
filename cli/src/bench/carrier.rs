//! What carries the messages of a row: a channel or queues of a transport, or a bare baseline.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::args::Wait;
use super::channel::ChannelLink;
use super::crowd::{Audience, Crowd};
use super::link::{Failure, Link, Received};
use super::memcpy::Memcpy;
use super::queue::QueueLink;
use super::sys::bare::Bare;

/// What carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "carrier", content = "baseline")]
pub(super) enum Carrier {
    /// A channel of a transport.
    Channel,
    /// Two queues of a transport, one each way.
    Queue,
    /// No transport.
    Baseline(Baseline),
}

/// What the library cannot beat, or stands beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Baseline {
    /// Shared memory, both sides spinning on the message's own first word
    CacheLine,
    /// The same, sleeping on a futex
    Futex,
    /// The same, sleeping on an eventfd
    Eventfd,
    /// Two pipes, a length before each message
    Pipe,
    /// A Unix stream socket, a length before each message
    Unix,
    /// TCP over loopback without delay, a length before each message
    Tcp,
    /// One thread that writes, copies and reads: the bandwidth of a core
    Memcpy,
}

impl Baseline {
    /// As in the table, apart from the transports that are built on it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CacheLine => "bare cache line",
            Self::Futex => "bare futex",
            Self::Eventfd => "bare eventfd",
            Self::Pipe => "bare pipe",
            Self::Unix => "bare unix",
            Self::Tcp => "bare tcp",
            Self::Memcpy => "memcpy",
        }
    }

    /// Whether it can wait like this: no row of a comparison spins beside one that sleeps.
    pub(super) const fn waits(self, wait: Wait) -> bool {
        match self {
            Self::CacheLine => matches!(wait, Wait::Spin),
            Self::Futex | Self::Eventfd => !matches!(wait, Wait::Spin),
            Self::Pipe | Self::Unix | Self::Tcp | Self::Memcpy => true,
        }
    }
}

/// One side's end of a carrier.
#[derive(Debug)]
pub(super) enum Wire {
    Channel(ChannelLink),
    Queue(QueueLink),
    Crowd(Crowd),
    Audience(Audience),
    Bare(Bare),
    Memcpy(Memcpy),
}

impl Link for Wire {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        match self {
            Self::Channel(link) => link.send(size, stamp),
            Self::Queue(link) => link.send(size, stamp),
            Self::Crowd(link) => link.send(size, stamp),
            Self::Audience(link) => link.send(size, stamp),
            Self::Bare(link) => link.send(size, stamp),
            Self::Memcpy(link) => link.send(size, stamp),
        }
    }

    #[inline]
    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<(), Failure> {
        match self {
            Self::Channel(link) => link.send_many(size, first, count),
            Self::Queue(link) => link.send_many(size, first, count),
            Self::Crowd(link) => link.send_many(size, first, count),
            Self::Audience(link) => link.send_many(size, first, count),
            Self::Bare(link) => link.send_many(size, first, count),
            Self::Memcpy(link) => link.send_many(size, first, count),
        }
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        match self {
            Self::Channel(link) => link.receive(size, expected),
            Self::Queue(link) => link.receive(size, expected),
            Self::Crowd(link) => link.receive(size, expected),
            Self::Audience(link) => link.receive(size, expected),
            Self::Bare(link) => link.receive(size, expected),
            Self::Memcpy(link) => link.receive(size, expected),
        }
    }

    fn finish(self, size: usize) -> Result<(), Failure> {
        match self {
            Self::Channel(link) => link.finish(size),
            Self::Queue(link) => link.finish(size),
            Self::Crowd(link) => link.finish(size),
            Self::Audience(link) => link.finish(size),
            Self::Bare(link) => link.finish(size),
            Self::Memcpy(link) => link.finish(size),
        }
    }
}
