//! Values in named blocks of shared memory.

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_shared_memory::Block;
use serde::{Serialize, de::DeserializeOwned};

use crate::codec::CodecId;
use crate::endpoint::Endpoint;

impl Endpoint {
    /// The named block of memory behind this handle.
    ///
    /// # Errors
    /// `Unsupported` if there is none: only `shm://` has blocks, made with `size=`.
    pub fn block(&self) -> Result<&Block> {
        self.get().ok_or_else(|| {
            Error::new(Operation::Block, ErrorKind::Unsupported)
                .because("there is no block; create one with shm://name?size=4096")
                .at(self.address())
        })
    }
}

/// A block that holds one value of any serde type, in the default codec (`postcard`).
///
/// A reader never sees a part of a value. If a writer is killed, the value before stays.
pub trait BlockExt {
    /// Replaces the value. Blocks while another writer does the same.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, `MessageTooLarge` if it is too long for the block,
    /// `Unsupported` without the feature `postcard`.
    fn store<T: Serialize + ?Sized>(&self, value: &T) -> Result<()>;

    /// Reads the value; `None` if none was stored yet.
    ///
    /// # Errors
    /// `Codec` if it is no `T`, `Unsupported` without the feature `postcard`.
    fn load<T: DeserializeOwned>(&self) -> Result<Option<T>>;
}

impl BlockExt for Block {
    fn store<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let mut bytes = Vec::new();
        CodecId::default().encode(value, &mut bytes).map_err(|e| e.during(Operation::Block))?;
        self.store_bytes(&bytes)
    }

    fn load<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(bytes) = self.load_bytes()? else { return Ok(None) };
        CodecId::default().decode(&bytes).map(Some).map_err(|e| e.during(Operation::Block))
    }
}
