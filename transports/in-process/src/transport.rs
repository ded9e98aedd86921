use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::CString;
use std::process;
use std::sync::{Arc, Mutex};

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, ObjectState, Operation, Options, Result,
    Transport, keys,
};

use crate::endpoint::InProcessEndpoint;
use crate::lock::lock;
use crate::rendezvous::Rendezvous;

/// Bytes in flight per direction, unless the address says otherwise.
const DEFAULT_CAPACITY: usize = 256 << 10;

/// Every live name of the process. A name is in the table exactly as long as it has an owner,
/// unless it was removed by force.
static NAMES: Mutex<BTreeMap<Name, Arc<Rendezvous>>> = Mutex::new(BTreeMap::new());

/// The rendezvous of a live name.
pub(crate) fn find(name: &Name) -> Option<Arc<Rendezvous>> {
    lock(&NAMES).get(name).cloned()
}

/// Removes the name from the table if it still means this rendezvous. Returns true if it did.
pub(crate) fn remove(name: &Name, rendezvous: &Arc<Rendezvous>) -> bool {
    let mut names = lock(&NAMES);
    let same = names.get(name).is_some_and(|there| Arc::ptr_eq(there, rendezvous));
    same && names.remove(name).is_some()
}

/// The `inproc://` transport: names and channels shared by the threads of one process.
///
/// Options: `capacity` and the common ones. `capacity` is the number of bytes in flight per
/// direction, 1 or more, 256 KiB by default. A frame has at most that many bytes, and at most 64
/// KiB. With `create=open_or_create`, `create` of a live name returns an opener.
#[derive(Debug, Clone, Copy, Default)]
pub struct InProcess;

/// `size` is declared only to name the transport that has blocks.
const SIZE: Key = Key { help: "not supported here: only shm:// has blocks", ..keys::SIZE };

impl Transport for InProcess {
    type Endpoint = InProcessEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["inproc"]
    }

    fn keys(&self) -> &'static [Key] {
        &[keys::CAPACITY, SIZE, keys::TRUST_ANYWAY]
    }

    fn about(&self) -> &'static str {
        "a table of names and bounded buffers in this process; nothing of the system"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CHANNEL
            | Capabilities::HANDSHAKE
            | Capabilities::LPSZ
            | Capabilities::INVENTORY
    }

    fn create(&self, name: &Name, options: &Options) -> Result<InProcessEndpoint> {
        add(name, None, options)
    }

    fn open(&self, name: &Name, options: &Options) -> Result<InProcessEndpoint> {
        refuse_size(options, Operation::Open)?;
        match find(name) {
            Some(rendezvous) => attach(name, &rendezvous, options, Operation::Open),
            None => Err(Error::new(Operation::Open, ErrorKind::NotFound)
                .because("nothing in this process owns the name; create it first")),
        }
    }

    /// The text lives as long as the endpoint. `create=open_or_create` does not apply: a live name
    /// is `Exists`.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<InProcessEndpoint> {
        let text = CString::new(text).map_err(|error| {
            Error::new(Operation::AllocLpsz, ErrorKind::InvalidOption)
                .because("a NUL ends the text; leave it out")
                .from_source(error)
        })?;
        add(name, Some(text), options)
    }

    fn close(&self, mut endpoint: InProcessEndpoint) -> Result<()> {
        endpoint.release()
    }

    fn list(&self, _options: &Options) -> Result<Vec<Object>> {
        Ok(lock(&NAMES).iter().flat_map(|(name, rendezvous)| describe(name, rendezvous)).collect())
    }

    fn inspect(&self, name: &Name, _options: &Options) -> Result<Vec<Object>> {
        Ok(find(name).iter().flat_map(|rendezvous| describe(name, rendezvous)).collect())
    }

    /// With `force` the owner keeps its channels, but openers no longer find it.
    fn remove(&self, name: &Name, _options: &Options, force: bool) -> Result<()> {
        let Some(rendezvous) = find(name) else {
            return Err(Error::new(Operation::Remove, ErrorKind::NotFound)
                .because("nothing in this process owns the name"));
        };
        if !force {
            return Err(Error::new(Operation::Remove, ErrorKind::Busy)
                .because("its owner is alive; close it there, or use force"));
        }
        remove(name, &rendezvous);
        rendezvous.end();
        Ok(())
    }

    /// Always empty: a crash leaves nothing behind.
    fn sweep(&self, _options: &Options, _fix: bool) -> Result<Vec<Object>> {
        Ok(Vec::new())
    }
}

/// Creates the name, with a text for `alloc_lpsz`, and becomes its owner.
fn add(name: &Name, text: Option<CString>, options: &Options) -> Result<InProcessEndpoint> {
    let operation = if text.is_some() { Operation::AllocLpsz } else { Operation::Create };
    refuse_size(options, operation)?;
    let capacity = capacity(options, operation)?.unwrap_or(DEFAULT_CAPACITY);
    let adopt = text.is_none() && options.text(keys::CREATE) == Some("open_or_create");
    match lock(&NAMES).entry(name.clone()) {
        Entry::Vacant(entry) => {
            let rendezvous = entry.insert(Arc::new(Rendezvous::new(capacity, text)));
            Ok(InProcessEndpoint::owner(name.clone(), rendezvous.clone()))
        }
        Entry::Occupied(entry) if adopt => attach(name, entry.get(), options, operation),
        Entry::Occupied(_) => Err(Error::new(operation, ErrorKind::Exists)
            .because("its owner is alive: open it, or create it with create=open_or_create")),
    }
}

/// An opener of a live name, if the options agree with the owner's.
fn attach(
    name: &Name,
    rendezvous: &Rendezvous,
    options: &Options,
    operation: Operation,
) -> Result<InProcessEndpoint> {
    let wanted = capacity(options, operation)?;
    let actual = rendezvous.capacity();
    if wanted.is_some_and(|wanted| wanted != actual) {
        return Err(Error::new(operation, ErrorKind::Mismatch)
            .because(format!("the owner chose capacity={actual}; leave it out to take any")));
    }
    Ok(InProcessEndpoint::opener(name.clone(), wanted.unwrap_or(0)))
}

fn refuse_size(options: &Options, operation: Operation) -> Result<()> {
    if options.has(keys::SIZE) {
        return Err(Error::new(operation, ErrorKind::Unsupported)
            .because("inproc:// has no blocks of memory; shm:// takes size="));
    }
    Ok(())
}

/// The capacity that the address says, in bytes.
fn capacity(options: &Options, operation: Operation) -> Result<Option<usize>> {
    let Some(bytes) = options.number(keys::CAPACITY) else { return Ok(None) };
    match usize::try_from(bytes) {
        Ok(bytes) if bytes > 0 => Ok(Some(bytes)),
        _ => Err(Error::new(operation, ErrorKind::InvalidOption)
            .because(format!("capacity={bytes}: choose 1 or more bytes that fit into memory"))),
    }
}

/// The objects of one name: a block if it has a text, and the rendezvous.
fn describe(name: &Name, rendezvous: &Rendezvous) -> impl Iterator<Item = Object> {
    let object = |kind, size, facts| Object {
        name: Some(name.clone()),
        kind,
        state: ObjectState::Live,
        path: "memory of this process".into(),
        size,
        holders: vec![process::id()],
        facts,
    };
    let text = rendezvous
        .text()
        .map(|text| object("block", Some(text.count_bytes() as u64 + 1), Vec::new()));
    let facts = vec![("capacity", format!("{} bytes", rendezvous.capacity()))];
    text.into_iter().chain([object("rendezvous", None, facts)])
}
