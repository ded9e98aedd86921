//! Channels of values. The handshake compares their types.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use anyipc_core::{Hello, Operation, Result, Role};
use serde::{Serialize, de::DeserializeOwned};

use super::Endpoint;
use super::acceptor::Acceptor;
use crate::channel::Channel;
use crate::channel::message::{Message, checked_name};
use crate::channel::typed::TypedChannel;
use crate::wait::deadline;
use crate::wait::select::select_as;

/// As [`Acceptor`], for values, from [`Endpoint::acceptor_typed`].
pub struct TypedAcceptor<'a, Out: ?Sized, In> {
    inner: Acceptor<'a>,
    marker: PhantomData<fn(&Out) -> In>,
}

impl Endpoint {
    /// As [`accept`](Self::accept), for values. A connector with other types or another
    /// codec is turned away.
    ///
    /// A connector that names no types (`connect`) is let in. If it sends a message that is no
    /// `In`, `recv` returns `Codec`.
    ///
    /// # Errors
    /// Those of `accept`; `Unsupported` if the codec was not compiled in.
    pub fn accept_typed<Out, In>(&self) -> Result<TypedChannel<Out, In>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        self.accept_until(self.typed_hello::<Out, In>(Operation::Accept)?, None)?.typed()
    }

    /// As [`accept_typed`](Self::accept_typed), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `accept_typed`.
    pub fn accept_typed_timeout<Out, In>(&self, timeout: Duration) -> Result<TypedChannel<Out, In>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        self.accept_until(self.typed_hello::<Out, In>(Operation::Accept)?, deadline(Some(timeout)))?
            .typed()
    }

    /// As [`connect`](Self::connect), for values. The owner must have the same types and codec.
    ///
    /// # Errors
    /// Those of `connect`; `Mismatch` if the owner's types or codec differ; `Unsupported` if the
    /// codec was not compiled in.
    pub fn connect_typed<Out, In>(&self) -> Result<TypedChannel<Out, In>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        let hello = self.typed_hello::<Out, In>(Operation::Connect)?;
        self.connect_until(hello, deadline(Some(self.settings().timeout)))?.typed()
    }

    /// As [`acceptor`](Self::acceptor), for values. [`accept_typed`](Self::accept_typed) says which
    /// connectors are let in.
    ///
    /// # Errors
    /// `WrongRole`; `Unsupported` if the codec was not compiled in.
    pub fn acceptor_typed<Out, In>(&self) -> Result<TypedAcceptor<'_, Out, In>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        let hello = self.typed_hello::<Out, In>(Operation::Accept)?;
        Ok(TypedAcceptor { inner: Acceptor::new(self, Role::Owner, hello)?, marker: PhantomData })
    }

    /// What this side says of itself with these types.
    pub(crate) fn typed_hello<Out: Message + ?Sized, In: Message>(
        &self,
        operation: Operation,
    ) -> Result<Hello> {
        let codec = self.settings().codec.unwrap_or_default();
        let codec = codec.available().map_err(|e| e.during(operation).at(self.address()))?;
        Ok(Hello {
            codec: codec.id(),
            sends: Some(checked_name::<Out>().into()),
            receives: Some(checked_name::<In>().into()),
            ..self.hello()
        })
    }
}

impl<Out: Serialize + ?Sized, In: DeserializeOwned> TypedAcceptor<'_, Out, In> {
    /// Accepts a peer if there is one, without blocking.
    ///
    /// # Errors
    /// Those of [`Acceptor::try_accept`].
    pub fn try_accept(&mut self) -> Result<TypedChannel<Out, In>> {
        self.inner.try_accept().and_then(Channel::typed)
    }

    /// Accepts a peer. Blocks until there is one, without a limit of time.
    ///
    /// # Errors
    /// Those of [`Acceptor::accept`].
    pub fn accept(&mut self) -> Result<TypedChannel<Out, In>> {
        self.inner.accept().and_then(Channel::typed)
    }

    /// As [`accept`](Self::accept), for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`Acceptor::accept_timeout`].
    pub fn accept_timeout(&mut self, timeout: Duration) -> Result<TypedChannel<Out, In>> {
        self.inner.accept_timeout(timeout).and_then(Channel::typed)
    }
}

impl<Out: ?Sized, In> fmt::Debug for TypedAcceptor<'_, Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed{:?}", self.inner)
    }
}

select_as!(['a, Out: ?Sized, In] TypedAcceptor<'a, Out, In>, inner);
