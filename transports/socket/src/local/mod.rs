//! `local://name`.
//!
//! In the private directory: `local+<os name>.lock` is held by the owner for as long as it lives,
//! `local+<os name>.sock` is its listener, `local+<os name>.text` the text of `alloc_lpsz`.

mod inventory;
mod text;

pub(crate) use text::read as read_text;

use std::io;
use std::sync::Arc;

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, Operation, Options, Result, Transport, keys,
};
use anyipc_os::{Claim, Dir, Marks, Scope};

use crate::endpoint::{Acceptor, Endpoint, Entry, Place};
use crate::options::{TRUST, capacity};
use crate::sys::{Listener, Stream};

/// What begins the names of this transport's files.
const PREFIX: &str = "local+";
const SOCKET: &str = ".sock";
const TEXT: &str = ".text";
const MARKS: Marks = Marks { prefix: PREFIX, suffix: ".lock", heading: "anyipc-local 1" };

/// The socket's file.
pub(crate) fn socket_of(name: &Name) -> String {
    format!("{PREFIX}{}{SOCKET}", name.os_name())
}

/// The text's file.
fn text_of(name: &Name) -> String {
    format!("{PREFIX}{}{TEXT}", name.os_name())
}

/// Removes what stands beside the lock, which the caller holds.
pub(crate) fn clear(dir: &Dir, name: &Name) {
    let _ = dir.unlink(&socket_of(name));
    let _ = dir.unlink(&text_of(name));
}

/// `local://`: channels over local stream sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

impl Transport for Local {
    type Endpoint = Endpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["local"]
    }

    fn keys(&self) -> &'static [Key] {
        &[keys::CAPACITY, keys::SCOPE, TRUST]
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::LPSZ
            | Capabilities::CHANNEL
            | Capabilities::DELIVERS_AFTER_DEATH
            | Capabilities::PEER_CREDENTIALS
            | Capabilities::INVENTORY
    }

    fn create(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        let dir = directory(options, Operation::Create)?;
        match own(&dir, name, None, options, Operation::Create)? {
            Some(endpoint) => Ok(endpoint),
            None if options.text(keys::CREATE) == Some("open_or_create") => {
                Ok(Endpoint::opener(Place::Local { dir, name: name.clone() }))
            }
            None => Err(owned(Operation::Create)),
        }
    }

    fn open(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        let dir = directory(options, Operation::Open)?;
        if !MARKS.is_live(&dir, name, Operation::Open)? {
            return Err(Error::new(Operation::Open, ErrorKind::NotFound)
                .because("nobody holds an object of this name; create it first"));
        }
        Ok(Endpoint::opener(Place::Local { dir, name: name.clone() }))
    }

    /// The text lives as long as the endpoint. `create=open_or_create` does not apply: a live name is `Exists`.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Endpoint> {
        let dir = directory(options, Operation::AllocLpsz)?;
        own(&dir, name, Some(text), options, Operation::AllocLpsz)?.ok_or_else(|| owned(Operation::AllocLpsz))
    }

    fn close(&self, endpoint: Endpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        inventory::list(&*directory(options, Operation::List)?)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        Ok(inventory::inspect(&*directory(options, Operation::Stat)?, name))
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        inventory::remove(&*directory(options, Operation::Remove)?, name, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        inventory::sweep(&*directory(options, Operation::List)?, fix)
    }
}

fn directory(options: &Options, operation: Operation) -> Result<Arc<Dir>> {
    if options.text(keys::SCOPE) == Some("system") {
        return Err(Error::new(operation, ErrorKind::Unsupported)
            .because("scope=system is not built yet, see ROADMAP.md; use scope=user"));
    }
    Ok(Arc::new(Dir::open(Scope::User, operation)?))
}

/// Becomes the owner of the name; `None` if someone else is.
fn own(
    dir: &Arc<Dir>,
    name: &Name,
    text: Option<&[u8]>,
    options: &Options,
    operation: Operation,
) -> Result<Option<Endpoint>> {
    let capacity = capacity(options, operation)?;
    let socket = socket_of(name);
    let answers = || match Stream::local(dir, &socket) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    let Some(claim) = Claim::take(dir, &MARKS, name, operation, answers)? else { return Ok(None) };
    // Whatever a dead owner left; the lock says that it is nobody's.
    clear(dir, name);
    let place = Place::Local { dir: Arc::clone(dir), name: name.clone() };
    let begin = || {
        if let Some(text) = text {
            text::write(dir, name, text)?;
        }
        let listener = Listener::local(dir, &socket).map_err(|error| {
            Error::io(operation, &format!("listening at {}", dir.path().join(&socket).display()), error)
        })?;
        Acceptor::new(listener, Entry::User, capacity, operation)
    };
    match begin() {
        Ok(acceptor) => Ok(Some(Endpoint::owner(place, acceptor, Some(claim)))),
        Err(error) => {
            clear(dir, name);
            Err(error)
        }
    }
}

fn owned(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Exists)
        .because("it has a live owner; open it, or say create=open_or_create")
}
