pub(crate) mod acceptor;
pub(crate) mod connect;
#[cfg(feature = "serde")]
mod typed;

use std::any::Any;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{DynEndpoint, DynTransport, Hello, Operation, Rejections, Result, Role};

use crate::address::Address;
use crate::address::settings::Settings;
use crate::channel::Channel;
use crate::endpoint::connect::Attempting;
use crate::wait::deadline;

/// A handle of a named object, from [`create`](crate::create), [`open`](crate::open) or
/// [`alloc_lpsz`](crate::alloc_lpsz).
///
/// Dropping it gives the handle up as [`close`](Self::close) does, without the report. Channels stay.
#[derive(Debug)]
pub struct Endpoint {
    inner: Box<dyn DynEndpoint>,
    transport: Arc<dyn DynTransport>,
    address: Address,
    settings: Settings,
    #[cfg(feature = "tokio")]
    pub(crate) reactor: crate::asynchronous::SharedReactor,
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

    /// The address it was made with; in place of the port 0, the one that the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Owner (accepts) or opener (connects).
    pub fn role(&self) -> Role {
        self.inner.role()
    }

    /// How often, and why last, this owner turned a connector away. Accepting never fails because of one.
    pub fn rejections(&self) -> Rejections {
        self.inner.rejections()
    }

    /// Waits for a peer and accepts it. Owner only. Blocks without limit.
    ///
    /// An owner that waits looks once a second whether its name still means it: a session manager or a cleaner of
    /// temporary files may have removed the files of the name, and then nobody finds the owner any more.
    ///
    /// # Errors
    /// `Removed` if the name is gone or another's by now, told once a second: close the endpoint and create the
    /// name again. `WrongRole`, `Forked`, `Io`. A connector's fault is none: it gets the error, see
    /// [`rejections`](Self::rejections).
    pub fn accept(&self) -> Result<Channel> {
        self.answer(self.hello(), None)
    }

    /// As [`accept`](Self::accept), for this long.
    ///
    /// # Errors
    /// `TimedOut`, and those of `accept`.
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Channel> {
        self.answer(self.hello(), deadline(Some(timeout)))
    }

    /// Connects to the owner. Opener only. Waits for one as long as the address's `timeout` (5 s) says.
    ///
    /// # Errors
    /// `NoOwner` (−3) if none came, `Mismatch`, `PermissionDenied`, `WrongRole`, `TimedOut` (an owner is
    /// there, but neither accepts nor refuses), `Forked`.
    pub fn connect(&self) -> Result<Channel> {
        self.connect_timeout(self.settings.timeout)
    }

    /// As [`connect`](Self::connect), for this long.
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn connect_timeout(&self, timeout: Duration) -> Result<Channel> {
        self.dial(self.hello(), deadline(Some(timeout)))
    }

    /// The text that `alloc_lpsz` stored. Over `tcp://` its owner tells it while it accepts; this waits for that as
    /// long as the address's `timeout` (5 s) says. Elsewhere nothing is waited for.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` (the block was not made by `alloc_lpsz`), `Corrupt` (there is no NUL), `TimedOut`
    /// (`tcp://`), `Unsupported`: all −3.
    pub fn lpsz(&self) -> Result<CString> {
        let mut text = CString::default();
        self.inner
            .read_lpsz(&mut |stored| text = stored.to_owned())
            .map_err(|e| e.during(Operation::ReadLpsz).at(&self.address))?;
        Ok(text)
    }

    /// What only this transport has, such as a block: `None` if this object has no `T`.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.inner.extension()?.downcast_ref()
    }

    /// Gives the handle up. The object lives until its last holder does.
    ///
    /// # Errors
    /// `StatFailed` (−5) if the object's status could not be read; it is released all the same.
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

    pub(crate) fn answer(&self, hello: Hello, deadline: Option<Instant>) -> Result<Channel> {
        Attempting::new(self, Role::Owner, hello)?.run(deadline)
    }

    pub(crate) fn dial(&self, hello: Hello, deadline: Option<Instant>) -> Result<Channel> {
        Attempting::new(self, Role::Opener, hello)?.run(deadline)
    }
}
