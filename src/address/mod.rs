//! Addresses, as text and as values. This module knows nothing of transports or of the rest of the
//! facade, but for the names of codecs.

#[cfg(feature = "config")]
pub(crate) mod config;
pub(crate) mod settings;

use std::fmt;
use std::str::FromStr;

use anyipc_core::{Error, ErrorKind, Name, Operation, Result, excerpt};

/// Where an object is: `scheme://name?key=value&key=value`, percent-decoded once.
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: String,
    name: Name,
    pairs: Vec<(String, String)>,
}

impl Address {
    /// The scheme, such as `shm`: it chooses the transport.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The object's name.
    pub fn name(&self) -> &Name {
        &self.name
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
    pub(crate) fn named(mut self, name: Name) -> Self {
        self.name = name;
        self
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
        parse(text).map_err(|error| error.at(format_args!("{text:.300}")))
    }
}

fn fault(why: impl Into<String>) -> Error {
    Error::new(Operation::Address, ErrorKind::InvalidAddress).because(why)
}

fn parse(text: &str) -> Result<Address> {
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
    let name = Name::new(&decode(name)?)?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.into_iter().flat_map(|q| q.split('&')) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(fault(format!(
                "{pair} is no key=value; options read ?key=value&key=value",
                pair = excerpt(pair)
            )));
        };
        let (key, value) = (decode(key)?, decode(value)?);
        if pairs.iter().any(|(k, _)| *k == key) {
            return Err(fault(format!(
                "the key {key} is given twice; give it once",
                key = excerpt(&key)
            ))
            .as_kind(ErrorKind::InvalidOption));
        }
        pairs.push((key, value));
    }
    Ok(Address { scheme: scheme.into(), name, pairs })
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
        for (index, (key, value)) in self.pairs.iter().enumerate() {
            let lead = if index == 0 { '?' } else { '&' };
            write!(f, "{lead}{}={}", Encoded(key), Encoded(value))?;
        }
        Ok(())
    }
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

impl IntoAddress for &str {
    fn into_address(self) -> Result<Address> {
        self.parse()
    }
}

impl IntoAddress for &String {
    fn into_address(self) -> Result<Address> {
        self.parse()
    }
}

impl IntoAddress for String {
    fn into_address(self) -> Result<Address> {
        self.parse()
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
            pairs in proptest::collection::vec((".{0,9}", ".{0,9}"), 0..4),
        ) {
            let Ok(name) = Name::new(&name) else { return Ok(()) };
            let mut address = Address { scheme, name, pairs: Vec::new() };
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
