//! From addresses to transports. The only module that names backends, but for the re-exports in
//! `lib.rs` and for `block`.
//!
//! `naming` says what an address means; `opening` waits for objects that are not there yet; `first`
//! creates or connects; `pair` makes both ends of a channel; `reclaim` frees a full file system.

pub(crate) mod first;
mod naming;
pub(crate) mod opening;
mod pair;
mod reclaim;
mod sys;

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyipc_core::{
    COMMON_KEYS, Capabilities, DynEndpoint, DynTransport, Error, ErrorKind, Name, Object,
    ObjectState, Operation, Options, Result, Transport, excerpt, keys,
};
#[cfg(feature = "serde")]
use serde::{Serialize, de::DeserializeOwned};

use crate::address::settings::Settings;
use crate::address::{Address, IntoAddress};
use crate::channel::Channel;
#[cfg(feature = "serde")]
use crate::channel::{message::Message, typed::TypedChannel};
use crate::codec::CodecId;
use crate::endpoint::Endpoint;
use crate::endpoint::holders::{Holders, adopting};
use opening::{Opening, open_then_connect};
use reclaim::make_reclaiming;

/// The schemes of this project, the features that they need, and whether these are on.
const FEATURES: &[(&str, &str, bool)] = &[
    ("shm", "shared-memory", cfg!(feature = "shared-memory")),
    ("mq", "message-queue", cfg!(feature = "message-queue")),
    ("posix-mq", "posix-queue", cfg!(feature = "posix-queue")),
    ("pipe", "named-pipe", cfg!(feature = "named-pipe")),
    ("local", "socket", cfg!(feature = "socket")),
    ("tcp", "socket", cfg!(feature = "socket")),
    ("inproc", "in-process", cfg!(feature = "in-process")),
    ("plain", "plain-socket", cfg!(feature = "plain-socket")),
];

