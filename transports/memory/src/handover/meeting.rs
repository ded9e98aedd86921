use std::sync::Arc;

use anyipc_core::{Armed, Attempt, Error, Name, Operation, Peer, Rejections, Result, Role, Source};

use super::accept::Acceptor;
use super::channel_factory::ChannelFactory;
use super::connect;
use super::rendezvous::Rendezvous;
use crate::kind::Kind;
use crate::sys::{Dir, check_generation, generation};

/// The part of a handle of a name that makes channels: the owner's accepts, an opener's connects.
#[derive(Debug)]
pub struct Meeting {
    dir: Arc<Dir>,
    kind: &'static Kind,
    name: Name,
    /// `Some` in the owner.
    acceptor: Option<Acceptor>,
    generation: u32,
}

impl Meeting {
    /// Becomes the owner of the name. `None` if another process is.
    ///
    /// # Errors
    /// What the system says.
    pub fn own(
        dir: Arc<Dir>,
        kind: &'static Kind,
        name: &Name,
        operation: Operation,
    ) -> Result<Option<Self>> {
        let Some(rendezvous) = Rendezvous::take(Arc::clone(&dir), kind, name, operation)? else {
            return Ok(None);
        };
        let acceptor = Acceptor::new(rendezvous, operation)?;
        Ok(Some(Self { acceptor: Some(acceptor), ..Self::open(dir, kind, name) }))
    }

    /// An opener's.
    pub fn open(dir: Arc<Dir>, kind: &'static Kind, name: &Name) -> Self {
        Self { dir, kind, name: name.clone(), acceptor: None, generation: generation() }
    }

    /// The side of the handle.
    pub fn role(&self) -> Role {
        if self.acceptor.is_some() { Role::Owner } else { Role::Opener }
    }

    /// `Forked` in a child of the process that made the handle.
    fn check(&self) -> Result<()> {
        check_generation(
            self.generation,
            match self.role() {
                Role::Owner => Operation::Accept,
                Role::Opener => Operation::Connect,
            },
        )
    }

    /// False in a forked child: it has no ready page, and does not know whether a thread of its
    /// parent held the owner's lock.
    fn is_ours(&self) -> bool {
        self.generation == generation()
    }

    /// Takes one step of accepting or of connecting. An owner without a connector calls
    /// `check_named`: whether the name still leads to its object.
    ///
    /// # Errors
    /// See [`anyipc_core::Endpoint::try_connect`].
    pub fn try_connect<F: ChannelFactory>(
        &self,
        attempt: &mut Attempt,
        factory: &F,
        check_named: impl FnOnce() -> Result<()>,
    ) -> Result<(F::Sender, F::Receiver, Peer)> {
        self.check()?;
        let Some(acceptor) = &self.acceptor else {
            return connect::try_connect(&self.dir, self.kind, &self.name, attempt, factory);
        };
        let met = acceptor.try_accept(attempt, factory);
        if met.as_ref().is_err_and(Error::is_would_block) {
            check_named()?;
        }
        met
    }

    /// Prepares to wait for the attempt.
    ///
    /// # Errors
    /// `Forked`, `Io`.
    pub fn arm(&self, attempt: &Attempt) -> Result<Armed> {
        self.check()?;
        match &self.acceptor {
            Some(acceptor) => acceptor.arm(attempt),
            None => Ok(connect::arm(attempt)),
        }
    }

    /// What a reactor registers.
    ///
    /// # Errors
    /// `Unsupported` while there is nothing to register.
    pub fn source(&self, attempt: &Attempt) -> Result<Source> {
        match &self.acceptor {
            Some(acceptor) => acceptor.source(),
            None => connect::source(attempt),
        }
    }

    /// See [`anyipc_core::Endpoint::ready`].
    pub fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        let ours = self.is_ours();
        self.acceptor.as_ref().is_some_and(|acceptor| ours && acceptor.ready(keep, visit))
    }

    /// How many connectors the owner rejected, and the last reason.
    pub fn rejections(&self) -> Rejections {
        let ours = self.is_ours();
        self.acceptor.as_ref().filter(|_| ours).map(Acceptor::rejections).unwrap_or_default()
    }

    /// Gives the name up, if it is owned.
    ///
    /// # Errors
    /// `Forked`; `StatFailed` if the name was removed from under the owner.
    pub fn close(self) -> Result<()> {
        check_generation(self.generation, Operation::Close)?;
        self.acceptor.map_or(Ok(()), Acceptor::close)
    }
}
