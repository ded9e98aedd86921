//! Messages and their senders as JSON.

use std::fmt::Write;

use anyipc::Peer;
use serde::Serialize;

/// Bytes in JSON: `text` if they are UTF-8, else `data_hex`.
#[derive(Serialize)]
pub(crate) struct Payload<'a> {
    len: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_hex: Option<String>,
}

impl<'a> Payload<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        let data_hex = text.is_none().then(|| hex(bytes));
        Self { len: bytes.len(), text, data_hex }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The other side of a channel. `None` where the transport does not tell.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PeerInfo {
    /// The connection's number at this owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) uid: Option<u32>,
}

impl From<&Peer> for PeerInfo {
    fn from(peer: &Peer) -> Self {
        Self { id: None, pid: peer.pid, uid: peer.uid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_hex() {
        let json = |bytes: &[u8]| serde_json::to_string(&Payload::new(bytes)).unwrap();
        assert_eq!(json("ü".as_bytes()), r#"{"len":2,"text":"ü"}"#);
        assert_eq!(json(b"\xff\n"), r#"{"len":2,"data_hex":"ff0a"}"#);
        assert_eq!(json(b""), r#"{"len":0,"text":""}"#);
    }
}
