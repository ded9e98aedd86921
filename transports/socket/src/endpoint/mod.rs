//! A handle of a name: the owner's with its listener, or an opener's.

mod accept;
mod connect;
mod guest;
mod question;

use std::ffi::CStr;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Name, Operation, Peer, Rejections, Result, Role, Source, Waiter,
};
use anyipc_os::{Claim, Dir, check_generation, generation};

use crate::halves::{Receiver, Sender};
use crate::local::{self, Access};
use crate::sys::Stream;
use crate::tcp::Key;
pub(crate) use accept::{Acceptor, Entry};

/// Where a name is.
#[derive(Debug)]
pub(crate) enum Place {
    Local { dir: Arc<Dir>, name: Name, access: Access },
    Tcp { address: SocketAddr, key: Arc<Key>, patience: Duration },
}

impl Place {
    /// Begins to connect. `NotFound` or `ConnectionRefused`: nobody listens; `WouldBlock`: its queue is full.
    fn reach(&self) -> io::Result<Stream> {
        match self {
            Self::Local { dir, name, .. } => Stream::local(dir, &local::socket_of(name)),
            Self::Tcp { address, .. } => Stream::tcp(address),
        }
    }

    /// Whether an owner hands the stream of the other direction over, or gives a ticket for it.
    fn passes_streams(&self) -> bool {
        matches!(self, Self::Local { .. }) && Stream::PASSES_STREAMS
    }
}

/// A handle of a socket's name.
#[derive(Debug)]
pub struct Endpoint {
    place: Place,
    acceptor: Option<Acceptor>,
    /// The owner's, of a local name.
    claim: Option<Claim>,
    generation: u32,
}

impl Endpoint {
    pub(crate) fn owner(place: Place, acceptor: Acceptor, claim: Option<Claim>) -> Self {
        Self { place, acceptor: Some(acceptor), claim, generation: generation() }
    }

    pub(crate) fn opener(place: Place) -> Self {
        Self { place, acceptor: None, claim: None, generation: generation() }
    }

    /// Gives everything up. `StatFailed` if the name was removed by force.
    pub(crate) fn close(self) -> Result<()> {
        check_generation(self.generation, Operation::Close)?;
        if self.claim.as_ref().is_none_or(Claim::holds) {
            return Ok(());
        }
        Err(Error::new(Operation::Close, ErrorKind::StatFailed)
            .because("the name was removed from under its owner; the handle is released"))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // If someone removed and remade the files underneath, they are not ours to remove.
        if let (Place::Local { dir, name, .. }, Some(claim)) = (&self.place, &self.claim)
            && claim.holds()
        {
            local::clear(dir, name);
        }
    }
}

impl anyipc_core::Endpoint for Endpoint {
    type Sender = Sender;
    type Receiver = Receiver;

    fn role(&self) -> Role {
        if self.acceptor.is_some() { Role::Owner } else { Role::Opener }
    }

    fn try_connect(&self, attempt: &mut Attempt) -> Result<(Sender, Receiver, Peer)> {
        match &self.acceptor {
            Some(acceptor) => {
                check_generation(self.generation, Operation::Accept)?;
                acceptor.try_accept(attempt)
            }
            None => {
                check_generation(self.generation, Operation::Connect)?;
                connect::try_connect(&self.place, attempt)
            }
        }
    }

    fn arm(&self, attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        match &self.acceptor {
            Some(acceptor) => acceptor.arm(),
            None => connect::arm(attempt),
        }
    }

    fn source(&self, attempt: &Attempt) -> Result<Source> {
        match &self.acceptor {
            Some(acceptor) => Ok(acceptor.source()),
            None => connect::source(attempt),
        }
    }

    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        check_generation(self.generation, Operation::ReadLpsz)?;
        match (&self.place, &self.acceptor) {
            (Place::Local { dir, name, .. }, _) => local::read_text(dir, name, read),
            (Place::Tcp { .. }, Some(owner)) => owner.read_text(read),
            (Place::Tcp { patience, .. }, None) => question::ask(&self.place, *patience, read),
        }
    }

    fn rejections(&self) -> Rejections {
        self.acceptor.as_ref().map(Acceptor::rejections).unwrap_or_default()
    }

    fn local_name(&self) -> Option<Name> {
        match &self.place {
            Place::Tcp { address, .. } => Name::new(&address.to_string()).ok(),
            Place::Local { .. } => None,
        }
    }
}
