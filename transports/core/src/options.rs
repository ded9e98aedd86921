use std::time::Duration;

use crate::{Error, ErrorKind, Operation, Result, excerpt};

/// The keys that several transports understand.
pub mod keys {
    use super::{Key, KeyKind::*, Side::*};
    use crate::Full;

    /// `size`: bytes of the block.
    pub const SIZE: Key = Key::new("size", Bytes, Owner, "bytes of the named block, 1 or more");
    /// `capacity`: bytes in flight per direction.
    pub const CAPACITY: Key =
        Key::new("capacity", Bytes, Owner, "bytes in flight per direction of a channel")
            .or("256KiB");
    /// `max_message`: the longest message.
    pub const MAX_MESSAGE: Key =
        Key::new("max_message", Bytes, Both, "longest message sent or accepted").or("16MiB");
    /// `wait`: how a call waits.
    pub const WAIT: Key = Key::new(
        "wait",
        Choice(&["adaptive", "spin", "block"]),
        Both,
        "spin: never sleep; block: sleep at once; adaptive: spin while answers come quickly",
    )
    .or("adaptive");
    /// `timeout`: the longest wait for an owner.
    pub const TIMEOUT: Key =
        Key::new("timeout", Span, Both, "longest wait for an owner or a handshake").or("5s");
    /// The names of codecs. The id in a handshake is the place in this list, counted from 1.
    pub const CODECS: &[&str] = &["postcard", "bincode", "json"];
    /// `codec`: the codec of typed channels.
    pub const CODEC: Key =
        Key::new("codec", Choice(CODECS), Both, "codec of typed channels").or("postcard");
    /// `scope`: which users may reach the object.
    pub const SCOPE: Key = Key::new(
        "scope",
        Choice(&["user", "system"]),
        Both,
        "user: this user only; system: every user of the machine",
    )
    .or("user");
    /// `create`: what `create` does if the object is alive.
    pub const CREATE: Key = Key::new(
        "create",
        Choice(&["new", "open_or_create"]),
        Owner,
        "new: an existing object is an error; open_or_create: adopt it",
    )
    .or("new");
    /// `priorities`: the number of priorities of a queue.
    pub const PRIORITIES: Key =
        Key::new("priorities", Count, Owner, "priorities of the queue, 1 to 32; 0 is the lowest")
            .or("1");
    /// `full`: what happens to a message when the queue has no room.
    pub const FULL: Key = Key::new(
        "full",
        Choice(Full::WORDS),
        Owner,
        "a message without room waits (block), is an error, or drops the oldest of the lowest \
         priority (drop-old) or itself (drop-new); drops are counted",
    )
    .or("block");
    /// `persist`: whether a queue stays when no process holds it.
    pub const PERSIST: Key = Key::new(
        "persist",
        Flag,
        Owner,
        "true: the queue and its messages stay without a holder, until `anyipc rm`; on Linux \
         a reboot ends them, too",
    )
    .or("false");
    /// `attempts`: how often a message of a queue is leased at most.
    pub const ATTEMPTS: Key = Key::new(
        "attempts",
        Count,
        Owner,
        "a message that was leased this often and comes back is dead: moved to the queue of dead=, \
         or dropped and counted; 1 to 32767, without it any number",
    );
    /// `dead`: the queue for dead messages.
    pub const DEAD: Key = Key::new(
        "dead",
        Text,
        Owner,
        "with attempts=: the queue that dead messages move to, such as mq://failed",
    );
    /// `trust`: whether closures work on memory that the peer can write, too.
    pub const TRUST: Key = Key::new(
        "trust",
        Choice(&["copy", "same-user"]),
        Both,
        "copy: reading and writing closures get private memory; same-user: with a peer of this \
         user they work in place, where it can change the bytes meanwhile",
    )
    .or("copy");
    /// `trust` of a transport with messages that are always private copies. It understands the key,
    /// so that an address can change its scheme and nothing else.
    pub const TRUST_ANYWAY: Key =
        Key { help: "makes no difference here: closures always get private memory", ..TRUST };
}

/// The keys that the facade understands for every transport. A transport does not list them.
pub const COMMON_KEYS: &[Key] =
    &[keys::MAX_MESSAGE, keys::WAIT, keys::TIMEOUT, keys::CODEC, keys::CREATE];

