use std::marker::PhantomData;

use anyipc_core::Result;
use bincode::config::{Configuration, standard};
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer};

use super::guard::Limits;
use super::{Codec, CodecId, decoding, encoding, left_over};

/// The `bincode` 2 format in its standard configuration: little-endian, variable-length integers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bincode;

impl Codec for Bincode {
    const ID: u8 = CodecId::Bincode.id();
    const NAME: &'static str = CodecId::Bincode.as_str();

    fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
        bincode::serde::encode_into_std_write(value, out, standard())
            .map_err(|e| encoding(CodecId::Bincode, e))?;
        Ok(())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
        // The limit counts decoded bytes, at most 16 per byte read (a u128). It is a const
        // parameter, so that only some values are possible.
        match bytes.len() {
            0..=0x1000 => limited::<0x1_0000, T>(bytes),
            0x1001..=0x1_0000 => limited::<0x10_0000, T>(bytes),
            0x1_0001..=0x10_0000 => limited::<0x100_0000, T>(bytes),
            0x10_0001..=0x100_0000 => limited::<0x1000_0000, T>(bytes),
            _ => limited::<0x7fff_ffff, T>(bytes),
        }
    }
}

fn limited<const LIMIT: usize, T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let config: Configuration<_, _, _> = standard().with_limit::<LIMIT>();
    let limits = Limits::new(bytes);
    let (value, used) =
        bincode::serde::seed_decode_from_slice(Seed(&limits, PhantomData), bytes, config)
            .map_err(|e| decoding(CodecId::Bincode, &limits, e))?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(left_over(CodecId::Bincode, rest)),
    }
}

/// Reads a `T` within the limits.
struct Seed<'l, T>(&'l Limits, PhantomData<T>);

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Seed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<T, D::Error> {
        self.0.decode(from)
    }
}
