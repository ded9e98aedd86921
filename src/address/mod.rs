//! Addresses, as text and as values. This module knows nothing of transports or of the rest of the
//! facade, but for the names of codecs.

#[cfg(feature = "config")]
pub(crate) mod config;
#[cfg(feature = "serde")]
mod serde;
pub(crate) mod settings;

use std::fmt;
use std::str::FromStr;

use anyipc_core::{Error, ErrorKind, Name, Operation, Result, excerpt};

/// The name of an address that has none, with `unique`.
pub(crate) const UNNAMED: &str = "unique";

/// Where an object is: `scheme://name?key=value&key=value`, percent-decoded once. For a transport
/// of plain sockets it may be `scheme:///path`.
///
/// A word `unique` among the options, without a value, stands for a name that nobody has:
/// [`create`](crate::create) makes it of 128 random bits, behind the name of the address if there
/// is one. `Endpoint::address` then has the name, to be passed on.
///
/// Parsing checks the form and the name. The [`Registry`](crate::Registry) that the address is
/// given to checks whether the scheme exists and takes the options.
///
/// ```
/// let address: anyipc::Address = "shm://edix.errors?wait=block".parse()?;
/// assert_eq!(address.scheme(), "shm");
/// assert_eq!(address.name().as_str(), "edix.errors");
/// assert_eq!(address.get("wait"), Some("block"));
/// # Ok::<(), anyipc::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: String,
    name: Name,
    /// `name` is only the start of a name that is yet to be made, or [`UNNAMED`].
    unique: bool,
    pairs: Vec<(String, String)>,
}

impl Address {
    /// The scheme, such as `shm`: it chooses the transport.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The object's name. With `unique` what its name will begin with, and `unique` if the address
    /// has no name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// True if [`create`](crate::create) has yet to make the name.
    pub fn is_unique(&self) -> bool {
        self.unique
    }

    /// The options, in the order given.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The value of an option, or `None` if it was not given.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// The same address with another name.
    pub(crate) fn named(self, name: Name) -> Self {
        Self { name, unique: false, ..self }
    }

    /// The same address with a name that is yet to be made.
    pub(crate) fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// The same address with another scheme.
    pub(crate) fn with_scheme(self, scheme: &str) -> Self {
        Self { scheme: scheme.into(), ..self }
    }

    /// The same address with one option set, replacing an earlier value.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        match self.pairs.iter_mut().find(|(k, _)| k == key) {
            Some(pair) => pair.1 = value.into(),
            None => self.pairs.push((key.into(), value.into())),
        }
        self
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text, false)
    }
}

fn fault(why: impl Into<String>) -> Error {
    Error::new(Operation::Address, ErrorKind::InvalidAddress).because(why)
}

/// Reads an address, which may be one without a name if it is `unnamed`.
fn parse(text: &str, unnamed: bool) -> Result<Address> {
    read(text, unnamed).map_err(|error| error.at(format_args!("{text:.300}")))
}

fn read(text: &str, unnamed: bool) -> Result<Address> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| fault("`://` is missing; an address reads scheme://name?key=value"))?;
    let word =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '+' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.chars().all(word) {
        return Err(fault(format!(
            "{scheme} is no scheme; one is a lower-case word such as shm",
            scheme = excerpt(scheme)
        )));
    }
    let (name, query) = match rest.split_once('?') {
        Some((name, query)) => (name, Some(query)),
        None => (rest, None),
    };
    let mut unique = false;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.into_iter().flat_map(|q| q.split('&')) {
        if pair == "unique" {
            if std::mem::replace(&mut unique, true) {
                return Err(twice(pair));
            }
            continue;
        }
        let Some((key, value)) = pair.split_once('=') else {
            return Err(fault(format!(
                "{pair} is no key=value; options read ?key=value&key=value",
                pair = excerpt(pair)
            )));
        };
        let (key, value) = (decode(key)?, decode(value)?);
        if key == "unique" {
            return Err(fault("`unique` has no value: write ?unique, or leave it out")
                .as_kind(ErrorKind::InvalidOption));
        }
        if pairs.iter().any(|(k, _)| *k == key) {
            return Err(twice(&key));
        }
        pairs.push((key, value));
    }
    let name = match decode(name)? {
        name if name.is_empty() && (unique || unnamed) => Name::new(UNNAMED)?,
        path if path.starts_with('/') => Name::path(&path)?,
        name => Name::new(&name)?,
    };
    Ok(Address { scheme: scheme.into(), name, unique, pairs })
}

fn twice(key: &str) -> Error {
    fault(format!("the key {} is given twice; give it once", excerpt(key)))
        .as_kind(ErrorKind::InvalidOption)
}

fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |i: usize| tail.get(i).and_then(|&b| (b as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(fault(format!(
                "bad percent-encoding in {text}: `%` needs two hexadecimal digits after it; write \
                 %25 for a plain `%`",
                text = excerpt(text)
            )));
        };
        bytes.push((high * 16 + low) as u8);
        rest = tail.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| {
        fault(format!(
            "bad percent-encoding in {text}: the bytes are not UTF-8",
            text = excerpt(text)
        ))
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, Encoded(self.name.as_str()))?;
        let mut lead = '?';
        if self.unique {
            write!(f, "{lead}unique")?;
            lead = '&';
        }
        for (key, value) in &self.pairs {
            write!(f, "{lead}{}={}", Encoded(key), Encoded(value))?;
            lead = '&';
        }
        Ok(())
    }
}

