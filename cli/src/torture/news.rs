//! Reads what a worker reports.

use std::io::Read;
use std::sync::mpsc::SyncSender;

use super::record::Record;

/// What a reader of a worker's log found.
pub(super) enum News {
    Records(u32, Vec<Record>),
    /// The log is complete, or unreadable.
    End(u32, Option<String>),
}

/// Reads a log to its end.
pub(super) fn follow(life: u32, mut log: impl Read, news: &SyncSender<News>) {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
    let end = loop {
        match log.read(&mut buffer) {
            Ok(0) => break None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(why) => break Some(why.to_string()),
        }
        let (mut rest, mut records) = (&bytes[..], Vec::new());
        let decoded = loop {
            match Record::decode(&mut rest) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break Ok(()),
                Err(why) => break Err(why),
            }
        };
        let used = bytes.len() - rest.len();
        bytes.drain(..used);
        if news.send(News::Records(life, records)).is_err() {
            return;
        }
        if let Err(why) = decoded {
            break Some(why);
        }
    };
    let _ = news.send(News::End(life, end));
}
