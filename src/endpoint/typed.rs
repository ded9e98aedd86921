//! Channels of values. The handshake compares their types.

use std::time::Duration;

use anyipc_core::{Hello, Operation, Result};
use serde::{Serialize, de::DeserializeOwned};

use super::Endpoint;
use crate::channel::message::Message;
use crate::channel::typed::TypedChannel;
use crate::wait::deadline;

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
        Out: Message + Serialize,
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
        Out: Message + Serialize,
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
        Out: Message + Serialize,
        In: Message + DeserializeOwned,
    {
        let hello = self.typed_hello::<Out, In>(Operation::Connect)?;
        self.connect_until(hello, deadline(Some(self.settings().timeout)))?.typed()
    }

    pub(crate) fn typed_hello<Out: Message, In: Message>(
        &self,
        operation: Operation,
    ) -> Result<Hello> {
        let codec = self.settings().codec.unwrap_or_default();
        let codec = codec.available().map_err(|e| e.during(operation).at(self.address()))?;
        Ok(Hello {
            codec: codec.id(),
            sends: Some(Out::NAME.into()),
            receives: Some(In::NAME.into()),
            ..self.hello()
        })
    }
}
