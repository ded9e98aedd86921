//! Handles of named objects, and the two ways from a handle to a channel: connecting and accepting.
//!
//! `next_channel` waits for either; `acceptor` accepts in steps; `typed` compares types in the
//! handshake. This module makes channels; it does not know the registry that makes its handles.

pub(crate) mod absence;
pub(crate) mod acceptor;
pub(crate) mod holders;
pub(crate) mod next_channel;
#[cfg(feature = "serde")]
pub(crate) mod typed;

use std::any::Any;
use std::ffi::CString;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{DynEndpoint, DynTransport, Hello, Operation, Rejections, Result, Role};

use crate::address::Address;
use crate::address::settings::Settings;
#[cfg(feature = "tokio")]
use crate::asynchronous::reactor::SharedReactor;
use crate::channel::Channel;
use crate::wait::deadline;
use next_channel::NextChannel;

/// A handle of a named object, from [`create`](crate::create), [`open`](crate::open) or
/// [`alloc_lpsz`](crate::alloc_lpsz).
///
/// Dropping the handle releases it as [`close`](Self::close) does, without a result. Its channels
/// stay open.
pub struct Endpoint {
    inner: Box<dyn DynEndpoint>,
    transport: Arc<dyn DynTransport>,
    address: Address,
    settings: Settings,
    /// What the async calls of this handle registered with the runtime.
    #[cfg(feature = "tokio")]
    pub(crate) reactor: SharedReactor,
}

impl Endpoint {
    pub(crate) fn new(
        inner: Box<dyn DynEndpoint>,
        transport: Arc<dyn DynTransport>,
        address: Address,
        settings: Settings,
    ) -> Self {
        let address = match inner.local_name() {
            Some(name) => address.named(name),
            None => address,
        };
        Self {
            inner,
            transport,
            address,
            settings,
            #[cfg(feature = "tokio")]
            reactor: Default::default(),
        }
    }

    /// The address that the handle was made with, as it can be passed on: with the scheme that
    /// `best` stands for, the name that `unique` made, and the port that the system chose for 0.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The role of the handle: an owner accepts, an opener connects.
    pub fn role(&self) -> Role {
        self.inner.role()
    }

    /// How many connectors this owner has turned away, and the last reason. They are no errors of
    /// accepting.
    pub fn rejections(&self) -> Rejections {
        self.inner.rejections()
    }

    /// Accepts a peer. Owner only. Blocks until there is one, without a limit of time.
    ///
    /// A waiting owner checks once a second that its name still leads to it: a session manager or a
    /// cleaner of temporary files may have removed the files of the name, and no connector finds
    /// the owner any more.
    ///
    /// # Errors
    /// `Removed` if the name is gone or has another owner, reported once a second: close the
    /// endpoint and create the name again. `WrongRole`, `Forked`, `Io`. The fault of a connector is
    /// no error here: the connector gets it, and [`rejections`](Self::rejections) counts it.
    pub fn accept(&self) -> Result<Channel> {
        self.accept_until(self.hello(), None)
    }

    /// As [`accept`](Self::accept), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `accept`.
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Channel> {
        self.accept_until(self.hello(), deadline(Some(timeout)))
    }

    /// Connects to the owner. Opener only. Blocks until it accepts, as long as the address's
    /// `timeout` (5 s by default) at most.
    ///
    /// # Errors
    /// `NoOwner` (−3) if there is none, `TimedOut` (an owner is there, but neither accepts nor
    /// refuses), `Mismatch`, `PermissionDenied`, `WrongRole`, `Forked`.
    pub fn connect(&self) -> Result<Channel> {
        self.connect_timeout(self.settings.timeout)
    }

    /// As [`connect`](Self::connect), for `timeout` at most.
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn connect_timeout(&self, timeout: Duration) -> Result<Channel> {
        self.connect_until(self.hello(), deadline(Some(timeout)))
    }

    /// The text that [`alloc_lpsz`](crate::alloc_lpsz) stored.
    ///
    /// Over `tcp://` the owner sends the text while it accepts; this blocks for that as long as the
    /// address's `timeout` (5 s by default) at most. Other transports do not block.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` (the object was not made by `alloc_lpsz`), `Corrupt` (there is no
    /// NUL), `TimedOut` (`tcp://`), `Unsupported`: all −3.
    pub fn lpsz(&self) -> Result<CString> {
        let mut text = CString::default();
        self.inner
            .read_lpsz(&mut |stored| text = stored.to_owned())
            .map_err(|e| e.during(Operation::ReadLpsz).at(&self.address))?;
        Ok(text)
    }

    /// A facility that only some transports have, such as a block. `None` if this object has no
    /// `T`.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.inner.extension()?.downcast_ref()
    }

    /// Releases the handle. The object exists until its last holder leaves.
    ///
    /// # Errors
    /// `StatFailed` (−5) if the object's status could not be read; the handle is released anyway.
    pub fn close(self) -> Result<()> {
        let Self { inner, transport, address, .. } = self;
        transport.close(inner).map_err(|e| e.during(Operation::Close).at(address))
    }

    pub(crate) fn raw(&self) -> &dyn DynEndpoint {
        &*self.inner
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn hello(&self) -> Hello {
        self.settings.hello(self.transport.schemes().first().copied().unwrap_or_default())
    }

    pub(crate) fn accept_until(&self, hello: Hello, deadline: Option<Instant>) -> Result<Channel> {
        NextChannel::new(self, Role::Owner, hello)?.next(deadline)
    }

    pub(crate) fn connect_until(&self, hello: Hello, deadline: Option<Instant>) -> Result<Channel> {
        NextChannel::new(self, Role::Opener, hello)?.next(deadline)
    }

    /// The channel to the owner there is. Without an owner it fails at once.
    pub(crate) fn reach(&self, hello: Hello) -> Result<NextChannel<'_>> {
        Ok(NextChannel::new(self, Role::Opener, hello)?.without_waiting_for_an_owner())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}, {})", self.address, self.role().as_str())
    }
}
