use std::sync::Arc;

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, Operation, Options, Result, Transport,
};
use anyipc_memory::handover::{Acceptor, Rendezvous};
use anyipc_memory::{Kind, Memory, Path, Plan, Region};
use anyipc_os::Dir;

use crate::endpoint::{Body, Endpoint};
use crate::kind::KIND;
use crate::layout::{Geometry, LAYOUT, other_layout};
use crate::party;
use crate::posix::{self, Record};
use crate::settings::{KEYS, NATIVE, Settings};
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
        "a file in the private directory, mapped: chunks of 128 bytes, two locks that survive their owners, \
         256 handles at a time; channels: such queues in a memfd, handed over a Unix socket; \
         with native=posix queues of the kernel, and a file that names them"
    }

    fn file_stem(&self, name: &Name, options: &Options) -> Option<String> {
        Some(kind(options.text(NATIVE).is_some()).stem(name))
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

    /// A queue that persists is alive while nobody holds it, too: `Exists`, unless it is adopted. One that does not,
    /// and has lost its owner, is taken over from those who still hold it, with its messages.
    fn create(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        make(name, options, None, Operation::Create)
    }

    fn open(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        let operation = Operation::Open;
        let settings = Settings::read(options, operation)?;
        let dir = Arc::new(Dir::open(settings.scope, operation)?);
        let path = path(&dir, name, &settings, operation);
        let memory = Memory::open(path, &|region| put_right(region, &settings, operation))
            .map_err(|error| {
                if error.kind() != ErrorKind::NotFound {
                    return error;
                }
                error.because("nobody holds a queue of this name, and none stayed; create it first")
            })?;
        let body = read(&memory.region(), &settings, operation)?;
        body.check(&settings, memory.persists(), operation)?;
        Ok(Endpoint::new(name, dir, settings, None, (memory, body)))
    }

    /// The text lives as long as the queue. `create=open_or_create` does not apply: a live name is `Exists`.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Endpoint> {
        make(name, options, Some(text), Operation::AllocLpsz)
    }

    fn close(&self, endpoint: Endpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        let dir = dir(options, Operation::List)?;
        both(|kind| anyipc_memory::list(&dir, kind))
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        let dir = dir(options, Operation::Stat)?;
        both(|kind| anyipc_memory::inspect(&dir, kind, name))
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        let dir = dir(options, Operation::Remove)?;
        // Without `native=` whichever is there.
        let ours = anyipc_memory::inspect(&dir, &KIND, name)?.is_empty();
        let posix = Settings::read(options, Operation::Remove)?.posix || ours;
        anyipc_memory::remove(&dir, kind(posix), name, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        let dir = dir(options, Operation::List)?;
        both(|kind| anyipc_memory::sweep(&dir, kind, fix))
    }
}

fn dir(options: &Options, operation: Operation) -> Result<Dir> {
    Dir::open(Settings::read(options, operation)?.scope, operation)
}

/// What names of our own queues, or of the kernel's, lead to.
fn kind(posix: bool) -> &'static Kind {
    if posix { &posix::KIND } else { &KIND }
}

fn both(look: impl Fn(&Kind) -> Result<Vec<Object>>) -> Result<Vec<Object>> {
    let mut objects = look(&KIND)?;
    // Their addresses say so, too: the same name without it is another object.
    objects.extend(look(&posix::KIND)?.into_iter().map(|mut object| {
        object.facts.push(("native", "posix".into()));
        object
    }));
    Ok(objects)
}

fn path<'a>(
    dir: &'a Arc<Dir>,
    name: &'a Name,
    settings: &Settings,
    operation: Operation,
) -> Path<'a> {
    Path { dir, kind: kind(settings.posix), name, patience: settings.patience, operation }
}

/// What a name's memory begins with, and how large it is, with a text of so many bytes.
fn layout(
    name: &Name,
    settings: &Settings,
    text: usize,
    operation: Operation,
) -> Result<(Body, Vec<u8>, usize)> {
    let too_large = Error::new(operation, ErrorKind::OutOfMemory);
    if settings.posix {
        let record = Record::new(name, settings.kernel_queue(operation)?, text, operation)?;
        let first = record.encode();
        let size = first.len().checked_add(text).ok_or(too_large)?;
        return Ok((Body::Posix(record), first, size));
    }
    let geometry = settings.queue(text);
    let size = geometry.size().ok_or(too_large)?;
    Ok((Body::Memory(geometry), geometry.encode(), size))
}

