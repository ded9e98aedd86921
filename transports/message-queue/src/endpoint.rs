use std::ffi::CStr;
use std::sync::Arc;

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Name, Operation, Peer, Queue, Rejections, Result, Role,
    Source, Waiter,
};

use anyipc_memory::Memory;
use anyipc_memory::handover::{self, Acceptor};
use anyipc_os::{Dir, check_generation, generation};

use crate::channel::{Receiver, Sender};
use crate::kind::KIND;
use crate::layout::Geometry;
use crate::queue::Handle;
use crate::settings::Settings;

/// A handle of a queue's name: its memory, and the owner's rendezvous.
#[derive(Debug)]
pub struct Endpoint {
    name: Name,
    dir: Arc<Dir>,
    settings: Settings,
    acceptor: Option<Acceptor>,
    memory: Arc<Memory>,
    geometry: Geometry,
}

impl Endpoint {
    pub(crate) fn new(
        name: &Name,
        dir: Arc<Dir>,
        settings: Settings,
        acceptor: Option<Acceptor>,
        (memory, geometry): (Memory, Geometry),
    ) -> Self {
        Self { name: name.clone(), dir, settings, acceptor, memory: Arc::new(memory), geometry }
    }

    /// What `try_connect` is for this handle.
    fn operation(&self) -> Operation {
        if self.acceptor.is_some() { Operation::Accept } else { Operation::Connect }
    }

    /// False in a forked child.
    fn is_ours(&self) -> bool {
        self.memory.generation() == generation()
    }

    /// Gives everything up. Handles of the queue keep its memory.
    pub(crate) fn close(self) -> Result<()> {
        check_generation(self.memory.generation(), Operation::Close)?;
        let owned = self.acceptor.map_or(Ok(()), Acceptor::close);
        match Arc::try_unwrap(self.memory) {
            Ok(memory) => memory.close().and(owned),
            Err(_) => owned,
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
        self.memory.check(self.operation())?;
        match &self.acceptor {
            Some(acceptor) => {
                let met = acceptor.try_accept(attempt, &self.settings);
                if met.as_ref().is_err_and(Error::is_would_block) {
                    self.memory.check_named(Operation::Accept)?;
                }
                met
            }
            None => handover::try_connect(&self.dir, &KIND, &self.name, attempt, &self.settings),
        }
    }

    fn arm(&self, attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        self.memory.check(self.operation())?;
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
        let ours = self.is_ours();
        self.acceptor.as_ref().is_some_and(|acceptor| ours && acceptor.ready(keep, visit))
    }

    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        self.memory.check(Operation::ReadLpsz)?;
        if self.geometry.text == 0 {
            return Err(Error::new(Operation::ReadLpsz, ErrorKind::NotFound)
                .because("this queue has no text; alloc_lpsz makes one that has"));
        }
        let mut bytes = vec![0; self.geometry.text];
        self.memory.region().load(self.geometry.text_at(), &mut bytes);
        let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| {
            Error::new(Operation::ReadLpsz, ErrorKind::Corrupt).because("the text has lost its NUL")
        })?;
        read(text);
        Ok(())
    }

    fn rejections(&self) -> Rejections {
        // A forked child does not know whether a thread of its parent held the lock on them.
        let ours = self.is_ours();
        self.acceptor.as_ref().filter(|_| ours).map(Acceptor::rejections).unwrap_or_default()
    }

    /// Also `Mismatch`, if the address says another `max_message` than the queue was made with.
    fn queue(&self) -> Result<Box<dyn Queue>> {
        self.settings.check_longest(&self.geometry)?;
        Ok(Box::new(Handle::new(&self.memory, self.geometry)?))
    }
}
