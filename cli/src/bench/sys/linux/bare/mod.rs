//! The baselines: system calls and bare memory, without any library.

mod bell;
mod handover;
mod memory;
mod ring;
mod stream;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use self::bell::Bell;
use self::handover::{Listener, take};
use self::ring::{Ring, Side};
use self::stream::Stream;
use crate::bench::args::Wait;
use crate::bench::carrier::Baseline;
use crate::bench::link::{Failure, Link, Received};
use crate::bench::pattern::Pattern;
use crate::bench::payload::Verify;

/// How long a side that waits adaptively spins: about what a wake-up costs.
const SPIN: Duration = Duration::from_micros(50);

/// What both sides have to agree on.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Terms {
    pub(in crate::bench) baseline: Baseline,
    pub(in crate::bench) pattern: Pattern,
    pub(in crate::bench) size: usize,
    pub(in crate::bench) wait: Wait,
    pub(in crate::bench) verify: Verify,
}

impl Terms {
    /// How long to spin before sleeping; `None` for ever.
    fn spin(&self) -> Option<Duration> {
        match self.wait {
            Wait::Spin => None,
            Wait::Adaptive => Some(SPIN),
            Wait::Block => Some(Duration::ZERO),
        }
    }
}

/// One side of a baseline.
#[derive(Debug)]
pub(in crate::bench) enum Bare {
    Ring(Ring),
    Stream(Stream),
}

impl Bare {
    fn new(terms: &Terms, side: Side, descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let mut descriptors = descriptors.into_iter();
        let mut next =
            || descriptors.next().ok_or_else(|| io::Error::other("a descriptor is missing"));
        Ok(match terms.baseline {
            Baseline::CacheLine => Self::Ring(Ring::new(terms, side, &next()?, Bell::None)?),
            Baseline::Futex => Self::Ring(Ring::new(terms, side, &next()?, Bell::Futex)?),
            Baseline::Eventfd => {
                let (memory, mine, other) = (next()?, next()?, next()?);
                Self::Ring(Ring::new(terms, side, &memory, Bell::Eventfd { mine, other })?)
            }
            Baseline::Pipe => Self::Stream(Stream::new(terms, next()?, next()?)?),
            Baseline::Unix | Baseline::Tcp => {
                let socket = next()?;
                Self::Stream(Stream::new(terms, socket.try_clone()?, socket)?)
            }
            Baseline::Memcpy => return Err(io::Error::other("memcpy has one side only")),
        })
    }
}

/// The descriptors of both sides.
fn make(terms: &Terms) -> io::Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    Ok(match terms.baseline {
        Baseline::CacheLine | Baseline::Futex => {
            let memory = ring::memory(terms)?;
            (vec![memory.try_clone()?], vec![memory])
        }
        Baseline::Eventfd => {
            let memory = ring::memory(terms)?;
            let bell = || eventfd(0, EventfdFlags::CLOEXEC);
            let (mine, other) = (bell()?, bell()?);
            (
                vec![memory.try_clone()?, mine.try_clone()?, other.try_clone()?],
                vec![memory, other, mine],
            )
        }
        Baseline::Pipe => {
            let ((there, to_there), (here, to_here)) = (io::pipe()?, io::pipe()?);
            (vec![here.into(), to_there.into()], vec![there.into(), to_here.into()])
        }
        Baseline::Unix => {
            let (here, there) = UnixStream::pair()?;
            (vec![here.into()], vec![there.into()])
        }
        Baseline::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let here = TcpStream::connect(listener.local_addr()?)?;
            let there = loop {
                let (there, from) = listener.accept()?;
                if from == here.local_addr()? {
                    break there;
                }
            };
            here.set_nodelay(true)?;
            there.set_nodelay(true)?;
            (vec![here.into()], vec![there.into()])
        }
        Baseline::Memcpy => (Vec::new(), Vec::new()),
    })
}

/// A baseline that waits for its other side.
#[derive(Debug)]
pub(in crate::bench) struct Offer {
    terms: Terms,
    listener: Listener,
    mine: Vec<OwnedFd>,
    theirs: Vec<OwnedFd>,
}

impl Offer {
    /// Makes everything that both sides need.
    pub(in crate::bench) fn new(terms: Terms, name: &str) -> io::Result<Self> {
        let listener = Listener::new(name)?;
        let (mine, theirs) = make(&terms)?;
        Ok(Self { terms, listener, mine, theirs })
    }

    /// Waits for the other side, as long as `patient` is true.
    pub(in crate::bench) fn accept(self, patient: impl FnMut() -> bool) -> io::Result<Bare> {
        self.listener.give(&self.theirs, patient)?;
        Bare::new(&self.terms, Side::Driver, self.mine)
    }
}

/// Takes part in what another process offers under this name.
pub(in crate::bench) fn join(terms: Terms, name: &str) -> io::Result<Bare> {
    Bare::new(&terms, Side::Peer, take(name)?)
}

impl Link for Bare {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        match self {
            Self::Ring(link) => link.send(size, stamp),
            Self::Stream(link) => link.send(size, stamp),
        }
    }

    #[inline]
    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<(), Failure> {
        match self {
            Self::Ring(link) => link.send_many(size, first, count),
            Self::Stream(link) => link.send_many(size, first, count),
        }
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        match self {
            Self::Ring(link) => link.receive(size, expected),
            Self::Stream(link) => link.receive(size, expected),
        }
    }

    fn finish(self, size: usize) -> Result<(), Failure> {
        match self {
            Self::Ring(link) => link.finish(size),
            Self::Stream(link) => link.finish(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::payload::LAST;

    #[test]
    fn every_baseline_carries_messages() {
        for baseline in [
            Baseline::CacheLine,
            Baseline::Futex,
            Baseline::Eventfd,
            Baseline::Pipe,
            Baseline::Unix,
            Baseline::Tcp,
        ] {
            for wait in Wait::ALL.into_iter().filter(|wait| baseline.waits(*wait)) {
                for size in [16, 64, 1000, 1 << 20] {
                    exchange(Terms {
                        baseline,
                        pattern: Pattern::RoundTrip,
                        size,
                        wait,
                        verify: Verify::Full,
                    });
                }
            }
        }
    }

    fn exchange(terms: Terms) {
        let size = terms.size;
        let name = format!(
            "anyipc-bench-test.{}.{:?}.{:?}.{size}",
            std::process::id(),
            terms.baseline,
            terms.wait
        );
        let offer = Offer::new(terms, &name).unwrap();
        let peer = std::thread::spawn(move || {
            let mut link = join(terms, &name).unwrap();
            while terms.pattern.serve(&mut link, size).unwrap() {}
        });
        let mut link = offer.accept(|| true).unwrap();
        for sequence in 0..10 {
            link.send(size, sequence).unwrap();
            assert_eq!(link.receive(size, sequence).unwrap(), Received::Message);
        }
        link.send(size, 10 | LAST).unwrap();
        assert_eq!(link.receive(size, 10).unwrap(), Received::Message);
        link.finish(size).unwrap();
        peer.join().unwrap();
    }
}