/// The address of memory with this name, for errors.
#[cfg(feature = "shared-memory")]
pub(crate) fn of_memory(name: &str) -> String {
    format!("shm://{}", Encoded(name))
}

/// Text of an address, percent-encoded where a character would end it or confuse a reader or a log.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut utf8 = [0; 4];
        for c in self.0.chars() {
            if c.is_control() || matches!(c, '%' | '?' | '&' | '=' | '#' | ' ') {
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    write!(f, "%{byte:02X}")?;
                }
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        Ok(())
    }
}

/// What `create`, `open` and `connect` take: an [`Address`], or text to parse.
pub trait IntoAddress {
    /// The address.
    ///
    /// # Errors
    /// `InvalidAddress`, `InvalidName` or `InvalidOption` if the text is no address.
    fn into_address(self) -> Result<Address>;

    /// The address of a [`pair`](crate::pair()), which may have no name.
    #[doc(hidden)]
    fn into_pair_address(self) -> Result<Address>
    where
        Self: Sized,
    {
        self.into_address()
    }
}

impl IntoAddress for Address {
    fn into_address(self) -> Result<Address> {
        Ok(self)
    }
}

impl IntoAddress for &Address {
    fn into_address(self) -> Result<Address> {
        Ok(self.clone())
    }
}

macro_rules! text_into_address {
    ($($text:ty),*) => {$(
        impl IntoAddress for $text {
            fn into_address(self) -> Result<Address> {
                parse(self.as_ref(), false)
            }
            fn into_pair_address(self) -> Result<Address> {
                parse(self.as_ref(), true)
            }
        }
    )*};
}

text_into_address!(&str, &String, String);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_decoded_once() {
        let address: Address = "shm://100%25%3F?note=a%2526b&wait=spin".parse().unwrap();
        assert_eq!(address.name().as_str(), "100%?");
        assert_eq!(address.get("note"), Some("a%26b"));
        assert_eq!(address.pairs().count(), 2);
        assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    }

    #[test]
    fn faults_are_named() {
        let kind = |text: &str| text.parse::<Address>().unwrap_err().kind();
        for bad in [
            "",
            "shm",
            "shm:x",
            "://x",
            "SHM://x",
            "1a://x",
            "s m://x",
            "shm://x?",
            "shm://x?a",
            "shm://x?a=1&",
            "shm://%",
            "shm://%4",
            "shm://%zz",
            "shm://x?a=%e4",
            "shm://x?%=1",
            "shm://%+1",
        ] {
            assert_eq!(kind(bad), ErrorKind::InvalidAddress, "{bad}");
        }
        for bad in ["shm://", "shm://a/b", "shm://a%2fb", "shm://..", "shm://a%00b"] {
            assert_eq!(kind(bad), ErrorKind::InvalidName, "{bad}");
        }
        assert_eq!(kind("shm://x?a=1&a=2"), ErrorKind::InvalidOption);
        let text = "shm://x?a=1&%61=2".parse::<Address>().unwrap_err().to_string();
        assert!(text.contains("twice") && text.contains("shm://x?a=1&%61=2"), "{text}");
    }

    #[test]
    fn a_unique_address_has_no_name_or_the_start_of_one() {
        for (text, name) in [
            ("shm://?unique", "unique"),
            ("shm://?capacity=1MiB&unique&wait=spin", "unique"),
            ("shm://edix.reply?unique", "edix.reply"),
        ] {
            let address: Address = text.parse().unwrap();
            assert!(address.is_unique() && address.name().as_str() == name, "{text}");
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            assert_eq!(address.get("unique"), None);
            let named = address.named(Name::new("a").unwrap());
            assert!(!named.is_unique() && !named.to_string().contains("unique"), "{named}");
        }
        let kind = |text: &str| text.parse::<Address>().unwrap_err().kind();
        for bad in ["shm://?unique&unique", "shm://x?unique=true", "shm://x?%75nique=1"] {
            assert_eq!(kind(bad), ErrorKind::InvalidOption, "{bad}");
        }
        assert_eq!("shm://".into_pair_address().unwrap().name().as_str(), "unique");
        assert_eq!("shm:///".into_pair_address().unwrap_err().kind(), ErrorKind::InvalidName);
    }

    #[test]
    fn with_replaces() {
        let address: Address = "shm://x?wait=spin".parse().unwrap();
        assert_eq!(
            address.with("wait", "block").with("a", "&").to_string(),
            "shm://x?wait=block&a=%26"
        );
    }

    proptest! {
        #[test]
        fn display_reads_back(
            scheme in "[a-z][a-z0-9+.-]{0,8}",
            name in "\\PC{1,40}",
            unique in any::<bool>(),
            pairs in proptest::collection::vec((".{0,9}", ".{0,9}"), 0..4),
        ) {
            let Ok(name) = Name::new(&name) else { return Ok(()) };
            let mut address = Address { scheme, name, unique, pairs: Vec::new() };
            for (key, value) in &pairs {
                address = address.with(key, value);
            }
            prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }

        #[test]
        fn garbage_never_panics(text in ".{0,60}", tail in "[%?&=/:a0é]{0,30}") {
            let _ = text.parse::<Address>();
            let _ = format!("shm://{tail}").parse::<Address>();
        }
    }
}
