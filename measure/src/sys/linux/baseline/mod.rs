//! The baselines of [`crate::baseline`] on Linux.

mod descriptors;
mod handover;
mod memory;
mod ring;
mod wake;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{EventfdFlags, eventfd};

use self::descriptors::Descriptors;
use self::handover::{Listener, take};
use self::ring::{Ring, Side};
use self::wake::Wake;
use crate::baseline::{Baseline, Terms};
use crate::framed::Framed;
use crate::link_enum;

/// One side of a baseline.
#[derive(Debug)]
pub enum BaselineLink {
    /// Over shared memory.
    Ring(Ring),
    /// Over pipes or a socket.
    Stream(Framed<Descriptors>),
}

impl BaselineLink {
    fn new(terms: &Terms, side: Side, descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let mut descriptors = descriptors.into_iter();
        let mut next =
            || descriptors.next().ok_or_else(|| io::Error::other("a descriptor is missing"));
        Ok(match terms.baseline {
            Baseline::CacheLine => Self::Ring(Ring::new(terms, side, &next()?, Wake::None)?),
            Baseline::Futex => Self::Ring(Ring::new(terms, side, &next()?, Wake::Futex)?),
            Baseline::Eventfd => {
                let (memory, own, other) = (next()?, next()?, next()?);
                Self::Ring(Ring::new(terms, side, &memory, Wake::Eventfd { own, other })?)
            }
            Baseline::Pipe => Self::stream(terms, next()?, next()?)?,
            Baseline::Unix | Baseline::Tcp => {
                let socket = next()?;
                Self::stream(terms, socket.try_clone()?, socket)?
            }
            Baseline::Memcpy => return Err(io::Error::other("memcpy has one side only")),
        })
    }

    fn stream(terms: &Terms, input: OwnedFd, output: OwnedFd) -> io::Result<Self> {
        let descriptors = Descriptors::new(terms, input, output)?;
        Ok(Self::Stream(Framed::new(descriptors, terms.size, terms.checked)))
    }
}

/// The descriptors of this side, and those of the other one.
fn make(terms: &Terms) -> io::Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    Ok(match terms.baseline {
        Baseline::CacheLine | Baseline::Futex => {
            let memory = ring::memory(terms)?;
            (vec![memory.try_clone()?], vec![memory])
        }
        Baseline::Eventfd => {
            let memory = ring::memory(terms)?;
            let wake_fd = || eventfd(0, EventfdFlags::CLOEXEC);
            let (mine, other) = (wake_fd()?, wake_fd()?);
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
pub struct Offer {
    terms: Terms,
    listener: Listener,
    mine: Vec<OwnedFd>,
    theirs: Vec<OwnedFd>,
}

impl Offer {
    /// Makes what both sides need. `name` is free in the abstract namespace of sockets.
    ///
    /// # Errors
    /// The name is taken, or descriptors ran out.
    pub fn new(terms: Terms, name: &str) -> io::Result<Self> {
        let listener = Listener::new(name)?;
        let (mine, theirs) = make(&terms)?;
        Ok(Self { terms, listener, mine, theirs })
    }

    /// Waits for the other side while `keep_waiting` returns true.
    ///
    /// # Errors
    /// The other side did not come.
    pub fn accept(self, keep_waiting: impl FnMut() -> bool) -> io::Result<BaselineLink> {
        self.listener.give(&self.theirs, keep_waiting)?;
        BaselineLink::new(&self.terms, Side::Driver, self.mine)
    }
}

/// The other end of what a process of this user offers under this name.
///
/// # Errors
/// There is no offer.
pub fn join(terms: Terms, name: &str) -> io::Result<BaselineLink> {
    BaselineLink::new(&terms, Side::Peer, take(name)?)
}

link_enum!(BaselineLink: Ring Stream);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;
    use crate::pattern::Pattern;
    use crate::payload::{Coverage, LAST, Received};
    use crate::wait::Wait;

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
                        checked: Coverage::Full,
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
