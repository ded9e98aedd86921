use std::ffi::CStr;
use std::sync::Arc;

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Name, Operation, Peer, Queue, Rejections, Result, Role,
    Source, Waiter,
};
use anyipc_memory::handover::{self, Acceptor, ChannelFactory};
use anyipc_memory::{Kind, Memory};
use anyipc_os::{Dir, check_generation, generation};

use crate::halves::{Receiver, ReceiverOver, Sender, SenderOver};
use crate::kind::KIND;
use crate::layout::Geometry;
use crate::posix::{self, Record};
use crate::queue::Handle;
use crate::settings::Settings;

/// What lies in a name's memory.
#[derive(Debug)]
pub(crate) enum Body {
    /// The queue itself.
    Memory(Geometry),
    /// The record of one of the kernel's.
    Posix(Record),
}

impl Body {
    /// Where the text lies, and its length with the NUL; 0 without one.
    pub(crate) fn text(&self) -> (usize, usize) {
        match self {
            Self::Memory(geometry) => (geometry.text_at(), geometry.text),
            Self::Posix(record) => (posix::TEXT, record.text),
        }
    }

    /// `Mismatch` if the address insists on something that the queue is not.
    pub(crate) fn check(
        &self,
        settings: &Settings,
        persists: bool,
        operation: Operation,
    ) -> Result<()> {
        match self {
            Self::Memory(geometry) => settings.check(geometry, persists, operation),
            Self::Posix(record) => {
                record.check_namespace(operation)?;
                settings.check_kernel(&record.shape, persists, operation)
            }
        }
    }
}

/// A handle of a queue's name: its memory, and the owner's rendezvous.
#[derive(Debug)]
pub struct Endpoint {
    name: Name,
    dir: Arc<Dir>,
    settings: Settings,
    acceptor: Option<Acceptor>,
    memory: Arc<Memory>,
    body: Body,
}

impl Endpoint {
    pub(crate) fn new(
        name: &Name,
        dir: Arc<Dir>,
        settings: Settings,
        acceptor: Option<Acceptor>,
        (memory, body): (Memory, Body),
    ) -> Self {
        Self { name: name.clone(), dir, settings, acceptor, memory: Arc::new(memory), body }
    }

    /// What `try_connect` is for this handle.
    fn operation(&self) -> Operation {
        if self.acceptor.is_some() { Operation::Accept } else { Operation::Connect }
    }

    /// False in a forked child.
    fn is_ours(&self) -> bool {
        self.memory.generation() == generation()
    }

    /// Takes one step of the handshake.
    fn meet<F: ChannelFactory>(
        &self,
        attempt: &mut Attempt,
        kind: &Kind,
        fabric: &F,
    ) -> Result<(F::Sender, F::Receiver, Peer)> {
        match &self.acceptor {
            Some(acceptor) => {
                let met = acceptor.try_accept(attempt, fabric);
                if met.as_ref().is_err_and(Error::is_would_block) {
                    self.memory.check_named(Operation::Accept)?;
                }
                met
            }
            None => handover::try_connect(&self.dir, kind, &self.name, attempt, fabric),
        }
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
        match &self.body {
            Body::Memory(_) => {
                let (sender, receiver, peer) = self.meet(attempt, &KIND, &self.settings)?;
                Ok((
                    Sender(SenderOver::Memory(sender)),
                    Receiver(ReceiverOver::Memory(receiver)),
                    peer,
                ))
            }
            Body::Posix(record) => {
                let pair = posix::Pair { settings: &self.settings, record };
                let (sender, receiver, peer) = self.meet(attempt, &posix::KIND, &pair)?;
                Ok((
                    Sender(SenderOver::Posix(sender)),
                    Receiver(ReceiverOver::Posix(receiver)),
                    peer,
                ))
            }
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
        let (at, len) = self.body.text();
        if len == 0 {
            return Err(Error::new(Operation::ReadLpsz, ErrorKind::NotFound)
                .because("this queue has no text; alloc_lpsz makes one that has"));
        }
        let mut bytes = vec![0; len];
        self.memory.region().load(at, &mut bytes);
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
        match &self.body {
            Body::Memory(geometry) => {
                self.settings.check_longest(geometry)?;
                Ok(Box::new(Handle::new(&self.memory, *geometry)?))
            }
            Body::Posix(record) => Ok(Box::new(posix::Handle::new(&self.memory, record)?)),
        }
    }
}
