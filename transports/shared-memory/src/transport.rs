use std::sync::Arc;

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, Operation, Options, Result, Transport, keys,
};

use crate::block::Block;
use crate::endpoint::{Endpoint, Settings};
use crate::kind::BLOCK;
use anyipc_memory::handover::Meeting;
use anyipc_memory::{Path, Plan, Segment};
use anyipc_os::Dir;

/// `capacity`. It has no single default: a ring without a fixed size grows.
const CAPACITY: Key = Key {
    help: "bytes in flight per direction of a channel; without it 16 KiB, which grow to 4 MiB",
    default: None,
    ..keys::CAPACITY
};

/// `shm://`: named blocks of shared memory, and channels over rings in shared memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct SharedMemory;

impl Transport for SharedMemory {
    type Endpoint = Endpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["shm"]
    }

    fn keys(&self) -> &'static [Key] {
        &[keys::SIZE, CAPACITY, keys::SCOPE, keys::TRUST]
    }

    fn about(&self) -> &'static str {
        "block: a file in the private directory, mapped, as large as its file system allows; \
         channels: two rings in memory of their own, which the handshake hands over, frames of a \
         quarter of a ring"
    }

    fn file_stem(&self, name: &Name, _options: &Options) -> Option<String> {
        Some(BLOCK.stem(name))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::BLOCK
            | Capabilities::OUTLIVES_CREATOR
            | Capabilities::LPSZ
            | Capabilities::CHANNEL
            | Capabilities::HANDSHAKE
            | Capabilities::DELIVERS_AFTER_DEATH
            | Capabilities::PEER_CREDENTIALS
            | Capabilities::INVENTORY
    }

    fn create(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        let settings = Settings::read(options, Operation::Create)?;
        let dir = Arc::new(Dir::open(settings.scope, Operation::Create)?);
        // The block is made before the owner: no opener finds an owner without its block.
        let block = block_for_create(&dir, name, &settings)?;
        let meeting = match Meeting::own(Arc::clone(&dir), &BLOCK, name, Operation::Create)? {
            Some(owner) => owner,
            None if settings.adopt => Meeting::open(dir, &BLOCK, name),
            None => return Err(owned(Operation::Create)),
        };
        Ok(Endpoint::new(meeting, settings, block))
    }

    fn open(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        let settings = Settings::read(options, Operation::Open)?;
        let dir = Arc::new(Dir::open(settings.scope, Operation::Open)?);
        let block = match open_block(path(&dir, name, &settings, Operation::Open)) {
            Ok(segment) => Some(Block::new(segment, settings.timeout)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if block.is_none() && !BLOCK.naming().is_live(&dir, name, Operation::Open)? {
            return Err(Error::new(Operation::Open, ErrorKind::NotFound)
                .because("no process holds an object of this name; create it first"));
        }
        let actual = block.as_ref().map(Block::len);
        match settings.size {
            Some(wanted) if actual != Some(wanted) => {
                let has =
                    actual.map_or("no block".to_owned(), |size| format!("a block of {size} bytes"));
                Err(Error::new(Operation::Open, ErrorKind::Mismatch)
                    .because(format!("size={wanted} was asked for, but the object has {has}")))
            }
            _ => Ok(Endpoint::new(Meeting::open(dir, &BLOCK, name), settings, block)),
        }
    }

    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Endpoint> {
        let operation = Operation::AllocLpsz;
        let settings = Settings::read(options, operation)?;
        let dir = Arc::new(Dir::open(settings.scope, operation)?);
        if BLOCK.naming().is_live(&dir, name, operation)? {
            return Err(owned(operation));
        }
        let segment =
            Segment::create(path(&dir, name, &settings, operation), Plan::lpsz(&[(0, text)]))?;
        let Some(owner) = Meeting::own(dir, &BLOCK, name, operation)? else {
            return Err(owned(operation));
        };
        Ok(Endpoint::new(owner, settings, Some(Block::new(segment, settings.timeout))))
    }

    fn close(&self, endpoint: Endpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        anyipc_memory::list(&self.dir(options, Operation::List)?, &BLOCK)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        anyipc_memory::inspect(&self.dir(options, Operation::Stat)?, &BLOCK, name)
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        anyipc_memory::remove(&self.dir(options, Operation::Remove)?, &BLOCK, name, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        anyipc_memory::sweep(&self.dir(options, Operation::List)?, &BLOCK, fix)
    }
}

impl SharedMemory {
    /// Makes a block of this size with these first contents, each piece at its offset, without an
    /// owner: for objects that live in a block of their own. With `adopt` a live block of the name
    /// is opened instead.
    ///
    /// # Errors
    /// Those of `create`; `InvalidOption` for a `size` in the address, which has another meaning.
    #[doc(hidden)]
    pub fn make_block(
        name: &Name,
        options: &Options,
        size: usize,
        contents: &[(usize, &[u8])],
        adopt: bool,
    ) -> Result<Block> {
        let operation = Operation::Create;
        let settings = Settings::read(options, operation)?;
        if settings.size.is_some() {
            return Err(Error::new(operation, ErrorKind::InvalidOption)
                .because("such an object has a size of its own; leave size= out"));
        }
        let dir = Arc::new(Dir::open(settings.scope, operation)?);
        let path = path(&dir, name, &settings, operation);
        let plan = Plan { contents, ..Plan::zeroed(size) };
        let segment = if adopt || settings.adopt {
            Segment::open_or_create(path, plan, &|_| Ok(()))?.0
        } else if BLOCK.naming().is_live(&dir, name, operation)? {
            return Err(owned(operation));
        } else {
            Segment::create(path, plan)?
        };
        Ok(Block::new(segment, settings.timeout))
    }

    /// Opens a live block, without its owner.
    ///
    /// # Errors
    /// Those of `open`.
    #[doc(hidden)]
    pub fn find_block(name: &Name, options: &Options) -> Result<Block> {
        let operation = Operation::Open;
        let settings = Settings::read(options, operation)?;
        let dir = Arc::new(Dir::open(settings.scope, operation)?);
        let segment = open_block(path(&dir, name, &settings, operation))?;
        Ok(Block::new(segment, settings.timeout))
    }

    fn dir(&self, options: &Options, operation: Operation) -> Result<Dir> {
        Dir::open(Settings::read(options, operation)?.scope, operation)
    }
}

fn path<'a>(
    dir: &'a Arc<Dir>,
    name: &'a Name,
    settings: &Settings,
    operation: Operation,
) -> Path<'a> {
    Path { dir, kind: &BLOCK, name, timeout: settings.timeout, operation }
}

