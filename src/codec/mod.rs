//! Codecs: typed values as bytes.
//!
//! The id of a codec travels in the handshake, so that two sides with different codecs refuse each
//! other instead of misreading bytes.
//!
//! # Which types
//! `postcard` and `bincode` write no names: they read a value by the order of its fields and the
//! number of its variant. Some attributes of serde break that order:
//!
//! | attribute | `postcard`, `bincode` | `json` |
//! |---|---|---|
//! | `#[serde(skip)]` on a variant, not the last | **another variant**, without an error | works |
//! | `#[serde(skip_serializing_if)]` | an error, or **another value** | works with `default` |
//! | `#[serde(flatten)]` | an error | works |
//! | `#[serde(untagged)]`, `#[serde(tag = "…")]` | an error | works |
//!
//! Choose `codec=json` for such types, or write them without the attribute. [`assert_round_trip`]
//! in a test shows what a codec does to a value.

use std::fmt;

use anyipc_core::{Error, ErrorKind, Operation, Result};

#[cfg(feature = "bincode")]
mod bincode;
#[cfg(feature = "json")]
mod endless;
#[cfg(any(feature = "postcard", feature = "bincode", feature = "json"))]
mod guard;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "postcard")]
mod postcard;
#[cfg(feature = "serde")]
mod round_trip;

#[cfg(feature = "bincode")]
pub use self::bincode::Bincode;
#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(feature = "postcard")]
pub use self::postcard::Postcard;
#[cfg(feature = "serde")]
pub use self::round_trip::assert_round_trip;

/// A format of values as bytes.
#[cfg(feature = "serde")]
pub trait Codec {
    /// The number in the handshake.
    const ID: u8;
    /// The name in addresses.
    const NAME: &'static str;

    /// Appends the bytes of `value` to `out`. There are no limits here; what
    /// [`decode`](Self::decode) refuses is an error of the receiver.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    fn encode<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()>;

    /// Reads a value from exactly these bytes; bytes left over are an error.
    ///
    /// Bytes of an untrusted peer cost at most a small multiple of their length in memory, and as
    /// much stack as a value that nests 128 levels deep (every list, map, tuple, struct, enum and
    /// present option is a level). Lists and maps have at most one element per byte, all together,
    /// and 1024 more: only elements that are written as no bytes, such as `()`, can be too many.
    ///
    /// Not limited is the work of serde itself with an untagged, internally tagged or flattened
    /// type after the bytes are read, which only `json` supports. A type that contains itself
    /// through options, newtypes and untagged enums alone, without a struct, list or map in
    /// between, recurses there without end:
    /// - as the type of the message it is refused if only options and newtypes lead back to it;
    ///   otherwise it overflows the stack at its first message, where a test finds it;
    /// - **as a part of another type it overflows the stack** once a value reaches it.
    ///
    /// A type of untagged enums within untagged enums tries all their combinations.
    ///
    /// # Errors
    /// `Codec` if the bytes are not one `T`.
    fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T>;
}

/// The codecs of this crate. Each needs the feature of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodecId {
    /// `postcard`: compact. The default.
    #[default]
    Postcard,
    /// `bincode` 2 in its standard configuration.
    Bincode,
    /// `json`: readable text.
    Json,
}

impl CodecId {
    /// The number in the handshake.
    pub const fn id(self) -> u8 {
        match self {
            Self::Postcard => 1,
            Self::Bincode => 2,
            Self::Json => 3,
        }
    }

