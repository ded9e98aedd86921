//! What workers tell the oracle: one record for each call, by one `write(2)` to a pipe. A record
//! that was written survives its worker.

use std::fs::File;
use std::io::{self, Write};

use super::message::Id;
use crate::sys;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The worker has its object. The text is the object's address.
    Ready,
    /// A connection is there. The number is the peer's process, where the transport tells it.
    Open,
    /// A send said `Ok`.
    Sent,
    /// A send said that nothing of the message arrives, and the worker goes on.
    Unsent,
    /// A whole message came.
    Got,
    /// Something else came. The text says what.
    Torn,
    /// A half of a connection ended: lane [`SEND`] or [`RECEIVE`]. The text is the kind of error.
    End,
    /// The worker gives up a half of its own will, or both with lane [`BOTH`].
    Close,
    /// An attempt to connect failed. The text is the kind of error.
    Retry,
    /// A store of a value said `Ok`.
    Stored,
    /// A whole value was loaded.
    Loaded,
    /// A lock, or a message by a lease, is taken. Of a lock: lane 0, or [`EXCLUSIVE`]; the number
    /// is what it protects, the text says what is wrong with it. Of a message: `since` is the
    /// number of attempts.
    Held,
    /// It is given back, just after this. The number is what the lock protects from then on.
    Freed,
    /// A leased message is acknowledged.
    Acked,
    /// A call ended at its deadline, or would have waited.
    Waited,
    /// Messages that the queue dropped because it was full.
    Dropped,
    /// Descriptors that were not there at the start. The text says where they lead.
    Descriptors,
    /// Something is left over. The text says what.
    Left,
    /// The worker cannot go on. The text says why.
    Failed,
    /// The last record of an orderly end.
    Done,
}

impl What {
    const ALL: [Self; 20] = [
        Self::Ready,
        Self::Open,
        Self::Sent,
        Self::Unsent,
        Self::Got,
        Self::Torn,
        Self::End,
        Self::Close,
        Self::Retry,
        Self::Stored,
        Self::Loaded,
        Self::Held,
        Self::Freed,
        Self::Acked,
        Self::Waited,
        Self::Dropped,
        Self::Descriptors,
        Self::Left,
        Self::Failed,
        Self::Done,
    ];
}

/// The lane of an end or a close: a half, or both.
pub(super) const SEND: u8 = 0;
pub(super) const RECEIVE: u8 = 1;
pub(super) const BOTH: u8 = 2;

/// The lane of a hold.
pub(super) const EXCLUSIVE: u8 = 1;

/// One happening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) what: What,
    pub(super) id: Id,
    /// When the call began, where that matters.
    pub(super) since: u64,
    /// When it happened: nanoseconds of a clock that all processes share.
    pub(super) at: u64,
    pub(super) text: String,
}

const FIXED: usize = 2 + 1 + 1 + 4 * 8;
/// The longest text: a record is written to a pipe in one piece.
const TEXT: usize = 1000;

impl Record {
    fn encode(&self) -> Vec<u8> {
        let mut text = self.text.as_str();
        while text.len() > TEXT {
            text = &text[..text.char_indices().next_back().map_or(0, |(at, _)| at)];
        }
        let mut bytes = Vec::with_capacity(FIXED + text.len());
        bytes.extend_from_slice(&((FIXED + text.len()) as u16).to_le_bytes());
        bytes.extend_from_slice(&[self.what as u8, self.id.lane]);
        for word in [self.id.stream, self.id.number, self.since, self.at] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// Takes one record off the front. `None` if it is not there yet.
    ///
    /// # Errors
    /// The bytes are no record.
    pub(super) fn decode(bytes: &mut &[u8]) -> Result<Option<Self>, String> {
        let Some(len) = bytes.first_chunk().map(|len| usize::from(u16::from_le_bytes(*len))) else {
            return Ok(None);
        };
        if len < FIXED {
            return Err(format!("a record of {len} bytes"));
        }
        let Some((record, rest)) = bytes.split_at_checked(len) else { return Ok(None) };
        *bytes = rest;
        let what = What::ALL.get(usize::from(record[2])).ok_or("a record of an unknown kind")?;
        let word = |index: usize| {
            let bytes = &record[4 + index * 8..][..8];
            bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        Ok(Some(Self {
            what: *what,
            id: Id { lane: record[3], stream: word(0), number: word(1) },
            since: word(2),
            at: word(3),
            text: String::from_utf8_lossy(&record[FIXED..]).into_owned(),
        }))
    }
}

/// A worker's pipe to the oracle.
#[derive(Debug)]
pub(super) struct Log(File);

impl Log {
    /// The pipe behind the standard output.
    pub(super) fn new() -> io::Result<Self> {
        sys::bare_stdout().map(Self)
    }

    pub(super) fn write(&self, what: What, id: Id) {
        self.record(what, id, 0, "");
    }

    /// About the worker as a whole.
    pub(super) fn say(&self, what: What, text: &str) {
        self.record(what, Id { stream: 0, lane: 0, number: 0 }, 0, text);
    }

    pub(super) fn record(&self, what: What, id: Id, since: u64, text: &str) {
        let record = Record { what, id, since, at: sys::now(), text: text.into() };
        if (&self.0).write_all(&record.encode()).is_err() {
            // The oracle is gone, and with it the reason to live.
            std::process::exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_whole_or_not_yet() {
        let id = Id { stream: u64::MAX, lane: 7, number: 1 << 40 };
        let record =
            |text: &str| Record { what: What::Done, id, since: 1, at: 2, text: text.into() };
        let bytes = [record("").encode(), record("ü").encode()].concat();
        for len in 0..bytes.len() {
            let mut front = &bytes[..len];
            while Record::decode(&mut front).unwrap().is_some() {}
            assert!(front.len() < FIXED + 2);
        }
        let mut all = &bytes[..];
        assert_eq!(Record::decode(&mut all), Ok(Some(record(""))));
        assert_eq!(Record::decode(&mut all), Ok(Some(record("ü"))));
        assert_eq!(Record::decode(&mut all), Ok(None));
        assert!(Record::decode(&mut &[0; 100][..]).is_err());
        assert!(record(&"ü".repeat(4000)).encode().len() < 4096);
        for (number, what) in What::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, number);
        }
    }
}