/// Attaches to a live block. None persists, so none needs repair.
fn open_block(path: Path<'_>) -> Result<Segment> {
    Segment::open(path, &|_| Ok(()))
}

/// The block that `create` makes or adopts, if it is to have one.
fn block_for_create(dir: &Arc<Dir>, name: &Name, settings: &Settings) -> Result<Option<Block>> {
    let path = path(dir, name, settings, Operation::Create);
    let segment = match settings.size {
        Some(size) if settings.adopt => {
            let (segment, _) = Segment::open_or_create(path, Plan::zeroed(size), &|_| Ok(()))?;
            if segment.len() != size {
                return Err(Error::new(path.operation, ErrorKind::Mismatch).because(format!(
                    "size={size} was asked for, but the block has {} bytes",
                    segment.len()
                )));
            }
            segment
        }
        Some(_) if BLOCK.naming().is_live(dir, name, path.operation)? => {
            return Err(owned(path.operation));
        }
        Some(size) => Segment::create(path, Plan::zeroed(size))?,
        None => match open_block(path) {
            Ok(segment) if settings.adopt => segment,
            Ok(_) => {
                return Err(Error::new(path.operation, ErrorKind::Exists).because(
                    "its block is alive; open it, or say create=open_or_create to adopt it",
                ));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    Ok(Some(Block::new(segment, settings.timeout)))
}

fn owned(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Exists)
        .because("it has a live owner; open it, or say create=open_or_create")
}
