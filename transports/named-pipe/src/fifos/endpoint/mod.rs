//! A handle of a name: the owner's with its listener, or an opener's.

mod accept;
mod connect;

use std::ffi::CStr;

use anyipc_core::{
    Armed, Attempt, Endpoint, Error, Name, Operation, Peer, Rejections, Result, Role, Source,
    Waiter,
};
use anyipc_os::{NameLock, check_generation, generation, show_lpsz};

use crate::fifos::connection::{PipeReceiver, PipeSender};
use crate::fifos::files::{self, NAMING};
use crate::fifos::inventory;
use crate::fifos::settings::Settings;
pub(crate) use accept::Acceptor;

/// A handle of a named pipe's name.
#[derive(Debug)]
pub struct PipeEndpoint {
    name: Name,
    settings: Settings,
    /// The owner's.
    owns: Option<(Acceptor, NameLock)>,
    generation: u32,
}

impl PipeEndpoint {
    pub(crate) fn owner(
        name: Name,
        settings: Settings,
        acceptor: Acceptor,
        name_lock: NameLock,
    ) -> Self {
        Self { name, settings, owns: Some((acceptor, name_lock)), generation: generation() }
    }

    pub(crate) fn opener(name: Name, settings: Settings) -> Self {
        Self { name, settings, owns: None, generation: generation() }
    }

    /// Gives everything up. `StatFailed` if the name was removed by force.
    pub(crate) fn close(self) -> Result<()> {
        check_generation(self.generation, Operation::Close)?;
        self.owns.as_ref().map_or(Ok(()), |(_, name_lock)| name_lock.check_close())
    }
}

impl Drop for PipeEndpoint {
    fn drop(&mut self) {
        // If someone removed and remade the files underneath, they are not ours to remove.
        if self.owns.as_ref().is_some_and(|(_, name_lock)| name_lock.holds()) {
            inventory::clear(&self.settings.dir, &self.name);
        }
    }
}

impl Endpoint for PipeEndpoint {
    type Sender = PipeSender;
    type Receiver = PipeReceiver;

    fn role(&self) -> Role {
        if self.owns.is_some() { Role::Owner } else { Role::Opener }
    }

    fn try_connect(&self, attempt: &mut Attempt) -> Result<(PipeSender, PipeReceiver, Peer)> {
        match &self.owns {
            Some((acceptor, name_lock)) => {
                check_generation(self.generation, Operation::Accept)?;
                let met = acceptor.try_accept(&self.name, &self.settings, attempt);
                if met.as_ref().is_err_and(Error::is_would_block) {
                    name_lock.check(Operation::Accept)?;
                }
                met
            }
            None => {
                check_generation(self.generation, Operation::Connect)?;
                connect::try_connect(&self.name, &self.settings, attempt)
            }
        }
    }

    fn arm(&self, attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        match &self.owns {
            Some((acceptor, _)) => acceptor.arm(),
            None => connect::arm(attempt),
        }
    }

    fn source(&self, attempt: &Attempt) -> Result<Source> {
        match &self.owns {
            Some((acceptor, _)) => Ok(acceptor.source()),
            None => connect::source(attempt),
        }
    }

    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        check_generation(self.generation, Operation::ReadLpsz)?;
        show_lpsz(&self.settings.dir, &NAMING, &self.name, &files::text(&self.name), read)
    }

    fn rejections(&self) -> Rejections {
        self.owns.as_ref().map(|(acceptor, _)| acceptor.rejections()).unwrap_or_default()
    }
}
