use anyipc_core::Result;
use serde::{Serialize, de::DeserializeOwned};

use super::guard::Limits;
use super::{Codec, CodecId, decoding, encoding, left_over};

/// The `postcard` wire format, version 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postcard;

impl Codec for Postcard {
    const ID: u8 = CodecId::Postcard.id();
    const NAME: &'static str = CodecId::Postcard.as_str();

    fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
        postcard::to_io(value, out).map_err(|e| encoding(CodecId::Postcard, e))?;
        Ok(())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
        let limits = Limits::new(bytes);
        let mut from = postcard::Deserializer::from_bytes(bytes);
        let (value, rest) = limits
            .decode(&mut from)
            .and_then(|value| Ok((value, from.finalize()?)))
            .map_err(|e| decoding(CodecId::Postcard, &limits, e))?;
        if rest.is_empty() { Ok(value) } else { Err(left_over(CodecId::Postcard, rest.len())) }
    }
}
