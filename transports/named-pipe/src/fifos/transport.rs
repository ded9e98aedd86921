use std::io;

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, Operation, Options, Result, Transport, keys,
};
use anyipc_os::{NameLock, store_lpsz};

use crate::fifos::endpoint::{Acceptor, PipeEndpoint};
use crate::fifos::files::{self, NAMING, listener};
use crate::fifos::inventory;
use crate::fifos::settings::Settings;
use crate::fifos::sys::Fifo;

/// `pipe://`: channels over named pipes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NamedPipe;

impl Transport for NamedPipe {
    type Endpoint = PipeEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["pipe"]
    }

    fn keys(&self) -> &'static [Key] {
        &[keys::CAPACITY, keys::SCOPE, keys::TRUST_ANYWAY]
    }

    fn about(&self) -> &'static str {
        "a rendezvous FIFO in the private directory and four FIFOs per channel, which lose their \
         names at once; at most /proc/sys/fs/pipe-max-size per direction"
    }

    fn file_stem(&self, name: &Name, _options: &Options) -> Option<String> {
        Some(NAMING.stem(name))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::LPSZ
            | Capabilities::CHANNEL
            | Capabilities::HANDSHAKE
            | Capabilities::DELIVERS_AFTER_DEATH
            | Capabilities::INVENTORY
    }

    fn create(&self, name: &Name, options: &Options) -> Result<PipeEndpoint> {
        let settings = Settings::read(options, Operation::Create)?;
        match own(&settings, name, None, Operation::Create)? {
            Some(endpoint) => Ok(endpoint),
            None if settings.adopt => Ok(PipeEndpoint::opener(name.clone(), settings)),
            None => Err(owned(Operation::Create)),
        }
    }

    fn open(&self, name: &Name, options: &Options) -> Result<PipeEndpoint> {
        let settings = Settings::read(options, Operation::Open)?;
        if !NAMING.is_live(&settings.dir, name, Operation::Open)? {
            return Err(Error::new(Operation::Open, ErrorKind::NotFound)
                .because("no process owns this name; create it first"));
        }
        Ok(PipeEndpoint::opener(name.clone(), settings))
    }

    /// The text lives as long as the endpoint. `create=open_or_create` does not apply: a live name
    /// is `Exists`.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<PipeEndpoint> {
        let settings = Settings::read(options, Operation::AllocLpsz)?;
        own(&settings, name, Some(text), Operation::AllocLpsz)?
            .ok_or_else(|| owned(Operation::AllocLpsz))
    }

    fn close(&self, endpoint: PipeEndpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        inventory::list(&Settings::read(options, Operation::List)?.dir)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        inventory::inspect(&Settings::read(options, Operation::Stat)?.dir, name)
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        inventory::remove(&Settings::read(options, Operation::Remove)?.dir, name, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        inventory::sweep(&Settings::read(options, Operation::List)?.dir, fix)
    }
}

/// Becomes the owner of the name; `None` if the name has a live owner.
fn own(
    settings: &Settings,
    name: &Name,
    text: Option<&[u8]>,
    operation: Operation,
) -> Result<Option<PipeEndpoint>> {
    let (dir, path) = (&settings.dir, listener(name));
    let answers = || Fifo::watcher(dir, &path).is_ok();
    let Some(name_lock) = NameLock::take(dir, &NAMING, name, operation, answers)? else {
        return Ok(None);
    };
    // What a dead owner left: this process has the lock, so no live owner uses it.
    inventory::clear(dir, name);
    let fail = |error: io::Error| {
        let path = dir.path().join(&path);
        if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::InvalidData) {
            return Error::new(operation, ErrorKind::Corrupt)
                .because(format!("{} is no FIFO of ours; remove it", path.display()));
        }
        Error::io(operation, &format!("making the FIFO {}", path.display()), error)
    };
    let begin = || {
        if let Some(text) = text {
            store_lpsz(dir, &files::text(name), text)?;
        }
        Fifo::make(dir, &path).map_err(fail)?;
        Acceptor::new(Fifo::writer(dir, &path).map_err(fail)?, operation)
    };
    match begin() {
        Ok(acceptor) => {
            let name_lock = name_lock.with_listener(path.clone());
            Ok(Some(PipeEndpoint::owner(name.clone(), settings.clone(), acceptor, name_lock)))
        }
        Err(error) => {
            inventory::clear(dir, name);
            Err(error)
        }
    }
}

fn owned(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Exists)
        .because("it has a live owner; open it, or say create=open_or_create")
}
