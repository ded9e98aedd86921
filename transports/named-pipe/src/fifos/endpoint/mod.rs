//! A handle of a name: the owner's with its listening FIFO, or an opener's.

mod accept;
mod connect;
mod owner_handshake;

use std::ffi::CStr;

use anyipc_core::{
    Armed, Attempt, Endpoint, Error, Name, Operation, Peer, Rejections, Result, Role, Source,
    Waiter,
};
use anyipc_os::{NameLock, check_generation, generation, show_lpsz};

use crate::fifos::files::{self, NAMING};
use crate::fifos::halves::{PipeReceiver, PipeSender};
use crate::fifos::inventory;
use crate::fifos::settings::Settings;
pub(crate) use accept::Acceptor;

/// A channel: its halves and its peer.
type PipeChannel = (PipeSender, PipeReceiver, Peer);

/// A handle of a named pipe's name.
#[derive(Debug)]
pub struct PipeEndpoint {
    name: Name,
    settings: Settings,
    /// The owner's.
    owned: Option<(Acceptor, NameLock)>,
    /// The fork generation of the process that made the handle.
    generation: u32,
}

impl PipeEndpoint {
    pub(crate) fn owner(
        name: Name,
        settings: Settings,
        acceptor: Acceptor,
        name_lock: NameLock,
    ) -> Self {
        Self { name, settings, owned: Some((acceptor, name_lock)), generation: generation() }
    }

    pub(crate) fn opener(name: Name, settings: Settings) -> Self {
        Self { name, settings, owned: None, generation: generation() }
    }

    /// Gives the handle up. `StatFailed` if the name was removed by force.
    pub(crate) fn close(self) -> Result<()> {
        check_generation(self.generation, Operation::Close)?;
        self.owned.as_ref().map_or(Ok(()), |(_, name_lock)| name_lock.check_close())
    }
}

impl Drop for PipeEndpoint {
    fn drop(&mut self) {
        // Files that were removed and created anew meanwhile belong to another owner.
        if self.owned.as_ref().is_some_and(|(_, name_lock)| name_lock.holds()) {
            inventory::clear(&self.settings.dir, &self.name);
        }
    }
}

impl Endpoint for PipeEndpoint {
    type Sender = PipeSender;
    type Receiver = PipeReceiver;

    fn role(&self) -> Role {
        if self.owned.is_some() { Role::Owner } else { Role::Opener }
    }

    fn try_connect(&self, attempt: &mut Attempt) -> Result<PipeChannel> {
        match &self.owned {
            Some((acceptor, name_lock)) => {
                check_generation(self.generation, Operation::Accept)?;
                let accepted = acceptor.try_accept(&self.name, &self.settings, attempt);
                if accepted.as_ref().is_err_and(Error::is_would_block) {
                    name_lock.check(Operation::Accept)?;
                }
                accepted
            }
            None => {
                check_generation(self.generation, Operation::Connect)?;
                connect::try_connect(&self.name, &self.settings, attempt)
            }
        }
    }

    fn arm(&self, attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        match &self.owned {
            Some((acceptor, _)) => acceptor.arm(),
            None => connect::arm(attempt),
        }
    }

    fn source(&self, attempt: &Attempt) -> Result<Source> {
        match &self.owned {
            Some((acceptor, _)) => Ok(acceptor.source()),
            None => connect::source(attempt),
        }
    }

    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        check_generation(self.generation, Operation::ReadLpsz)?;
        show_lpsz(&self.settings.dir, &NAMING, &self.name, &files::text(&self.name), read)
    }

    fn rejections(&self) -> Rejections {
        self.owned.as_ref().map(|(acceptor, _)| acceptor.rejections()).unwrap_or_default()
    }
}