/// The transports that addresses can name.
///
/// The functions of this crate ([`create`](crate::create), [`open`](crate::open), …) use
/// [`Registry::global`]. A registry of your own adds transports of other crates:
///
/// ```
/// # #[cfg(feature = "in-process")] {
/// # use anyipc_in_process::InProcess as MyTransport;
/// let registry = anyipc::Registry::empty().with(MyTransport);
/// let endpoint = registry.create("inproc://registry.example")?;
/// # }
/// # Ok::<(), anyipc::Error>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    /// The first one that has a scheme serves it.
    transports: Vec<Arc<dyn DynTransport>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry of the transports that were compiled in.
    pub fn new() -> Self {
        let registry = Self::empty();
        #[cfg(feature = "in-process")]
        let registry = registry.with(anyipc_in_process::InProcess);
        #[cfg(feature = "plain-socket")]
        let registry = registry.with(anyipc_plain_socket::PlainSocket);
        #[cfg(feature = "socket")]
        let registry = registry.with(anyipc_socket::Tcp).with(anyipc_socket::Local);
        #[cfg(feature = "named-pipe")]
        let registry = registry.with(anyipc_named_pipe::NamedPipe);
        #[cfg(feature = "posix-queue")]
        let registry = registry.with(anyipc_posix_queue::PosixQueue);
        #[cfg(feature = "message-queue")]
        let registry = registry.with(anyipc_message_queue::MessageQueue);
        #[cfg(feature = "shared-memory")]
        let registry = registry.with(anyipc_shared_memory::SharedMemory);
        registry
    }

    /// A registry without transports.
    pub const fn empty() -> Self {
        Self { transports: Vec::new() }
    }

    /// The registry that the functions of this crate use: the one of [`new`](Self::new).
    pub fn global() -> &'static Self {
        static GLOBAL: LazyLock<Registry> = LazyLock::new(Registry::new);
        &GLOBAL
    }

    /// Adds a transport. It takes over schemes that it shares with earlier ones.
    #[must_use]
    pub fn with(mut self, transport: impl Transport) -> Self {
        self.transports.insert(0, Arc::new(transport));
        self
    }

    /// The transports, with their schemes, keys and capabilities.
    pub fn transports(&self) -> impl Iterator<Item = &dyn DynTransport> {
        self.transports.iter().map(|t| &**t)
    }

    /// The transport that an address names, and its options as that transport understands them.
    ///
    /// # Errors
    /// `InvalidAddress` for an unknown scheme, `InvalidOption` for a key or value that the
    /// transport does not take. The text lists the choices.
    pub fn resolve(&self, address: &Address) -> Result<(&dyn DynTransport, Options)> {
        self.find(address)
            .map(|(transport, options)| (&**transport, options))
            .map_err(|e| e.at(address))
    }

    fn find(&self, address: &Address) -> Result<(&Arc<dyn DynTransport>, Options)> {
        let scheme = match self.alias(address.scheme())? {
            Some(scheme) => scheme,
            None => address.scheme(),
        };
        let Some(transport) = self.transports.iter().find(|t| t.schemes().contains(&scheme)) else {
            let known: Vec<_> = self.transports().flat_map(|t| t.schemes()).copied().collect();
            let known =
                if known.is_empty() { "(none is compiled in)".into() } else { known.join(", ") };
            let why = match FEATURES.iter().find(|(name, _, on)| *name == scheme && !on) {
                Some((_, feature, _)) => {
                    format!(
                        "{scheme}:// needs the feature {feature} of anyipc; without it choose from \
                         {known}"
                    )
                }
                None => format!("unknown scheme {}; choose from {known}", excerpt(scheme)),
            };
            return Err(Error::new(Operation::Address, ErrorKind::InvalidAddress).because(why));
        };
        if address.name().is_path() && !transport.takes_paths() {
            return Err(Error::new(Operation::Address, ErrorKind::InvalidName)
                .because(format!("{scheme}:// takes a name, and no path; plain:// takes both")));
        }
        let options = Options::parse(address.pairs(), &[COMMON_KEYS, transport.keys()])?;
        Ok((transport, options))
    }

    /// Creates the named object and becomes its owner, as [`create`](crate::create) with this
    /// registry.
    ///
    /// # Errors
    /// Those of [`create`](crate::create).
    pub fn create(&self, address: impl IntoAddress) -> Result<Endpoint> {
        let address = self.made(address, Operation::Create)?;
        self.make(address, Operation::Create, |t, name, options| t.create(name, options))
    }

    /// Opens a live object, as [`open`](crate::open) with this registry.
    ///
    /// # Errors
    /// Those of [`open`](crate::open).
    pub fn open(&self, address: impl IntoAddress) -> Result<Endpoint> {
        let address = self.found(address, Operation::Open)?;
        self.open_here(&address, None).map_err(|error| {
            let absent = error.kind() == ErrorKind::NotFound;
            match if absent { self.elsewhere(&address) } else { None } {
                Some(hint) => {
                    Error::new(Operation::Open, ErrorKind::NotFound).because(hint).at(address)
                }
                None => error,
            }
        })
    }

    /// Opens an object and waits for it, as [`open_timeout`](crate::open_timeout) with this
    /// registry.
    ///
    /// # Errors
    /// Those of [`open_timeout`](crate::open_timeout).
    pub fn open_timeout(&self, address: impl IntoAddress, timeout: Duration) -> Result<Endpoint> {
        self.opening(address, Some(timeout))?.open()
    }

    /// As [`open`](Self::open), without a hint at other schemes, and within `time` instead of the
    /// address's `timeout`.
    fn open_here(&self, address: &Address, time: Option<Duration>) -> Result<Endpoint> {
        self.make(address.clone(), Operation::Open, |t, name, options| match time {
            Some(time) => t.open(name, &options.clone().with_span(keys::TIMEOUT, time)),
            None => t.open(name, options),
        })
    }

    /// A sentence with the other scheme under which the name is alive, if there is one: the other
    /// side may have it in its address.
    fn elsewhere(&self, address: &Address) -> Option<String> {
        let alive = |transport: &&dyn DynTransport| {
            let objects =
                transport.inspect(address.name(), &Options::default()).unwrap_or_default();
            objects
                .iter()
                .any(|object| matches!(object.state, ObjectState::Live | ObjectState::Persistent))
        };
        let mut others = self.transports().filter(|t| !t.schemes().contains(&address.scheme()));
        let scheme = others.find(alive)?.schemes().first()?;
        Some(format!(
            "{:?} is alive as {scheme}://; is that what you want to reach?",
            address.name().as_str()
        ))
    }

    /// Creates an object that holds a text, as [`alloc_lpsz`](crate::alloc_lpsz) with this
    /// registry.
    ///
    /// # Errors
    /// Those of [`alloc_lpsz`](crate::alloc_lpsz).
    pub fn alloc_lpsz(
        &self,
        address: impl IntoAddress,
        text: impl AsRef<[u8]>,
    ) -> Result<Endpoint> {
        let address = self.made(address, Operation::AllocLpsz)?;
        let text = text.as_ref();
        let refuse =
            |why| Err(Error::new(Operation::AllocLpsz, ErrorKind::InvalidOption).because(why));
        self.make(address, Operation::AllocLpsz, |t, name, options| {
            if let Some(at) = text.iter().position(|b| *b == 0) {
                return refuse(format!(
                    "the text has a NUL at byte {at}; a NUL ends it, so it cannot hold one"
                ));
            }
            if let Some(size) = options.number(keys::SIZE) {
                return refuse(format!("size={size}: a text has its own size; leave the key out"));
            }
            t.alloc_lpsz(name, text, options)
        })
    }

    fn make(
        &self,
        address: Address,
        operation: Operation,
        make: impl Fn(&dyn DynTransport, &Name, &Options) -> Result<Box<dyn DynEndpoint>>,
    ) -> Result<Endpoint> {
        let made = self.find(&address).and_then(|(transport, options)| {
            let mut settings = Settings::new(&options)?;
            if !transport.capabilities().contains(Capabilities::HANDSHAKE) {
                // Nothing tells the other side which codec it is, and it may be any program.
                settings.codec.get_or_insert(CodecId::Json);
            }
            let endpoint = make_reclaiming(self, || make(&**transport, address.name(), &options))
                .map_err(|error| match error.kind() {
                ErrorKind::Exists => {
                    Holders::of(&**transport, &address).explain_exists(error, adopting(operation))
                }
                _ => error,
            })?;
            Ok((transport, endpoint, settings))
        });
        match made {
            Ok((transport, endpoint, settings)) => {
                Ok(Endpoint::new(endpoint, Arc::clone(transport), address, settings))
            }
            Err(error) => Err(error.during(operation).at(address)),
        }
    }

    /// Opens and connects, as [`connect`](crate::connect()) with this registry.
    ///
    /// # Errors
    /// Those of [`connect`](crate::connect()).
    pub fn connect(&self, address: impl IntoAddress) -> Result<Channel> {
        open_then_connect(&mut self.opening(address, None)?, |endpoint| Ok(endpoint.hello()))
    }

    /// Opens and connects for values, as [`connect_typed`](crate::connect_typed) with this
    /// registry.
    ///
    /// # Errors
    /// Those of [`connect_typed`](crate::connect_typed).
    #[cfg(feature = "serde")]
    pub fn connect_typed<Out, In>(&self, address: impl IntoAddress) -> Result<TypedChannel<Out, In>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        let hello = |endpoint: &Endpoint| endpoint.typed_hello::<Out, In>(Operation::Connect);
        open_then_connect(&mut self.opening(address, None)?, hello)?.typed()
    }

    /// Opening for a connect, within the address's `timeout`, or for itself, within `timeout`.
    pub(crate) fn opening(
        &self,
        address: impl IntoAddress,
        timeout: Option<Duration>,
    ) -> Result<Opening> {
        let operation = if timeout.is_some() { Operation::Open } else { Operation::Connect };
        let address = self.found(address, operation)?;
        let settings = self.settings(&address, operation)?;
        let timeout = timeout.unwrap_or(settings.timeout);
        Ok(Opening::new(self.clone(), address, operation, timeout))
    }

    /// What the options of an address say to the facade.
    pub(crate) fn settings(&self, address: &Address, operation: Operation) -> Result<Settings> {
        self.find(address)
            .and_then(|(_, options)| Settings::new(&options))
            .map_err(|e| e.during(operation).at(address))
    }

    /// The objects of all transports that list theirs ([`Capabilities::INVENTORY`]), each with its
    /// scheme.
    ///
    /// # Errors
    /// The first error of a transport.
    pub fn list(&self) -> Result<Vec<(&'static str, Object)>> {
        self.gather(|t| t.list(&Options::default()))
    }

    /// The objects that crashes left behind, of all transports; removes them if `fix` is true.
    ///
    /// # Errors
    /// The first error of a transport.
    pub fn sweep(&self, fix: bool) -> Result<Vec<(&'static str, Object)>> {
        self.gather(|t| t.sweep(&Options::default(), fix))
    }

    fn gather(
        &self,
        look: impl Fn(&dyn DynTransport) -> Result<Vec<Object>>,
    ) -> Result<Vec<(&'static str, Object)>> {
        let mut all = Vec::new();
        for transport in
            self.transports().filter(|t| t.capabilities().contains(Capabilities::INVENTORY))
        {
            let scheme = transport.schemes().first().copied().unwrap_or_default();
            match look(transport) {
                Ok(objects) => all.extend(objects.into_iter().map(|object| (scheme, object))),
                // The transport is missing on this platform, and has no objects.
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// The objects of one name. A name can have two: a block and a rendezvous.
    ///
    /// # Errors
    /// `NotFound`, `StatFailed` (−5), `Unsupported` for a transport that does not list its
    /// objects.
    pub fn inspect(&self, address: impl IntoAddress) -> Result<Vec<Object>> {
        self.look(address, Operation::Stat, |t, name, options| t.inspect(name, options))
    }

    /// Removes the objects of one name.
    ///
    /// # Errors
    /// `Busy` if one is alive and `force` is false; `NotFound`; `Unsupported`.
    pub fn remove(&self, address: impl IntoAddress, force: bool) -> Result<()> {
        self.look(address, Operation::Remove, |t, name, options| t.remove(name, options, force))
    }

    fn look<T>(
        &self,
        address: impl IntoAddress,
        operation: Operation,
        look: impl FnOnce(&dyn DynTransport, &Name, &Options) -> Result<T>,
    ) -> Result<T> {
        let address = self.found(address, operation)?;
        self.find(&address)
            .and_then(|(transport, options)| look(&**transport, address.name(), &options))
            .map_err(|e| e.during(operation).at(&address))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schemes: Vec<_> = self.transports().flat_map(|t| t.schemes()).copied().collect();
        write!(f, "Registry({})", schemes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_was_left_out_names_its_feature() {
        for &(scheme, feature, on) in FEATURES {
            let resolved = Registry::new()
                .resolve(&format!("{scheme}://127.0.0.1:0").parse().unwrap())
                .map(drop);
            match resolved {
                Ok(()) => assert!(on, "{scheme}"),
                Err(error) => assert!(!on && error.to_string().contains(feature), "{error}"),
            }
        }
        let error = Registry::empty().resolve(&"ftp://x".parse().unwrap()).map(drop).unwrap_err();
        assert!(error.to_string().contains("unknown scheme \"ftp\""), "{error}");
    }
}