/// An option that a transport understands: `name=value` in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The word before `=`.
    pub name: &'static str,
    /// The form of the value after it.
    pub kind: KeyKind,
    /// The side that it is for. An opener may give a key of the owner; it then insists on that
    /// value.
    pub side: Side,
    /// One line of help.
    pub help: &'static str,
    /// The value that applies if the address has none; `None` if that is no value of the key.
    pub default: Option<&'static str>,
}

impl Key {
    /// A key without a default, in constant context.
    pub const fn new(name: &'static str, kind: KeyKind, side: Side, help: &'static str) -> Self {
        Self { name, kind, side, help, default: None }
    }

    /// The same key with a default.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// A key that no longer exists. An address that has it is an error with the message `instead`.
    pub const fn retired(name: &'static str, instead: &'static str) -> Self {
        Self::new(name, KeyKind::Retired, Side::Both, instead)
    }

    /// True for a key that only leads to an error. Lists of keys leave it out.
    pub const fn is_retired(&self) -> bool {
        matches!(self.kind, KeyKind::Retired)
    }
}

/// The form of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A number of bytes: `4096`, `64KiB`, `16MiB`, `1GiB`.
    Bytes,
    /// A whole number.
    Count,
    /// A time with a unit: `250us`, `100ms`, `5s`, `1m`.
    Span,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// No value is valid: the key no longer exists. Its help says what takes its place.
    Retired,
}

/// The side that a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The owner decides.
    Owner,
    /// Each side decides for itself.
    Both,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(u64),
    Span(Duration),
    Flag(bool),
    Text(String),
}

/// The options of one address, checked against the keys of its transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(&'static str, Value)>);

