//! The handshake before the first message: its two messages and their wire form.
//!
//! The opener sends a [`Hello`], the owner answers with a [`Reply`]. Both begin with a prefix of
//! eight bytes: `AIPC`, the protocol version (u16) and the body's length (u16), little-endian. The
//! prefix never changes, so that two versions always recognise each other.

use std::fmt;

use crate::{Error, ErrorKind, Operation, Result, excerpt, keys};

/// The version of the handshake and of the frames after it.
pub const PROTOCOL_VERSION: u16 = 6;
/// The longest encoded [`Hello`] or [`Reply`], in bytes.
pub const MAX_HELLO: usize = 2048;
/// The longest type name, in bytes.
pub const MAX_TYPE_NAME: usize = 255;

const MAGIC: [u8; 4] = *b"AIPC";
const PREFIX: usize = 8;

/// What one side tells the other about itself.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The transport's scheme, such as `shm`.
    pub transport: String,
    /// The id of the codec; 0 leaves the choice to the other side.
    pub codec: u8,
    /// The longest message this side accepts, in bytes.
    pub max_message: u64,
    /// The capacity that this side insists on, in bytes per direction; 0 leaves it to the owner.
    pub capacity: u64,
    /// The name of the type that this side sends; `None` matches any.
    pub sends: Option<String>,
    /// The name of the type that this side receives; `None` matches any.
    pub receives: Option<String>,
}

impl Hello {
    /// Compares the other side's hello with this one.
    ///
    /// # Errors
    /// `Mismatch`, which names what differs in the same words on both sides.
    pub fn check(&self, other: &Self) -> Result<()> {
        let differ = |what: &str, a: &str, b: &str| {
            let (a, b) = if a <= b { (a, b) } else { (b, a) };
            Err(Error::new(Operation::Connect, ErrorKind::Mismatch)
                .because(format!("the {what} differ: {a} on one side, {b} on the other")))
        };
        if self.transport != other.transport {
            return differ("transports", &self.transport, &other.transport);
        }
        if self.codec != 0 && other.codec != 0 && self.codec != other.codec {
            return differ("codecs", &codec_name(self.codec), &codec_name(other.codec));
        }
        if self.capacity != 0 && other.capacity != 0 && self.capacity != other.capacity {
            return differ("capacities", &self.capacity.to_string(), &other.capacity.to_string());
        }
        for (ours, theirs) in [(&self.sends, &other.receives), (&self.receives, &other.sends)] {
            if let (Some(a), Some(b)) = (ours, theirs)
                && a != b
            {
                return differ("message types", a, b);
            }
        }
        Ok(())
    }

    /// The wire form, at most [`MAX_HELLO`] bytes.
    ///
    /// # Errors
    /// `InvalidName` if a name is longer than [`MAX_TYPE_NAME`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut body = vec![0, self.codec];
        body.extend(self.max_message.to_le_bytes());
        body.extend(self.capacity.to_le_bytes());
        put_text(&mut body, Some(&self.transport))?;
        put_text(&mut body, self.sends.as_deref())?;
        put_text(&mut body, self.receives.as_deref())?;
        Ok(with_prefix(body))
    }

    /// Reads the wire form, and returns how many bytes it has. `Ok(None)`: more bytes are needed.
    ///
    /// # Errors
    /// `Mismatch` for another protocol version, `Corrupt` for anything that is no hello. Both are
    /// found as early as the bytes allow.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let Some((mut body, used)) = split(bytes)? else { return Ok(None) };
        if take::<1>(&mut body)? != [0] {
            return Err(not_ours("a hello was expected"));
        }
        Ok(Some((Self::decode_body(body)?, used)))
    }

    fn decode_body(mut body: &[u8]) -> Result<Self> {
        let [codec] = take(&mut body)?;
        let max_message = u64::from_le_bytes(take(&mut body)?);
        let capacity = u64::from_le_bytes(take(&mut body)?);
        let transport = take_text(&mut body)?.unwrap_or_default();
        let sends = take_text(&mut body)?;
        let receives = take_text(&mut body)?;
        if !body.is_empty() {
            return Err(not_ours("bytes follow the hello"));
        }
        Ok(Self { transport, codec, max_message, capacity, sends, receives })
    }
}

