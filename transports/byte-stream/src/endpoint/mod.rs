//! A handle of a name: the owner's with its listener, or an opener's.
//!
//! - `accept`: the owner's side: listener, authentication, half-open handshakes
//! - `owner_handshake`: one half-open handshake
//! - `connect`: the opener's side, as an attempt; `opener_handshake`: its handshake
//! - `text_request`: the same handshake for the text of a `tcp://` owner

mod accept;
mod connect;
mod opener_handshake;
mod owner_handshake;
mod text_request;

use std::ffi::CStr;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Attempt, Endpoint, Name, Operation, Rejections, Result, Role, Source, Waiter,
};
use anyipc_os::{Dir, NameLock, check_generation, generation};

use crate::halves::{StreamChannel, StreamReceiver, StreamSender};
use crate::named::{Access, StreamScheme};
use crate::proof::Key;
use crate::sys::Stream;
pub use accept::{Acceptor, Authentication};

/// Where the owner of a name listens.
#[derive(Debug)]
pub enum Place {
    /// In the private directory, or in another user's.
    #[expect(missing_docs, reason = "the types say it")]
    Local { scheme: &'static StreamScheme, dir: Arc<Dir>, name: Name, access: Access },
    /// At a port. Both sides prove that they know the key. Requesting the owner's text takes at
    /// most `timeout`.
    #[expect(missing_docs, reason = "said above")]
    Tcp { address: SocketAddr, key: Arc<Key>, timeout: Duration },
}

impl Place {
    /// Begins to connect. `NotFound` or `ConnectionRefused`: no owner listens; `WouldBlock`: its
    /// queue is full.
    fn reach(&self) -> io::Result<Stream> {
        match self {
            Self::Local { scheme, dir, name, .. } => Stream::local(dir, &scheme.socket_of(name)),
            Self::Tcp { address, .. } => Stream::tcp(address),
        }
    }

    /// True if an owner hands the control stream over. Otherwise it issues a join token.
    fn passes_streams(&self) -> bool {
        matches!(self, Self::Local { .. }) && Stream::PASSES_STREAMS
    }

    /// True if an opener's first stream carries both directions and its second one is for control.
    fn both_ways(&self) -> bool {
        matches!(self, Self::Tcp { .. }) && Stream::TCP_BOTH_WAYS
    }
}

/// A handle of a name.
#[derive(Debug)]
pub struct StreamEndpoint {
    place: Place,
    /// The owner's.
    acceptor: Option<Acceptor>,
    /// The owner's, of a local name.
    name_lock: Option<NameLock>,
    /// The fork generation of the process that made the handle.
    generation: u32,
}

impl StreamEndpoint {
    /// The owner's handle; of a local name, with its lock.
    pub fn owner(place: Place, acceptor: Acceptor, name_lock: Option<NameLock>) -> Self {
        Self { place, acceptor: Some(acceptor), name_lock, generation: generation() }
    }

    /// An opener's handle.
    pub fn opener(place: Place) -> Self {
        Self { place, acceptor: None, name_lock: None, generation: generation() }
    }

    /// Gives the handle up.
    ///
    /// # Errors
    /// `StatFailed` if the name was removed by force, `Forked`. The handle is released in either
    /// case.
    pub fn close(self) -> Result<()> {
        check_generation(self.generation, Operation::Close)?;
        self.name_lock.as_ref().map_or(Ok(()), NameLock::check_close)
    }
}

impl Drop for StreamEndpoint {
    fn drop(&mut self) {
        // Files that were removed and created anew meanwhile belong to another owner.
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

    fn try_connect(&self, attempt: &mut Attempt) -> Result<StreamChannel> {
        match &self.acceptor {
            Some(acceptor) => {
                check_generation(self.generation, Operation::Accept)?;
                let accepted = acceptor.try_accept(attempt);
                if let (Err(error), Some(name_lock)) = (&accepted, &self.name_lock)
                    && error.is_would_block()
                {
                    name_lock.check(Operation::Accept)?;
                }
                accepted
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
            (Place::Tcp { timeout, .. }, None) => text_request::read(&self.place, *timeout, read),
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
