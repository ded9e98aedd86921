//! Names in the private directory, of the owners of local streams.
//!
//! `<prefix><os name>.lock` is held by the owner for as long as it lives, `.sock` is its listener (on Windows a file that
//! tells the name of its pipe), `.text` the text of `alloc_lpsz`. With `scope=system` they lie in a directory of this
//! user that others can reach into, and the listener asks the kernel who comes.

mod access;

pub use access::{ALLOW_UID, Access, SCOPE};

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::sync::Arc;

use anyipc_core::{Capabilities, Error, ErrorKind, Name, Object, Operation, Options, Result, keys};
use anyipc_os::{
    Dir, FileKind, FileNaming, Group, GroupKind, NameLock, files_of, remove_groups, show_lpsz,
    store_lpsz, sweep_groups, user,
};

use crate::endpoint::{Acceptor, Endpoint, Entry, Place};
use crate::options::capacity;
use crate::sys::{Listener, Stream};

const SOCKET: &str = ".sock";
const TEXT: &str = ".text";
/// A text that is not whole yet.
const UNFINISHED_TEXT: &str = ".text.tmp";
const LOCK: &str = ".lock";

/// The names of one scheme.
#[derive(Debug)]
pub struct Names {
    marks: &'static FileNaming,
    files: GroupKind,
}

impl Names {
    /// What such a transport can do.
    pub const CAPABILITIES: Capabilities = Capabilities::CROSS_PROCESS
        .and(Capabilities::LPSZ)
        .and(Capabilities::CHANNEL)
        .and(Capabilities::DELIVERS_AFTER_DEATH)
        .and(Capabilities::PEER_CREDENTIALS)
        .and(Capabilities::INVENTORY);

    /// Those whose lock files look like this, with the suffix `.lock`.
    pub const fn new(marks: &'static FileNaming) -> Self {
        Self {
            marks,
            files: GroupKind {
                object: "rendezvous",
                ends: &[SOCKET, TEXT, UNFINISHED_TEXT, LOCK],
                lock: FileKind::Regular,
                text: Some(TEXT),
                marks: Some(marks),
            },
        }
    }

    /// The socket's file.
    pub(crate) fn socket_of(&self, name: &Name) -> String {
        self.marks.stem(name) + SOCKET
    }

    /// The text's file.
    fn text_of(&self, name: &Name) -> String {
        self.marks.stem(name) + TEXT
    }

    /// Shows the text of a live owner.
    pub(crate) fn read_text(
        &self,
        dir: &Dir,
        name: &Name,
        read: &mut dyn FnMut(&CStr),
    ) -> Result<()> {
        show_lpsz(dir, self.marks, name, &self.text_of(name), read)
    }

    /// Removes what stands beside the lock, which the caller holds.
    pub(crate) fn clear(&self, dir: &Dir, name: &Name) {
        let stem = self.marks.stem(name);
        for end in [SOCKET, TEXT, UNFINISHED_TEXT] {
            let _ = dir.unlink(&format!("{stem}{end}"));
        }
    }

    fn group(&'static self, name: &Name) -> Group {
        Group { stem: self.marks.stem(name), kind: &self.files }
    }

    /// What all files of these names belong to.
    fn groups(&'static self, dir: &Dir) -> Result<impl Iterator<Item = Group>> {
        let stem = |file: &String| {
            let cut = self.files.ends.iter().find_map(|end| file.strip_suffix(end));
            cut.unwrap_or(file).to_owned()
        };
        let stems: BTreeSet<_> = files_of(dir, self.marks.prefix)?.iter().map(stem).collect();
        Ok(stems.into_iter().map(|stem| Group { stem, kind: &self.files }))
    }

    fn opener(&'static self, dir: Arc<Dir>, name: &Name, access: Access) -> Endpoint {
        Endpoint::opener(Place::Local { names: self, dir, name: name.clone(), access })
    }

    /// As [`Transport::create`](anyipc_core::Transport::create).
    pub fn create(&'static self, name: &Name, options: &Options) -> Result<Endpoint> {
        let access = Access::read(options, Operation::Create)?;
        let dir = access.directory(Operation::Create)?;
        match self.own(&dir, &access, name, None, options, Operation::Create)? {
            Some(endpoint) => Ok(endpoint),
            None if options.text(keys::CREATE) == Some("open_or_create") => {
                Ok(self.opener(dir, name, access))
            }
            None => Err(owned(Operation::Create)),
        }
    }

