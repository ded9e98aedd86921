//! Detection of types for which serde recurses without end, before a peer's bytes make it.
//!
//! serde reads an untagged type from a buffer. An option takes any value but `null` as present and
//! asks its content about the same value again, so that a type of options of itself recurses until
//! the stack ends. That recursion never leaves serde: no limit of ours can stop it.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

/// Levels of options and newtypes that [`is_endless`] tries. No useful type has so many with
/// nothing else in between.
const TRIAL: u32 = 16;

/// True if serde collects a `T` in a buffer and the `T` takes options of newtypes of options
/// without end. Such a type never finds the end of any other value in the buffer either, and would
/// overflow the stack. Since serde's second step never calls back, the type is tried before it,
/// with a value that ends.
///
/// Finds the type of the message only; its fields are not tried. For a type that leads back to
/// itself through an untagged enum no value ends, so that the trial itself overflows the stack: at
/// the first message, and not at one that a peer chose.
pub(super) fn is_endless<T: DeserializeOwned>() -> bool {
    T::deserialize(Trial { left: TRIAL }).is_ok()
}

/// A deserializer that gives options of newtypes to a type that takes anything, and an error to any
/// other.
struct Trial {
    /// Levels left, 0 to [`TRIAL`].
    left: u32,
}

/// The trial has ended, for any reason.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl Error for Refused {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Self
    }
}

macro_rules! refused {
    ($($method:ident $(($($argument:tt)*))?)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($($argument)*,)? _: V) -> Result<V::Value, Refused> {
            Err(Refused)
        })*
    };
}

impl<'de> Deserializer<'de> for Trial {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.left {
            0 => visitor.visit_none(),
            left if left % 2 == 0 => visitor.visit_newtype_struct(Self { left: left - 1 }),
            left => visitor.visit_some(Self { left: left - 1 }),
        }
    }

    refused! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_option deserialize_unit deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
        deserialize_unit_struct(_: &'static str)
        deserialize_newtype_struct(_: &'static str)
        deserialize_tuple(_: usize)
        deserialize_tuple_struct(_: &'static str, _: usize)
        deserialize_struct(_: &'static str, _: &'static [&'static str])
        deserialize_enum(_: &'static str, _: &'static [&'static str])
    }
}
