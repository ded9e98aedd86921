use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, Operation, Options, Result, Transport,
};
use anyipc_memory::handover::{Acceptor, Rendezvous};
use anyipc_memory::{Memory, Path, Plan, Region};
use anyipc_os::Dir;

use crate::endpoint::Endpoint;
use crate::record::{KIND, LAYOUT, Record, TEXT};
use crate::settings::{KEYS, Settings};

/// `posix-mq://`: the kernel's POSIX message queues, and channels over pairs of them. Linux only.
#[derive(Debug, Clone, Copy, Default)]
pub struct PosixQueue;

impl Transport for PosixQueue {
    type Endpoint = Endpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["posix-mq"]
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn about(&self) -> &'static str {
        "a queue of the kernel, and a file in the private directory that names it, mapped; \
         channels: two such queues without names, handed over a Unix socket"
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
            Memory::open(path, &|region| read(region, operation).map(drop)).map_err(|error| {
                if error.kind() != ErrorKind::NotFound {
                    return error;
                }
                error.because(
                    "no process holds a queue of this name, and none stayed; create it first",
                )
            })?;
        let record = read(&memory.region(), operation)?;
        check(&record, &settings, &memory, operation)?;
        Ok(Endpoint::new(name, dir, settings, None, (memory, record)))
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
    let record = Record::new(name, settings.shape(), len, operation)?;
    let size = TEXT.checked_add(len).ok_or(Error::new(operation, ErrorKind::OutOfMemory))?;
    let contents: &[(usize, &[u8])] = &[(0, &record.encode()), (TEXT, text.unwrap_or_default())];
    let plan = Plan { size, persist: settings.persists(), contents };
    let path = path(&dir, name, &settings, operation);
    let repair = |region: &Region| read(region, operation).map(drop);
    let (memory, made) = Memory::open_or_create(path, plan, &repair)?;
    let found = Found { made, adopt, text: text.is_some() };
    match own(name, &dir, &settings, &memory, found, operation) {
        Ok((record, owner)) => Ok(Endpoint::new(name, dir, settings, owner, (memory, record))),
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
) -> Result<(Record, Option<Acceptor>)> {
    let exists = |why: &str| Err(Error::new(operation, ErrorKind::Exists).because(why));
    let record = read(&memory.region(), operation)?;
    // A queue that only openers hold gets a new owner, like any rendezvous; its messages stay.
    let stays = memory.persists() || record.text != 0 || found.text;
    if !found.made && !found.adopt && stays {
        return exists(
            "open it, or say create=open_or_create to adopt it; `anyipc rm` removes what stayed",
        );
    }
    let owner = Rendezvous::claim(Arc::clone(dir), &KIND, name, operation)?;
    if owner.is_none() && !found.adopt {
        return exists("it has a live owner; open it, or say create=open_or_create");
    }
    check(&record, settings, memory, operation)?;
    // Makes the queue now, so that limits of the kernel are an error of this call.
    record.queue(operation)?;
    let owner = owner.map(|owner| Acceptor::new(owner, operation)).transpose()?;
    Ok((record, owner))
}

/// True if a queue without holders has no messages.
fn is_unused(region: &Region, operation: Operation) -> bool {
    read(region, operation).is_ok_and(|record| record.is_unused(operation))
}

/// Reads a record, which may hold anything.
fn read(region: &Region, operation: Operation) -> Result<Record> {
    let found = region.u32(0).load(Relaxed);
    if (1..1000).contains(&found) && found != LAYOUT {
        return Err(Error::new(operation, ErrorKind::Mismatch).because(format!(
            "the queue has layout {found}, this program speaks layout {LAYOUT}; use it with the \
             version that made it, or remove it with `anyipc rm`"
        )));
    }
    Record::read(region).ok_or_else(|| {
        Error::new(operation, ErrorKind::Corrupt)
            .because("its memory holds what no queue holds; `anyipc rm` removes it")
    })
}

/// Compares an address with a queue.
fn check(
    record: &Record,
    settings: &Settings,
    memory: &Memory,
    operation: Operation,
) -> Result<()> {
    record.check_namespace(operation)?;
    settings.check(&record.shape, memory.persists(), operation)
}