impl Options {
    /// Parses `key=value` pairs.
    ///
    /// ```
    /// use anyipc_core::{COMMON_KEYS, Options, keys};
    /// let options = Options::parse([("capacity", "64KiB")], &[COMMON_KEYS, &[keys::CAPACITY]])?;
    /// assert_eq!(options.number(keys::CAPACITY), Some(65536));
    /// # Ok::<(), anyipc_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidOption` for an unknown key, a key that is given twice, and a value that its key does
    /// not take. The message names the choices.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        keys: &[&[Key]],
    ) -> Result<Self> {
        let fault =
            |text: String| Error::new(Operation::Address, ErrorKind::InvalidOption).because(text);
        let mut options = Self::default();
        for (name, text) in pairs {
            let all = || keys.iter().copied().flatten();
            let Some(key) = all().find(|key| key.name == name) else {
                let mut known: Vec<_> =
                    all().filter(|key| !key.is_retired()).map(|key| key.name).collect();
                known.sort_unstable();
                return Err(fault(format!(
                    "unknown key {}; choose from {}",
                    excerpt(name),
                    known.join(", ")
                )));
            };
            if options.0.iter().any(|(k, _)| *k == key.name) {
                return Err(fault(format!("{name} is given twice")));
            }
            let value = parse_value(key, text)
                .map_err(|why| fault(format!("{name}={}: {why}", excerpt(text))))?;
            options.0.push((key.name, value));
        }
        Ok(options)
    }

    /// True if the key was given.
    pub fn has(&self, key: Key) -> bool {
        self.value(key).is_some()
    }

    /// The value of a [`KeyKind::Bytes`] or [`KeyKind::Count`] key, if it was given.
    pub fn number(&self, key: Key) -> Option<u64> {
        match self.value(key)? {
            Value::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// The value of a [`KeyKind::Span`] key, if it was given.
    pub fn span(&self, key: Key) -> Option<Duration> {
        match self.value(key)? {
            Value::Span(d) => Some(*d),
            _ => None,
        }
    }

    /// The same options with this value for a [`KeyKind::Span`] key.
    #[must_use]
    pub fn with_span(mut self, key: Key, time: Duration) -> Self {
        self.0.retain(|(name, _)| *name != key.name);
        self.0.push((key.name, Value::Span(time)));
        self
    }

    /// The same options with a [`KeyKind::Choice`] or [`KeyKind::Text`] key set to `text`, in place
    /// of an earlier value.
    #[must_use]
    pub fn with_text(mut self, key: Key, text: &str) -> Self {
        self.0.retain(|(name, _)| *name != key.name);
        self.0.push((key.name, Value::Text(text.into())));
        self
    }

    /// The value of a [`KeyKind::Flag`] key; false if it was not given.
    pub fn flag(&self, key: Key) -> bool {
        matches!(self.value(key), Some(Value::Flag(true)))
    }

    /// The value of a [`KeyKind::Choice`] or [`KeyKind::Text`] key, if it was given.
    pub fn text(&self, key: Key) -> Option<&str> {
        match self.value(key)? {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }

    fn value(&self, key: Key) -> Option<&Value> {
        self.0.iter().find(|(k, _)| *k == key.name).map(|(_, v)| v)
    }
}

fn parse_value(key: &Key, text: &str) -> std::result::Result<Value, String> {
    match key.kind {
        KeyKind::Bytes => parse_bytes(text).map(Value::Number),
        KeyKind::Count => scaled(text, &[("", 1)])
            .map(Value::Number)
            .ok_or("not a whole number such as 16".into()),
        KeyKind::Span => parse_span(text).map(Value::Span),
        KeyKind::Flag => match text {
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            _ => Err("choose true or false".into()),
        },
        KeyKind::Choice(words) if words.contains(&text) => Ok(Value::Text(text.into())),
        KeyKind::Choice(words) => Err(format!("choose from {}", words.join(", "))),
        KeyKind::Text => Ok(Value::Text(text.into())),
        KeyKind::Retired => Err(key.help.into()),
    }
}

/// Parses the value of a [`KeyKind::Bytes`] key.
///
/// # Errors
/// A sentence that shows valid values.
pub fn parse_bytes(text: &str) -> std::result::Result<u64, String> {
    const UNITS: &[(&str, u64)] =
        &[("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    scaled(text, UNITS).ok_or("not a number of bytes such as 4096, 64KiB or 16MiB".into())
}

/// Parses the value of a [`KeyKind::Span`] key.
///
/// # Errors
/// A sentence that shows valid values.
pub fn parse_span(text: &str) -> std::result::Result<Duration, String> {
    const UNITS: &[(&str, u64)] =
        &[("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)];
    scaled(text, UNITS)
        .map(Duration::from_nanos)
        .ok_or("not a time such as 250us, 100ms, 5s or 1m".into())
}

/// Parses digits and a unit. `None` for a sign, a fraction, an unknown unit and an overflow.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(u, _)| *u == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Options> {
        Options::parse(pairs.iter().copied(), &[COMMON_KEYS, &[keys::SIZE]])
    }

    #[test]
    fn values_have_units() {
        let options = parse(&[("size", "64KiB"), ("timeout", "250us"), ("wait", "spin")]).unwrap();
        assert_eq!(options.number(keys::SIZE), Some(65536));
        assert_eq!(options.span(keys::TIMEOUT), Some(Duration::from_micros(250)));
        assert_eq!(options.text(keys::WAIT), Some("spin"));
        assert!(!options.has(keys::CODEC));
        let options = options.with_span(keys::TIMEOUT, Duration::from_secs(1));
        assert_eq!(options.span(keys::TIMEOUT), Some(Duration::from_secs(1)));
        assert_eq!(options.number(keys::SIZE), Some(65536));
    }

    #[test]
    fn faults_name_the_choices() {
        let text = |pairs: &[(&str, &str)]| parse(pairs).unwrap_err().to_string();
        assert!(text(&[("siez", "1")]).contains("size"));
        assert!(text(&[("wait", "hard")]).contains("adaptive, spin, block"));
        assert!(text(&[("size", "1"), ("size", "1")]).contains("twice"));
        for bad in ["", "-1", "1.5", "1kb", "99999999999999999999", "20000000000GiB", "KiB"] {
            assert!(text(&[("size", bad)]).contains("bytes"), "{bad}");
        }
        assert!(text(&[("timeout", "5")]).contains("5s"));
    }

    #[test]
    fn a_retired_key_says_what_takes_its_place_and_is_no_choice() {
        const KEYS: &[Key] = &[keys::SIZE, Key::retired("bytes", "write size= instead")];
        let text = |name: &str| Options::parse([(name, "1")], &[KEYS]).unwrap_err().to_string();
        assert!(text("bytes").contains("write size= instead"));
        assert!(text("octets").contains("choose from size"));
        assert!(!text("octets").contains("bytes"));
    }

    proptest! {
        #[test]
        fn no_value_panics(key in "size|timeout|wait|codec", value in "\\PC{0,20}") {
            let _ = parse(&[(&key, &value)]);
        }
    }
}