    /// The name in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postcard => "postcard",
            Self::Bincode => "bincode",
            Self::Json => "json",
        }
    }

    /// The codec with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Postcard, Self::Bincode, Self::Json].into_iter().find(|codec| codec.as_str() == name)
    }

    /// True if it was compiled in.
    pub const fn is_available(self) -> bool {
        match self {
            Self::Postcard => cfg!(feature = "postcard"),
            Self::Bincode => cfg!(feature = "bincode"),
            Self::Json => cfg!(feature = "json"),
        }
    }

    /// The codec, if it was compiled in.
    ///
    /// # Errors
    /// `Unsupported`; the text names the codec and those that are compiled in.
    pub fn available(self) -> Result<Self> {
        if self.is_available() { Ok(self) } else { Err(missing(self)) }
    }

    /// Appends the bytes of `value` to `out`.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, `Unsupported` if the codec was not compiled in.
    #[cfg(feature = "serde")]
    pub fn encode<T: serde::Serialize + ?Sized>(self, value: &T, out: &mut Vec<u8>) -> Result<()> {
        match self {
            #[cfg(feature = "postcard")]
            Self::Postcard => Postcard::encode(value, out),
            #[cfg(feature = "bincode")]
            Self::Bincode => Bincode::encode(value, out),
            #[cfg(feature = "json")]
            Self::Json => Json::encode(value, out),
            #[allow(unreachable_patterns, reason = "reachable when a codec is not compiled in")]
            other => {
                let _ = (value, out);
                Err(missing(other))
            }
        }
    }

    /// Reads a value from exactly these bytes, within the limits of [`Codec::decode`].
    ///
    /// # Errors
    /// `Codec` if the bytes are not one `T`, `Unsupported` if the codec was not compiled in.
    #[cfg(feature = "serde")]
    pub fn decode<T: serde::de::DeserializeOwned>(self, bytes: &[u8]) -> Result<T> {
        match self {
            #[cfg(feature = "postcard")]
            Self::Postcard => Postcard::decode(bytes),
            #[cfg(feature = "bincode")]
            Self::Bincode => Bincode::decode(bytes),
            #[cfg(feature = "json")]
            Self::Json => Json::decode(bytes),
            #[allow(unreachable_patterns, reason = "reachable when a codec is not compiled in")]
            other => {
                let _ = bytes;
                Err(missing(other))
            }
        }
    }
}

impl fmt::Display for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn missing(codec: CodecId) -> Error {
    let there: Vec<_> = [CodecId::Postcard, CodecId::Bincode, CodecId::Json]
        .into_iter()
        .filter(|c| c.is_available())
        .map(CodecId::as_str)
        .collect();
    let there = if there.is_empty() { "none".into() } else { there.join(", ") };
    Error::new(Operation::Address, ErrorKind::Unsupported).because(format!(
        "the codec {codec} is not compiled in: enable the feature {codec}, or choose with codec= \
         from: {there}"
    ))
}

#[cfg(any(feature = "postcard", feature = "bincode", feature = "json"))]
fn encoding(codec: CodecId, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Operation::Send, ErrorKind::Codec)
        .because(format!("{codec} cannot write the value{}", hint(codec)))
        .from_source(error)
}

#[cfg(any(feature = "postcard", feature = "bincode", feature = "json"))]
fn decoding(
    codec: CodecId,
    limits: &guard::Limits,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    let why = match limits.exceeded() {
        Some(limit) => format!("{codec} refuses the value: {limit}"),
        None => {
            format!("{codec} cannot read the value; both sides need the same type{}", hint(codec))
        }
    };
    Error::new(Operation::Receive, ErrorKind::Codec).because(why).from_source(error)
}

#[cfg(feature = "json")]
fn endless(codec: CodecId) -> Error {
    Error::new(Operation::Receive, ErrorKind::Codec).because(format!(
        "{codec} refuses the type: it contains itself through options and newtypes alone, which \
         never end. A struct or list between them would work; for a variant that takes anything, \
         serde_json::Value does"
    ))
}

#[cfg(any(feature = "postcard", feature = "bincode"))]
fn left_over(codec: CodecId, count: usize) -> Error {
    Error::new(Operation::Receive, ErrorKind::Codec).because(format!(
        "{count} bytes follow the value; both sides need the same {codec} type{}",
        hint(codec)
    ))
}

/// Another possible fault of the type.
#[cfg(any(feature = "postcard", feature = "bincode", feature = "json"))]
fn hint(codec: CodecId) -> &'static str {
    match codec {
        CodecId::Json => "",
        _ => ", and serde's skip, skip_serializing_if, flatten, untagged and tag need codec=json",
    }
}

#[cfg(test)]
mod tests;
