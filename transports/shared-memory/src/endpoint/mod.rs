//! A handle of a name: its block, its rendezvous, or both.

mod settings;

use std::any::Any;
use std::ffi::CStr;

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Operation, Peer, Rejections, Result, Role, Source, Waiter,
};
use anyipc_memory::handover::Meeting;

use crate::block::Block;
use crate::channel::{Receiver, Sender};
pub(crate) use settings::Settings;

/// A handle of a shared-memory name.
#[derive(Debug)]
pub struct Endpoint {
    meeting: Meeting,
    settings: Settings,
    block: Option<Block>,
}

impl Endpoint {
    pub(crate) fn new(meeting: Meeting, settings: Settings, block: Option<Block>) -> Self {
        Self { meeting, settings, block }
    }

    /// The named block, if the name has one.
    pub fn block(&self) -> Option<&Block> {
        self.block.as_ref()
    }

    /// Releases everything; reports the status of the block and of the owner's files.
    pub(crate) fn close(self) -> Result<()> {
        let owned = self.meeting.close();
        match self.block {
            Some(block) => block.close().and(owned),
            None => owned,
        }
    }
}

impl anyipc_core::Endpoint for Endpoint {
    type Sender = Sender;
    type Receiver = Receiver;

    fn role(&self) -> Role {
        self.meeting.role()
    }

    fn try_connect(&self, attempt: &mut Attempt) -> Result<(Sender, Receiver, Peer)> {
        self.meeting.try_connect(attempt, &self.settings, || match &self.block {
            Some(block) => block.check_named(Operation::Accept),
            None => Ok(()),
        })
    }

    fn arm(&self, attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        self.meeting.arm(attempt)
    }

    fn source(&self, attempt: &Attempt) -> Result<Source> {
        self.meeting.source(attempt)
    }

    fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        self.meeting.ready(keep, visit)
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
        self.meeting.rejections()
    }

    fn extension(&self) -> Option<&dyn Any> {
        self.block.as_ref().map(|block| block as &dyn Any)
    }
}