/// What was given, and no more: `Hello(shm, codec json, sends "edix.Diagnostic/1")`.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hello({}", self.transport)?;
        if self.codec != 0 {
            write!(f, ", codec {}", codec_name(self.codec))?;
        }
        for (what, number) in [("max_message", self.max_message), ("capacity", self.capacity)] {
            if number != 0 {
                write!(f, ", {what} {number}")?;
            }
        }
        for (what, name) in [("sends", &self.sends), ("receives", &self.receives)] {
            if let Some(name) = name {
                write!(f, ", {what} {}", excerpt(name))?;
            }
        }
        f.write_str(")")
    }
}

/// The name of the codec with this id.
fn codec_name(id: u8) -> String {
    match keys::CODECS.get(usize::from(id).wrapping_sub(1)) {
        Some(name) => (*name).into(),
        None => format!("an unknown one (id {id})"),
    }
}

/// The owner's answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The connector is accepted. This is the owner's hello.
    Welcome(Hello),
    /// The connector is rejected.
    Reject {
        /// `Mismatch`, `PermissionDenied`, `OutOfMemory`, `Corrupt` or `Unsupported`. Any other
        /// kind arrives as `Io`.
        kind: ErrorKind,
        /// The message of the connector's error.
        message: String,
    },
}

/// The kinds that have a number on the wire: their place here.
const WIRE_KINDS: [ErrorKind; 6] = [
    ErrorKind::Io,
    ErrorKind::Mismatch,
    ErrorKind::PermissionDenied,
    ErrorKind::OutOfMemory,
    ErrorKind::Corrupt,
    ErrorKind::Unsupported,
];

impl Reply {
    /// The rejection that carries this error: its message and its source, 1000 bytes at most.
    pub fn reject(error: &Error) -> Self {
        let mut message = error.message().unwrap_or("the owner refused").to_owned();
        if let Some(source) = std::error::Error::source(error) {
            message = format!("{message}: {source}");
        }
        while message.len() > 1000 {
            message.pop();
        }
        Self::Reject { kind: error.kind(), message }
    }

    /// The wire form, at most [`MAX_HELLO`] bytes.
    ///
    /// # Errors
    /// Those of [`Hello::encode`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        match self {
            Self::Welcome(hello) => {
                let mut bytes = hello.encode()?;
                bytes[PREFIX] = 1;
                Ok(bytes)
            }
            Self::Reject { kind, message } => {
                let kind = WIRE_KINDS.iter().position(|k| k == kind).unwrap_or(0) as u8;
                let mut body = vec![2, kind];
                body.extend_from_slice(message.as_bytes());
                Ok(with_prefix(body))
            }
        }
    }

    /// Reads the wire form, and returns how many bytes it has. `Ok(None)`: more bytes are needed.
    ///
    /// # Errors
    /// Those of [`Hello::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let Some((mut body, used)) = split(bytes)? else { return Ok(None) };
        let reply = match take::<1>(&mut body)? {
            [1] => Self::Welcome(Hello::decode_body(body)?),
            [2] => {
                let [kind] = take(&mut body)?;
                let kind = WIRE_KINDS.get(usize::from(kind)).copied().unwrap_or(ErrorKind::Io);
                Self::Reject { kind, message: String::from_utf8_lossy(body).into_owned() }
            }
            _ => return Err(not_ours("a welcome or a rejection was expected")),
        };
        Ok(Some((reply, used)))
    }

    /// How many bytes an incomplete reply or hello lacks, at least. A side that reads no more than
    /// that reads nothing of what follows it.
    pub fn missing(bytes: &[u8]) -> usize {
        let whole = match bytes.first_chunk::<PREFIX>() {
            Some(prefix) => PREFIX + usize::from(u16::from_le_bytes([prefix[6], prefix[7]])),
            None => PREFIX,
        };
        whole.saturating_sub(bytes.len())
    }

    /// The owner's hello, or the rejection as the connector's error.
    pub fn into_result(self) -> Result<Hello> {
        match self {
            Self::Welcome(hello) => Ok(hello),
            Self::Reject { kind, message } => {
                Err(Error::new(Operation::Connect, kind).because(message))
            }
        }
    }
}

fn not_ours(why: &str) -> Error {
    Error::new(Operation::Connect, ErrorKind::Corrupt)
        .because(format!("{why}: the other side does not speak the anyipc handshake"))
}

