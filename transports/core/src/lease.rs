use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{Error, ErrorKind, Operation, Result};

/// The longest number of attempts that [`keys::ATTEMPTS`](crate::keys::ATTEMPTS) takes.
pub const MAX_ATTEMPTS: u32 = 0x7fff;

/// A lease's name, unique in the life of its queue. As text, such as `12-345`, it goes through a
/// shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId {
    /// Where the transport finds the message.
    pub place: u32,
    /// The lease's number. Never used twice: after another lease of the same message this one
    /// fits no more.
    pub number: u64,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.place, self.number)
    }
}

impl FromStr for LeaseId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('-');
        let id = parts.and_then(|(place, number)| {
            Some(Self { place: place.parse().ok()?, number: number.parse().ok()? })
        });
        id.ok_or_else(|| {
            Error::new(Operation::Queue, ErrorKind::InvalidOption)
                .because(format!("{}: not a lease, such as 12-345", crate::excerpt(text)))
        })
    }
}

/// A message that was leased, from [`Queue::try_lease`](crate::Queue::try_lease).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased {
    /// The lease.
    pub id: LeaseId,
    /// How often the message was leased, this time included.
    pub attempts: u32,
}

/// What becomes of a leased message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// It is done and leaves the queue.
    Ack,
    /// It comes back after this time, to the front of its priority; with no time left, at once. The
    /// attempt counts.
    Retry(Duration),
    /// Its lease ends after this time from now.
    Extend(Duration),
    /// Its lease belongs to no handle any more: only its time ends it.
    Detach,
}

/// Ends and extends the leases of a queue, from [`Queue::leases`](crate::Queue::leases). Lives on
/// when the handle of the queue is dropped, and keeps alive what the handle leased.
pub trait Leases: fmt::Debug + Send + Sync + 'static {
    /// Decides on a leased message. Blocks for a second at most, if another process holds the
    /// queue.
    ///
    /// # Errors
    /// `NotFound` if the lease is over and the message was given back; `Busy` if a process that
    /// does not run holds the queue, and the lease goes on; `Corrupt`, `Forked`.
    fn settle(&self, lease: LeaseId, how: Settle) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = LeaseId { place: 7, number: u64::MAX };
        assert_eq!(id.to_string().parse::<LeaseId>().unwrap(), id);
        for bad in ["", "7", "-", "7-", "-7", "a-1", "4294967296-1", "1-2-3"] {
            let error = bad.parse::<LeaseId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOption, "{bad}");
        }
    }
}