    /// This user's object first, then those of the users in `allow_uid`, in their order.
    pub fn open(&'static self, name: &Name, options: &Options) -> Result<Endpoint> {
        let access = Access::read(options, Operation::Open)?;
        let dir = access.directory(Operation::Open)?;
        if self.marks.is_live(&dir, name, Operation::Open)? {
            return Ok(self.opener(dir, name, access));
        }
        for dir in access.directories_of_others(Operation::Open) {
            let dir = dir?;
            // Its lock is not ours to ask.
            if answers(&dir, &self.socket_of(name)) {
                return Ok(self.opener(dir, name, access.clone()));
            }
        }
        Err(Error::new(Operation::Open, ErrorKind::NotFound)
            .because("nobody holds an object of this name; create it first"))
    }

    /// The text lives as long as the endpoint. `create=open_or_create` does not apply: a live name is `Exists`.
    pub fn alloc_lpsz(
        &'static self,
        name: &Name,
        text: &[u8],
        options: &Options,
    ) -> Result<Endpoint> {
        let operation = Operation::AllocLpsz;
        let access = Access::read(options, operation)?;
        if access.is_shared() {
            return Err(Error::new(operation, ErrorKind::Unsupported)
                .because("a text in a file cannot choose its readers: use scope=user, or tcp://"));
        }
        let dir = access.directory(operation)?;
        self.own(&dir, &access, name, Some(text), options, operation)?
            .ok_or_else(|| owned(operation))
    }

    /// All objects. Without a `scope`, of both.
    pub fn list(&'static self, options: &Options) -> Result<Vec<Object>> {
        over_scopes(options, |dir| {
            Ok(self.groups(dir)?.filter_map(|group| group.describe(dir)).collect())
        })
    }

    /// The object of one name; none is an empty list.
    pub fn inspect(&'static self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        let dir = directory(options, Operation::Stat)?;
        Ok(self.group(name).describe(&dir).into_iter().collect())
    }

    /// Removes what stands at a name.
    pub fn remove(&'static self, name: &Name, options: &Options, force: bool) -> Result<()> {
        remove_groups(&*directory(options, Operation::Remove)?, [self.group(name)], force)
    }

    /// What is stale or invalid; with `fix` the stale is removed. Without a `scope`, of both.
    pub fn sweep(&'static self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        over_scopes(options, |dir| sweep_groups(dir, self.groups(dir)?, fix))
    }

    /// Becomes the owner of the name; `None` if someone else is.
    fn own(
        &'static self,
        dir: &Arc<Dir>,
        access: &Access,
        name: &Name,
        text: Option<&[u8]>,
        options: &Options,
        operation: Operation,
    ) -> Result<Option<Endpoint>> {
        let capacity = capacity(options, operation)?;
        let socket = self.socket_of(name);
        let answers = || answers(dir, &socket);
        let Some(claim) = NameLock::take(dir, self.marks, name, operation, answers)? else {
            return Ok(None);
        };
        // Whatever a dead owner left; the lock says that it is nobody's.
        self.clear(dir, name);
        let place = Place::Local {
            names: self,
            dir: Arc::clone(dir),
            name: name.clone(),
            access: access.clone(),
        };
        let begin = || {
            if let Some(text) = text {
                store_lpsz(dir, &self.text_of(name), text)?;
            }
            let listener = Listener::local(dir, &socket, access.is_shared()).map_err(|error| {
                Error::io(
                    operation,
                    &format!("listening at {}", dir.path().join(&socket).display()),
                    error,
                )
            })?;
            Acceptor::new(listener, Entry::Users(access.clone()), capacity, operation)
        };
        match begin() {
            Ok(acceptor) => {
                let claim = claim.with_listener(socket.clone());
                Ok(Some(Endpoint::owner(place, acceptor, Some(claim))))
            }
            Err(error) => {
                self.clear(dir, name);
                Err(error)
            }
        }
    }
}

fn directory(options: &Options, operation: Operation) -> Result<Arc<Dir>> {
    Access::read(options, operation)?.directory(operation)
}

/// Looks at the directory of the scope, or at both where the options do not say.
fn over_scopes(
    options: &Options,
    look: impl Fn(&Dir) -> Result<Vec<Object>>,
) -> Result<Vec<Object>> {
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

fn owned(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Exists)
        .because("it has a live owner; open it, or say create=open_or_create")
}