fn with_prefix(body: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PREFIX + body.len());
    bytes.extend(MAGIC);
    bytes.extend(PROTOCOL_VERSION.to_le_bytes());
    bytes.extend((body.len() as u16).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// The body and the total length, once all bytes are there. A wrong first byte is an error already.
fn split(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Err(not_ours("the first bytes are wrong"));
    }
    let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Ok(None) };
    let version = u16::from_le_bytes([prefix[4], prefix[5]]);
    let len = usize::from(u16::from_le_bytes([prefix[6], prefix[7]]));
    if version != PROTOCOL_VERSION {
        let (low, high) = (version.min(PROTOCOL_VERSION), version.max(PROTOCOL_VERSION));
        return Err(Error::new(Operation::Connect, ErrorKind::Mismatch).because(format!(
            "the protocol versions differ: {low} on one side, {high} on the other"
        )));
    }
    if PREFIX + len > MAX_HELLO {
        return Err(not_ours("the handshake is too long"));
    }
    Ok(bytes.get(PREFIX..PREFIX + len).map(|body| (body, PREFIX + len)))
}

fn take<const N: usize>(body: &mut &[u8]) -> Result<[u8; N]> {
    let (head, rest) =
        body.split_first_chunk::<N>().ok_or_else(|| not_ours("the handshake is cut short"))?;
    *body = rest;
    Ok(*head)
}

/// Appends a text: its length (u16; 0xffff if there is none) and its UTF-8 bytes.
fn put_text(body: &mut Vec<u8>, text: Option<&str>) -> Result<()> {
    let Some(text) = text else {
        body.extend([0xff, 0xff]);
        return Ok(());
    };
    if text.len() > MAX_TYPE_NAME {
        return Err(Error::new(Operation::Connect, ErrorKind::InvalidName).because(format!(
            "a type name has {} bytes; at most {MAX_TYPE_NAME} are allowed",
            text.len()
        )));
    }
    body.extend((text.len() as u16).to_le_bytes());
    body.extend(text.as_bytes());
    Ok(())
}

fn take_text(body: &mut &[u8]) -> Result<Option<String>> {
    let len = usize::from(u16::from_le_bytes(take(body)?));
    if len == 0xffff {
        return Ok(None);
    }
    let fault = || not_ours("a text is damaged");
    let (text, rest) =
        body.split_at_checked(len).filter(|_| len <= MAX_TYPE_NAME).ok_or_else(fault)?;
    *body = rest;
    String::from_utf8(text.to_vec()).map(Some).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> impl Strategy<Value = Hello> {
        let text = proptest::option::of("[a-zA-Z./0-9]{0,255}");
        ("[a-z]{1,8}", any::<u8>(), any::<u64>(), any::<u64>(), text.clone(), text).prop_map(
            |(transport, codec, max_message, capacity, sends, receives)| Hello {
                transport,
                codec,
                max_message,
                capacity,
                sends,
                receives,
            },
        )
    }

    proptest! {
        #[test]
        fn hellos_survive_the_wire_and_every_cut_asks_for_more(hello in hello(), tail: [u8; 3]) {
            let mut bytes = hello.encode().unwrap();
            prop_assert!(bytes.len() <= MAX_HELLO);
            for cut in 0..bytes.len() {
                prop_assert!(Hello::decode(&bytes[..cut]).unwrap().is_none());
            }
            let len = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(Hello::decode(&bytes).unwrap(), Some((hello, len)));
        }

        #[test]
        fn rejections_survive_the_wire(message in "\\PC{0,900}") {
            let error = Error::new(Operation::Accept, ErrorKind::Mismatch).because(message);
            let reply = Reply::reject(&error);
            let bytes = reply.encode().unwrap();
            prop_assert_eq!(Reply::decode(&bytes).unwrap(), Some((reply, bytes.len())));
        }

        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>, lead in any::<bool>()) {
            if lead {
                bytes.splice(0..0, with_prefix(Vec::new())[..6].iter().copied());
            }
            let _ = Hello::decode(&bytes);
            let _ = Reply::decode(&bytes);
        }

        #[test]
        fn a_mismatch_reads_the_same_on_both_ends(a in hello(), b in hello()) {
            let (x, y) = (a.check(&b), b.check(&a));
            prop_assert_eq!(x.map_err(|e| e.to_string()), y.map_err(|e| e.to_string()));
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = Hello::default().encode().unwrap();
        bytes[4] = 9;
        let error = Hello::decode(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(
            error.to_string().contains(&format!("{PROTOCOL_VERSION} on one side, 9 on the other"))
        );
    }
}
