use std::sync::Arc;

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, Operation, Options, Result, Transport,
};
use anyipc_memory::handover::{Acceptor, Rendezvous};

use anyipc_memory::{Memory, Path, Plan, Region};
use anyipc_os::Dir;

use crate::client;
use crate::endpoint::Endpoint;
use crate::kind::KIND;
use crate::layout::{Geometry, LAYOUT, other_layout};
use crate::settings::{KEYS, Settings};
use crate::store::Store;

/// `mq://`: bounded priority queues for many senders and many receivers, and channels over queues.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageQueue;

impl Transport for MessageQueue {
    type Endpoint = Endpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["mq"]
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn about(&self) -> &'static str {
        "a file in the private directory, mapped: chunks of 128 bytes, two locks that survive \
         their owners, 256 handles at a time; channels: such queues in a memfd, handed over a Unix \
         socket"
    }

    fn file_stem(&self, name: &Name, _options: &Options) -> Option<String> {
        Some(KIND.stem(name))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::OUTLIVES_CREATOR
            | Capabilities::LPSZ
            | Capabilities::CHANNEL
            | Capabilities::DELIVERS_AFTER_DEATH
            | Capabilities::PEER_CREDENTIALS
            | Capabilities::PERSISTS
            | Capabilities::PRIORITIES
            | Capabilities::QUEUE
            | Capabilities::INVENTORY
    }

    /// A queue that persists is alive without holders, too: `Exists`, unless it is adopted. One
    /// that does not persist, and has lost its owner, is taken over with its messages, although
    /// openers still hold it.
    fn create(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        make(name, options, None, Operation::Create)
    }

    fn open(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        let operation = Operation::Open;
        let settings = Settings::read(options, operation)?;
        let dir = Arc::new(Dir::open(settings.scope, operation)?);
        let path = path(&dir, name, &settings, operation);
        let memory =
            Memory::open(path, &|region| put_right(region, operation)).map_err(|error| {
                if error.kind() != ErrorKind::NotFound {
                    return error;
                }
                error.because(
                    "no process holds a queue of this name, and none stayed; create it first",
                )
            })?;
        let geometry = read(&memory.region(), operation)?;
        settings.check(&geometry, memory.persists(), operation)?;
        Ok(Endpoint::new(name, dir, settings, None, (memory, geometry)))
    }

    /// The text lives as long as the queue. `create=open_or_create` does not apply: a live name is
    /// `Exists`.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Endpoint> {
        make(name, options, Some(text), Operation::AllocLpsz)
    }

    fn close(&self, endpoint: Endpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        anyipc_memory::list(&dir(options, Operation::List)?, &KIND)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        anyipc_memory::inspect(&dir(options, Operation::Stat)?, &KIND, name)
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        anyipc_memory::remove(&dir(options, Operation::Remove)?, &KIND, name, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        anyipc_memory::sweep(&dir(options, Operation::List)?, &KIND, fix)
    }
}

fn dir(options: &Options, operation: Operation) -> Result<Dir> {
    Dir::open(Settings::read(options, operation)?.scope, operation)
}

fn path<'a>(
    dir: &'a Arc<Dir>,
    name: &'a Name,
    settings: &Settings,
    operation: Operation,
) -> Path<'a> {
    Path { dir, kind: &KIND, name, patience: settings.patience, operation }
}

/// Makes a queue or adopts an existing one, and becomes its owner if it has none.
fn make(
    name: &Name,
    options: &Options,
    text: Option<&[u8]>,
    operation: Operation,
) -> Result<Endpoint> {
    let settings = Settings::read(options, operation)?;
    let adopt = settings.adopt && text.is_none();
    let dir = Arc::new(Dir::open(settings.scope, operation)?);
    let len = text.map_or(0, |text| text.len().saturating_add(1));
    let geometry = settings.queue(len);
    let size = geometry.size().ok_or(Error::new(operation, ErrorKind::OutOfMemory))?;
    let contents: &[(usize, &[u8])] =
        &[(0, &geometry.encode()), (geometry.text_at(), text.unwrap_or_default())];
    let plan = Plan { size, persist: settings.persists(), contents };
    let path = path(&dir, name, &settings, operation);
    let repair = |region: &Region| put_right(region, operation);
    let (memory, made) = Memory::open_or_create(path, plan, &repair)?;
    let found = Found { made, adopt, text: text.is_some() };
    match own(name, &dir, &settings, &memory, found, operation) {
        Ok((geometry, owner)) => Ok(Endpoint::new(name, dir, settings, owner, (memory, geometry))),
        Err(error) => {
            // A failed creation leaves nothing, except messages that others have sent meanwhile.
            if made && memory.persists() {
                memory.discard(|region| is_unused(region, operation));
            }
            Err(error)
        }
    }
}

/// How a creation came by its memory.
struct Found {
    /// This call made the memory.
    made: bool,
    /// It may adopt memory that exists.
    adopt: bool,
    /// It brings a text.
    text: bool,
}

/// Reads and checks a queue's memory, and becomes its owner if it has none.
fn own(
    name: &Name,
    dir: &Arc<Dir>,
    settings: &Settings,
    memory: &Memory,
    found: Found,
    operation: Operation,
) -> Result<(Geometry, Option<Acceptor>)> {
    let exists = |why: &str| Err(Error::new(operation, ErrorKind::Exists).because(why));
    let geometry = read(&memory.region(), operation)?;
    // A queue that only openers hold gets a new owner, like any rendezvous; its messages stay.
    let stays = memory.persists() || geometry.text != 0 || found.text;
    if !found.made && !found.adopt && stays {
        return exists(
            "open it, or say create=open_or_create to adopt it; `anyipc rm` removes what stayed",
        );
    }
    let owner = Rendezvous::claim(Arc::clone(dir), &KIND, name, operation)?;
    if owner.is_none() && !found.adopt {
        return exists("it has a live owner; open it, or say create=open_or_create");
    }
    settings.check(&geometry, memory.persists(), operation)?;
    let owner = owner.map(|owner| Acceptor::new(owner, operation)).transpose()?;
    Ok((geometry, owner))
}

/// True if a queue without holders has no messages.
fn is_unused(region: &Region, operation: Operation) -> bool {
    read(region, operation).is_ok_and(|geometry| {
        client::reset_unshared(region, geometry).is_ok()
            && Store::new(region.clone(), geometry).is_empty()
    })
}

/// Reads a queue's memory, which may hold anything.
fn read(region: &Region, operation: Operation) -> Result<Geometry> {
    if let Some(found) = other_layout(region) {
        return Err(Error::new(operation, ErrorKind::Mismatch).because(format!(
            "the queue has layout {found}, this program speaks layout {LAYOUT}; use it with the \
             version that made it, or remove it with `anyipc rm`"
        )));
    }
    Geometry::read(region).ok_or_else(|| damaged(operation))
}

/// Repairs a queue that stayed without holders.
fn put_right(region: &Region, operation: Operation) -> Result<()> {
    client::reset_unshared(region, read(region, operation)?).map_err(|_| damaged(operation))
}

fn damaged(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Corrupt)
        .because("its memory holds what no queue holds; `anyipc rm` removes it")
}
