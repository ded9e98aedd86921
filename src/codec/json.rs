use anyipc_core::Result;
use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecId, decoding, encoding};

/// JSON without spaces.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl Codec for Json {
    const ID: u8 = CodecId::Json.id();
    const NAME: &'static str = CodecId::Json.as_str();

    fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(out, value).map_err(|e| encoding(CodecId::Json, e))
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
        // Refuses what follows the value by itself.
        serde_json::from_slice(bytes).map_err(|e| decoding(CodecId::Json, e))
    }
}
