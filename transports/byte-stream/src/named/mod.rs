//! Named streams: one transport for each scheme with listeners in the private directory.
//!
//! `<prefix><os name>.lock` is held by the owner for as long as it lives. `.sock` is its listener;
//! on Windows a file that contains the name of its pipe. `.text` is the text of `alloc_lpsz`. With
//! `scope=system` these files are in a directory of this user that other users can reach, and the
//! owner asks the kernel which user connects.

mod access;
mod scheme;

use std::io;
use std::sync::Arc;

use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, Operation, Options, Result, Transport, keys,
};
use anyipc_os::{Dir, NameLock, remove_groups, store_lpsz, sweep_groups, user};

use crate::endpoint::{Acceptor, Authentication, Place, StreamEndpoint};
use crate::options::capacity;
use crate::sys::{Listener, Stream};
pub use access::{ALLOW_UID, Access, SCOPE};
pub use scheme::StreamScheme;

/// A transport over local streams: Unix stream sockets, on Windows named pipes.
///
/// One per scheme: `anyipc_socket::Local`, and where FIFOs do not suffice
/// `anyipc_named_pipe::NamedPipe`. Without a `scope` option, `list` and `sweep` look at the objects
/// of both scopes.
#[derive(Debug, Clone, Copy)]
pub struct NamedStreams(&'static StreamScheme);

impl NamedStreams {
    /// The transport of this scheme.
    pub const fn new(scheme: &'static StreamScheme) -> Self {
        Self(scheme)
    }

    fn opener(self, dir: Arc<Dir>, name: &Name, access: Access) -> StreamEndpoint {
        StreamEndpoint::opener(Place::Local { scheme: self.0, dir, name: name.clone(), access })
    }

    /// Becomes the owner of the name; `None` if the name has a live owner.
    fn own(
        self,
        dir: &Arc<Dir>,
        access: &Access,
        name: &Name,
        text: Option<&[u8]>,
        options: &Options,
        operation: Operation,
    ) -> Result<Option<StreamEndpoint>> {
        let scheme = self.0;
        let capacity = capacity(options, operation)?;
        let socket = scheme.socket_of(name);
        let answers = || answers(dir, &socket);
        let Some(lock) = NameLock::take(dir, scheme.naming, name, operation, answers)? else {
            return Ok(None);
        };
        // What a dead owner left: this process has the lock, so no live owner uses it.
        scheme.clear(dir, name);
        let begin = || {
            if let Some(text) = text {
                store_lpsz(dir, &scheme.text_of(name), text)?;
            }
            let listener = Listener::local(dir, &socket, access.is_shared()).map_err(|error| {
                Error::io(
                    operation,
                    &format!("listening at {}", dir.path().join(&socket).display()),
                    error,
                )
            })?;
            let authentication = Authentication::Users(access.clone());
            Acceptor::new(listener, authentication, capacity, operation)
        };
        match begin() {
            Ok(acceptor) => {
                let place = Place::Local {
                    scheme,
                    dir: Arc::clone(dir),
                    name: name.clone(),
                    access: access.clone(),
                };
                let lock = lock.with_listener(socket.clone());
                Ok(Some(StreamEndpoint::owner(place, acceptor, Some(lock))))
            }
            Err(error) => {
                scheme.clear(dir, name);
                Err(error)
            }
        }
    }
}

impl Transport for NamedStreams {
    type Endpoint = StreamEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        self.0.schemes
    }

    fn keys(&self) -> &'static [Key] {
        self.0.keys
    }

    fn about(&self) -> &'static str {
        self.0.about
    }

    fn file_stem(&self, name: &Name, _options: &Options) -> Option<String> {
        Some(self.0.naming.stem(name))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::LPSZ
            | Capabilities::CHANNEL
            | Capabilities::HANDSHAKE
            | Capabilities::DELIVERS_AFTER_DEATH
            | Capabilities::PEER_CREDENTIALS
            | Capabilities::INVENTORY
    }

    fn create(&self, name: &Name, options: &Options) -> Result<StreamEndpoint> {
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

    /// Opens this user's object if it is alive, otherwise the first live one of the users in
    /// `allow_uid`, in the order of that list.
    fn open(&self, name: &Name, options: &Options) -> Result<StreamEndpoint> {
        let access = Access::read(options, Operation::Open)?;
        let dir = access.directory(Operation::Open)?;
        if self.0.naming.is_live(&dir, name, Operation::Open)? {
            return Ok(self.opener(dir, name, access));
        }
        for dir in access.directories_of_others(Operation::Open) {
            let dir = dir?;
            // This user may not query another user's lock, so connecting decides.
            if answers(&dir, &self.0.socket_of(name)) {
                return Ok(self.opener(dir, name, access.clone()));
            }
        }
        Err(Error::new(Operation::Open, ErrorKind::NotFound)
            .because("no process owns this name; create it first"))
    }

    /// The text lives as long as the endpoint. `create=open_or_create` does not apply: a live name
    /// is `Exists`.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<StreamEndpoint> {
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

    fn close(&self, endpoint: StreamEndpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        over_scopes(options, |dir| {
            Ok(self.0.groups(dir)?.filter_map(|group| group.describe(dir)).collect())
        })
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        let dir = directory(options, Operation::Stat)?;
        Ok(self.0.group(name).describe(&dir).into_iter().collect())
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        remove_groups(&*directory(options, Operation::Remove)?, [self.0.group(name)], force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        over_scopes(options, |dir| sweep_groups(dir, self.0.groups(dir)?, fix))
    }
}

fn directory(options: &Options, operation: Operation) -> Result<Arc<Dir>> {
    Access::read(options, operation)?.directory(operation)
}

/// Calls `look` with the directory of the scope, or with both if the options name no scope.
fn over_scopes(
    options: &Options,
    look: impl Fn(&Dir) -> Result<Vec<Object>>,
) -> Result<Vec<Object>> {
    let mut objects = look(&*directory(options, Operation::List)?)?;
    // `Dir::shared` would create a missing directory.
    if !options.has(SCOPE) && Dir::shared_of(user(), Operation::List)?.is_some() {
        objects.extend(look(&Dir::shared(Operation::List)?)?);
    }
    Ok(objects)
}

/// True if an owner listens. The owner sees a connector that leaves before its hello.
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
