use anyipc_core::Result;
use serde::{Serialize, de::DeserializeOwned};

use super::endless::is_endless;
use super::guard::Limits;
use super::{Codec, CodecId, decoding, encoding, endless};

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
        if is_endless::<T>() {
            return Err(endless(CodecId::Json));
        }
        // The limit of serde_json does not count options, for which JSON has no syntax.
        let limits = Limits::new(bytes);
        let mut from = serde_json::Deserializer::from_slice(bytes);
        limits
            .decode(&mut from)
            .and_then(|value| from.end().map(|()| value))
            .map_err(|e| decoding(CodecId::Json, &limits, e))
    }
}
