//! A handle of a name: the owner's with its listener, or an opener's.

mod accept;
mod connect;
mod owner_handshake;
mod text_request;

use std::ffi::CStr;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Attempt, Endpoint, Name, Operation, Peer, Rejections, Result, Role, Source, Waiter,
};
use anyipc_os::{Dir, NameLock, check_generation, generation};

use crate::halves::{StreamReceiver, StreamSender};
use crate::named::{Access, StreamScheme};
use crate::proof::Key;
use crate::sys::Stream;
pub use accept::{Acceptor, Authentication};

/// Where a name is.
#[derive(Debug)]
pub enum Place {
    /// A name in the private directory.
    #[expect(missing_docs, reason = "the types say it")]
    Local { scheme: &'static StreamScheme, dir: Arc<Dir>, name: Name, access: Access },
    /// A port, for those who know the key; its owner may take so long to tell its text.
    #[expect(missing_docs, reason = "said above")]
    Tcp { address: SocketAddr, key: Arc<Key>, patience: Duration },
}

impl Place {
    /// Begins to connect. `NotFound` or `ConnectionRefused`: nobody listens; `WouldBlock`: its queue is full.
    fn reach(&self) -> io::Result<Stream> {
        match self {
            Self::Local { scheme, dir, name, .. } => Stream::local(dir, &scheme.socket_of(name)),
            Self::Tcp { address, .. } => Stream::tcp(address),
        }
    }

    /// Whether an owner hands the stream of the other direction over, or gives a token for it.
    fn passes_streams(&self) -> bool {
        matches!(self, Self::Local { .. }) && Stream::PASSES_STREAMS
    }

    /// Whether the stream that an opener comes over can carry both directions, and the one that it adds is for control.
    fn both_ways(&self) -> bool {
        matches!(self, Self::Tcp { .. }) && Stream::TCP_BOTH_WAYS
    }
}

/// A handle of a name.
#[derive(Debug)]
pub struct StreamEndpoint {
    place: Place,
    acceptor: Option<Acceptor>,
    /// The owner's, of a local name.
    name_lock: Option<NameLock>,
    generation: u32,
}

impl StreamEndpoint {
    /// The owner's handle; of a local name, with the name_lock on it.
    pub fn owner(place: Place, acceptor: Acceptor, name_lock: Option<NameLock>) -> Self {
        Self { place, acceptor: Some(acceptor), name_lock, generation: generation() }
    }

    /// An opener's handle.
    pub fn opener(place: Place) -> Self {
        Self { place, acceptor: None, name_lock: None, generation: generation() }
    }

    /// Gives everything up. `StatFailed` if the name was removed by force.
    pub fn close(self) -> Result<()> {
        check_generation(self.generation, Operation::Close)?;
        self.name_lock.as_ref().map_or(Ok(()), NameLock::check_close)
    }
}

impl Drop for StreamEndpoint {
    fn drop(&mut self) {
        // If someone removed and remade the files underneath, they are not ours to remove.
        if let (Place::Local { scheme, dir, name, .. }, Some(name_lock)) =
            (&self.place, &self.name_lock)
            && name_lock.holds()
        {
            scheme.clear(dir, name);
        }
    }
}

impl Endpoint for StreamEndpoint {
    type Sender = StreamSender;
    type Receiver = StreamReceiver;

    fn role(&self) -> Role {
        if self.acceptor.is_some() { Role::Owner } else { Role::Opener }
    }

    fn try_connect(&self, attempt: &mut Attempt) -> Result<(StreamSender, StreamReceiver, Peer)> {
        match &self.acceptor {
            Some(acceptor) => {
                check_generation(self.generation, Operation::Accept)?;
                let met = acceptor.try_accept(attempt);
                if let (Err(error), Some(name_lock)) = (&met, &self.name_lock)
                    && error.is_would_block()
                {
                    name_lock.check(Operation::Accept)?;
                }
                met
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
            (Place::Local { scheme, dir, name, .. }, _) => scheme.read_text(dir, name, read),
            (Place::Tcp { .. }, Some(owner)) => owner.read_text(read),
            (Place::Tcp { patience, .. }, None) => text_request::ask(&self.place, *patience, read),
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
