//! `local://name`.
//!
//! In the private directory: `local+<os name>.lock` is held by the owner for as long as it lives,
//! `local+<os name>.sock` is its listener, `local+<os name>.text` the text of `alloc_lpsz`. With `scope=system` they lie
//! in a directory of this user that others can reach into, and the listener asks the kernel who comes.

mod access;
mod inventory;

pub(crate) use access::Access;

use std::ffi::CStr;
use std::io;
use std::sync::Arc;

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, Operation, Options, Result, Transport, keys,
};
use anyipc_os::{Claim, Dir, Marks, show_lpsz, store_lpsz, user};

use crate::endpoint::{Acceptor, Endpoint, Entry, Place};
use crate::options::{CAPACITY, capacity};
use crate::sys::{Listener, Stream};

/// What begins the names of this transport's files.
const PREFIX: &str = "local+";
const SOCKET: &str = ".sock";
const TEXT: &str = ".text";
static MARKS: Marks = Marks { prefix: PREFIX, suffix: ".lock", heading: "anyipc-local 1" };

/// The socket's file.
pub(crate) fn socket_of(name: &Name) -> String {
    format!("{PREFIX}{}{SOCKET}", name.os_name())
}

/// The text's file.
fn text_of(name: &Name) -> String {
    format!("{PREFIX}{}{TEXT}", name.os_name())
}

/// Shows the text of a live owner.
pub(crate) fn read_text(dir: &Dir, name: &Name, read: &mut dyn FnMut(&CStr)) -> Result<()> {
    show_lpsz(dir, &MARKS, name, &text_of(name), read)
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
        &[access::ALLOW_UID, CAPACITY, access::SCOPE, keys::TRUST_ANYWAY]
    }

    fn about(&self) -> &'static str {
        "a Unix stream socket in the private directory and two connected ones per channel; buffers \
         within net.core.wmem_max"
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
        let access = Access::read(options, Operation::Create)?;
        let dir = access.directory(Operation::Create)?;
        match own(&dir, &access, name, None, options, Operation::Create)? {
            Some(endpoint) => Ok(endpoint),
            None if options.text(keys::CREATE) == Some("open_or_create") => {
                Ok(Endpoint::opener(Place::Local { dir, name: name.clone(), access }))
            }
            None => Err(owned(Operation::Create)),
        }
    }

    /// This user's object first, then those of the users in `allow_uid`, in their order.
    fn open(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        let access = Access::read(options, Operation::Open)?;
        let opener = |dir, access| Ok(Endpoint::opener(Place::Local { dir, name: name.clone(), access }));
        let dir = access.directory(Operation::Open)?;
        if MARKS.is_live(&dir, name, Operation::Open)? {
            return opener(dir, access);
        }
        for dir in access.directories_of_others(Operation::Open) {
            let dir = dir?;
            // Its lock is not ours to ask.
            if answers(&dir, &socket_of(name)) {
                return opener(dir, access.clone());
            }
        }
        Err(Error::new(Operation::Open, ErrorKind::NotFound)
            .because("nobody holds an object of this name; create it first"))
    }

    /// The text lives as long as the endpoint. `create=open_or_create` does not apply: a live name is `Exists`.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Endpoint> {
        let operation = Operation::AllocLpsz;
        let access = Access::read(options, operation)?;
        if access.is_shared() {
            return Err(Error::new(operation, ErrorKind::Unsupported)
                .because("a text in a file cannot choose its readers: use scope=user, or tcp://"));
        }
        let dir = access.directory(operation)?;
        own(&dir, &access, name, Some(text), options, operation)?.ok_or_else(|| owned(operation))
    }

    fn close(&self, endpoint: Endpoint) -> Result<()> {
        endpoint.close()
    }

    /// Without a `scope`, of both.
    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        over_scopes(options, inventory::list)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        Ok(inventory::inspect(&*directory(options, Operation::Stat)?, name))
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        inventory::remove(&*directory(options, Operation::Remove)?, name, force)
    }

    /// Without a `scope`, of both.
    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        over_scopes(options, |dir| inventory::sweep(dir, fix))
    }
}

fn directory(options: &Options, operation: Operation) -> Result<Arc<Dir>> {
    Access::read(options, operation)?.directory(operation)
}

/// Looks at the directory of the scope, or at both where the options do not say.
fn over_scopes(options: &Options, look: impl Fn(&Dir) -> Result<Vec<Object>>) -> Result<Vec<Object>> {
    let mut objects = look(&*directory(options, Operation::List)?)?;
    // Looking is no reason to make one.
    if !options.has(access::SCOPE) && Dir::shared_of(user(), Operation::List)?.is_some() {
        objects.extend(look(&Dir::shared(Operation::List)?)?);
    }
    Ok(objects)
}

/// Whether an owner listens. It sees a connector that leaves without a word.
fn answers(dir: &Dir, socket: &str) -> bool {
    match Stream::local(dir, socket) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Becomes the owner of the name; `None` if someone else is.
fn own(
    dir: &Arc<Dir>,
    access: &Access,
    name: &Name,
    text: Option<&[u8]>,
    options: &Options,
    operation: Operation,
) -> Result<Option<Endpoint>> {
    let capacity = capacity(options, operation)?;
    let socket = socket_of(name);
    let answers = || answers(dir, &socket);
    let Some(claim) = Claim::take(dir, &MARKS, name, operation, answers)? else { return Ok(None) };
    // Whatever a dead owner left; the lock says that it is nobody's.
    clear(dir, name);
    let place = Place::Local { dir: Arc::clone(dir), name: name.clone(), access: access.clone() };
    let begin = || {
        if let Some(text) = text {
            store_lpsz(dir, &text_of(name), text)?;
        }
        let listener = Listener::local(dir, &socket, access.is_shared()).map_err(|error| {
            Error::io(operation, &format!("listening at {}", dir.path().join(&socket).display()), error)
        })?;
        Acceptor::new(listener, Entry::Users(access.clone()), capacity, operation)
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