/// Makes a queue, or adopts the one that is there, and becomes its owner if there is none.
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
    let (body, first, size) = layout(name, &settings, len, operation)?;
    let contents: &[(usize, &[u8])] = &[(0, &first), (body.text().0, text.unwrap_or_default())];
    let plan = Plan { size, persist: settings.persists(), contents };
    let path = path(&dir, name, &settings, operation);
    let repair = |region: &Region| put_right(region, &settings, operation);
    let (memory, made) = Memory::open_or_create(path, plan, &repair)?;
    let found = Found { made, adopt, text: text.is_some() };
    match own(name, &dir, &settings, &memory, found, operation) {
        Ok((body, owner)) => Ok(Endpoint::new(name, dir, settings, owner, (memory, body))),
        Err(error) => {
            // A creation that failed leaves nothing, but for what others have sent to it meanwhile.
            if made && memory.persists() {
                memory.discard(|region| is_unused(region, &settings, operation));
            }
            Err(error)
        }
    }
}

/// How a creation came by its memory.
struct Found {
    /// It made the memory.
    made: bool,
    /// It takes what others made.
    adopt: bool,
    /// It brings a text.
    text: bool,
}

/// Reads and checks a queue's memory, and becomes its owner, if there is none.
fn own(
    name: &Name,
    dir: &Arc<Dir>,
    settings: &Settings,
    memory: &Memory,
    found: Found,
    operation: Operation,
) -> Result<(Body, Option<Acceptor>)> {
    let exists = |why: &str| Err(Error::new(operation, ErrorKind::Exists).because(why));
    let body = read(&memory.region(), settings, operation)?;
    // What only openers hold any more gets a new owner, like any rendezvous; its messages stay.
    let stays = memory.persists() || body.text().1 != 0 || found.text;
    if !found.made && !found.adopt && stays {
        return exists(
            "open it, or say create=open_or_create to adopt it; `anyipc rm` removes what stayed",
        );
    }
    let owner = Rendezvous::claim(Arc::clone(dir), kind(settings.posix), name, operation)?;
    if owner.is_none() && !found.adopt {
        return exists("it has a live owner; open it, or say create=open_or_create");
    }
    body.check(settings, memory.persists(), operation)?;
    // Now, so that what the kernel does not allow is an error of this call.
    if let Body::Posix(record) = &body {
        record.queue(operation)?;
    }
    let owner = owner.map(|owner| Acceptor::new(owner, operation)).transpose()?;
    Ok((body, owner))
}

/// Whether a queue that nobody holds has no messages.
fn is_unused(region: &Region, settings: &Settings, operation: Operation) -> bool {
    match read(region, settings, operation) {
        Ok(Body::Memory(geometry)) => {
            party::begin_anew(region, geometry).is_ok()
                && Store::new(region.clone(), geometry).is_empty()
        }
        Ok(Body::Posix(record)) => record.is_unused(operation),
        Err(_) => false,
    }
}

/// What lies in some memory.
fn read(region: &Region, settings: &Settings, operation: Operation) -> Result<Body> {
    let ours = if settings.posix { posix::LAYOUT } else { LAYOUT };
    if let Some(found) = other_layout(region, ours) {
        return Err(Error::new(operation, ErrorKind::Mismatch).because(format!(
            "the queue has layout {found}, this program speaks layout {ours}; use it with the version that made it, \
             or remove it with `anyipc rm`"
        )));
    }
    let body = match settings.posix {
        false => Geometry::read(region).map(Body::Memory),
        true => Record::read(region).map(Body::Posix),
    };
    body.ok_or_else(|| damaged(operation))
}

/// Puts a queue right that stayed while nobody held it. The kernel's needs nothing.
fn put_right(region: &Region, settings: &Settings, operation: Operation) -> Result<()> {
    match read(region, settings, operation)? {
        Body::Memory(geometry) => {
            party::begin_anew(region, geometry).map_err(|_| damaged(operation))
        }
        Body::Posix(_) => Ok(()),
    }
}

fn damaged(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Corrupt)
        .because("its memory holds what no queue holds; `anyipc rm` removes it")
}
