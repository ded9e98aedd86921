//! A handle of a name: its block, its rendezvous, or both.

mod settings;

use std::any::Any;
use std::ffi::CStr;
use std::sync::Arc;

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Name, Operation, Peer, Rejections, Result, Role, Source,
    Waiter,
};

use crate::block::Block;
use crate::channel::{Receiver, Sender};
use crate::kind::BLOCK;
use anyipc_memory::handover::{self, Acceptor};
use anyipc_os::{Dir, check_generation, generation};
pub(crate) use settings::Settings;

/// A handle of a shared-memory name.
#[derive(Debug)]
pub struct Endpoint {
    name: Name,
    dir: Arc<Dir>,
    settings: Settings,
    acceptor: Option<Acceptor>,
    block: Option<Block>,
    generation: u32,
}

impl Endpoint {
    pub(crate) fn new(
        name: &Name,
        dir: Arc<Dir>,
        settings: Settings,
        acceptor: Option<Acceptor>,
        block: Option<Block>,
    ) -> Self {
        Self { name: name.clone(), dir, settings, acceptor, block, generation: generation() }
    }

    /// The named block, if the name has one.
    pub fn block(&self) -> Option<&Block> {
        self.block.as_ref()
    }

    /// The operation of `try_connect` for this handle.
    fn operation(&self) -> Operation {
        if self.acceptor.is_some() { Operation::Accept } else { Operation::Connect }
    }

    /// Releases everything; reports the status of the block and of the owner's files.
    pub(crate) fn close(mut self) -> Result<()> {
        check_generation(self.generation, Operation::Close)?;
        let owned = self.acceptor.take().map_or(Ok(()), Acceptor::close);
        match self.block.take() {
            Some(block) => block.close().and(owned),
            None => owned,
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
        check_generation(self.generation, self.operation())?;
        match &self.acceptor {
            Some(acceptor) => {
                let met = acceptor.try_accept(attempt, &self.settings);
                if let (Err(error), Some(block)) = (&met, &self.block)
                    && error.is_would_block()
                {
                    block.check_named(Operation::Accept)?;
                }
                met
            }
            None => handover::try_connect(&self.dir, &BLOCK, &self.name, attempt, &self.settings),
        }
    }

    fn arm(&self, attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        check_generation(self.generation, self.operation())?;
        match &self.acceptor {
            Some(acceptor) => acceptor.arm(attempt),
            None => Ok(handover::arm(attempt)),
        }
    }

    fn source(&self, attempt: &Attempt) -> Result<Source> {
        match &self.acceptor {
            Some(acceptor) => acceptor.source(),
            None => handover::source(attempt),
        }
    }

    fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        // A forked child does not have the page.
        let ours = self.generation == generation();
        self.acceptor.as_ref().is_some_and(|acceptor| ours && acceptor.ready(keep, visit))
    }

    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        match &self.block {
            Some(block) => {
                read(&block.lpsz()?);
                Ok(())
            }
            None => Err(Error::new(Operation::ReadLpsz, ErrorKind::NotFound)
                .because("the name has no block; alloc_lpsz makes one that holds a text")),
        }
    }

    fn rejections(&self) -> Rejections {
        // A forked child does not know whether a thread of its parent held the lock on them.
        let ours = self.generation == generation();
        self.acceptor.as_ref().filter(|_| ours).map(Acceptor::rejections).unwrap_or_default()
    }

    fn extension(&self) -> Option<&dyn Any> {
        self.block.as_ref().map(|block| block as &dyn Any)
    }
}
