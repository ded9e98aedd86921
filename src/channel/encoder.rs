//! Values of one type as bytes, in a buffer that is kept from one to the next.

use std::fmt;
use std::marker::PhantomData;

use anyipc_core::{KEPT, Result, give_back};
use serde::Serialize;

use crate::codec::CodecId;

pub(crate) struct Encoder<Out: ?Sized> {
    pub(crate) codec: CodecId,
    /// The bytes of the last value.
    buffer: Vec<u8>,
    /// Values in a row that needed at most [`KEPT`] bytes; a large buffer is freed after some.
    shorter: u64,
    marker: PhantomData<fn(&Out)>,
}

impl<Out: Serialize + ?Sized> Encoder<Out> {
    pub(crate) fn new(codec: CodecId) -> Self {
        Self { codec, buffer: Vec::new(), shorter: 0, marker: PhantomData }
    }

    /// The bytes of a value.
    ///
    /// # Errors
    /// `Codec` if it cannot be encoded.
    pub(crate) fn encode(&mut self, value: &Out) -> Result<&[u8]> {
        give_back(&mut self.buffer, self.shorter);
        self.buffer.clear();
        self.codec.encode(value, &mut self.buffer)?;
        self.shorter = if self.buffer.len() <= KEPT { self.shorter + 1 } else { 0 };
        Ok(&self.buffer)
    }
}

impl<Out: ?Sized> fmt::Debug for Encoder<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoder").field(&self.codec).finish()
    }
}
