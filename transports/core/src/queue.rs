use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    Error, ErrorKind, Leased, Leases, MAX_ATTEMPTS, Operation, Options, Result, Wait, keys,
};

/// The largest number of priorities of a queue: 0 is the lowest priority, 31 the highest.
pub const MAX_PRIORITIES: u32 = 32;

/// A handle of a bounded queue that any number of processes send to and receive from.
///
/// Each message goes to one receiver. A receiver gets the oldest message of the highest priority
/// that has any. Handles are independent; each thread that waits needs its own. No method waits for
/// another process, except where it says so.
pub trait Queue: Debug + Send + 'static {
    /// Sends one message, whole or not at all: a sender that is killed in the call has sent
    /// nothing.
    ///
    /// # Errors
    /// Without room, what the queue's `full=` says: with `block` `WouldBlock`, with `error` `Full`;
    /// the two other choices drop a message, which [`QueueStatus::dropped`] counts. `InvalidOption`
    /// for a priority that the queue does not have, `MessageTooLarge`, `Corrupt`, `Forked`.
    fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()>;

    /// Receives one message and shows it with its priority to `read`: exactly once on `Ok`,
    /// otherwise never. A receiver that is killed in the call leaves the message to another one.
    ///
    /// # Errors
    /// `WouldBlock` (empty), `Corrupt`, `Forked`.
    fn try_recv_with(&mut self, read: &mut dyn FnMut(u32, &[u8])) -> Result<()>;

    /// As [`try_recv_with`](Self::try_recv_with), but the message stays in the queue, invisible,
    /// until it is acknowledged. The lease ends after `time`, or when its holder dies: then the
    /// message comes back. The holder is this handle, with what [`leases`](Self::leases) gave.
    ///
    /// # Errors
    /// Those of `try_recv_with`; `Unsupported` without
    /// [`Capabilities::LEASES`](crate::Capabilities::LEASES).
    fn try_lease(&mut self, time: Duration, read: &mut dyn FnMut(u32, &[u8])) -> Result<Leased> {
        let _ = (time, read);
        Err(without_leases(Operation::Receive))
    }

    /// As [`try_send`](Self::try_send), but no receiver sees the message before `delay` is over.
    /// Then it is the last of its priority.
    ///
    /// # Errors
    /// Those of `try_send`; `Unsupported` without
    /// [`Capabilities::LEASES`](crate::Capabilities::LEASES).
    fn try_send_after(&mut self, delay: Duration, priority: u32, message: &[u8]) -> Result<()> {
        let _ = (delay, priority, message);
        Err(without_leases(Operation::Send))
    }

    /// What ends and extends leases of this queue, for any thread.
    ///
    /// # Errors
    /// `Unsupported` without [`Capabilities::LEASES`](crate::Capabilities::LEASES); `Forked`.
    fn leases(&mut self) -> Result<Arc<dyn Leases>> {
        Err(without_leases(Operation::Queue))
    }

    /// True if a receiver would now get a message, or an error. False also if that cannot be told
    /// without waiting for another process.
    ///
    /// # Errors
    /// Those of [`status`](Self::status).
    fn is_ready(&self) -> Result<bool> {
        Ok(self.status()?.messages > 0)
    }

    /// The contents of the queue in numbers, and its limits.
    ///
    /// # Errors
    /// `Corrupt`, `Forked`.
    fn status(&self) -> Result<QueueStatus>;

    /// Removes all messages. Returns their number.
    ///
    /// # Errors
    /// `Busy` if another process keeps the queue locked, `Corrupt`, `Forked`.
    fn purge(&mut self) -> Result<u64>;

    /// How a sender waits for room.
    fn room(&mut self) -> &mut dyn Wait;

    /// How a receiver waits for a message.
    fn messages(&mut self) -> &mut dyn Wait;
}

fn without_leases(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Unsupported)
        .because("this transport's queues have no leases and no delays; mq:// has them")
}

/// The numbers of a queue, from [`Queue::status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStatus {
    /// Messages that a receiver can get now, also those that have become due, or that a dead holder
    /// had, since any receiver looked.
    pub messages: u64,
    /// Messages that are leased: invisible until their lease ends. Also one without an attempt
    /// left, until a receiver looks and moves or drops it.
    pub leased: u64,
    /// Messages that wait for their time, after a delayed send or a retry. Also one without an
    /// attempt left, as above.
    pub delayed: u64,
    /// The bytes of all these messages.
    pub bytes: u64,
    /// The bytes that fit, including what each message needs beside its own bytes; 0 if bytes are
    /// not what limits the queue.
    pub capacity: u64,
    /// The longest message, in bytes.
    pub max_message: u64,
    /// The number of priorities.
    pub priorities: u32,
    /// Messages dropped since the queue was created, because it was full.
    pub dropped: u64,
    /// Messages since the queue was created that had no attempt left: moved to the queue that
    /// `dead=` names, or dropped if there is none.
    pub dead: u64,
}

/// The choices of `full=`: what happens to a message when the queue has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The sender waits.
    Block,
    /// The sender gets [`ErrorKind::Full`].
    Error,
    /// The oldest messages of the lowest priority are dropped.
    DropOld,
    /// The message itself is dropped.
    DropNew,
}

impl Full {
    /// The choices, as addresses write them.
    pub const WORDS: &'static [&'static str] = &["block", "error", "drop-old", "drop-new"];
    const ALL: [Self; 4] = [Self::Block, Self::Error, Self::DropOld, Self::DropNew];

    /// The choice with this word; `None` if there is none.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|full| full.as_str() == word)
    }

    /// The choice with this number, its index in [`WORDS`](Self::WORDS).
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// The word, as addresses write it.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// The options of an address that every transport with queues has. `None`: the address does not
/// say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueOptions {
    /// [`keys::PRIORITIES`], 1 to [`MAX_PRIORITIES`].
    pub priorities: Option<u32>,
    /// [`keys::FULL`].
    pub full: Option<Full>,
    /// [`keys::PERSIST`].
    pub persist: Option<bool>,
    /// [`keys::ATTEMPTS`], 1 to [`MAX_ATTEMPTS`].
    pub attempts: Option<u32>,
}

impl QueueOptions {
    /// Reads them from parsed options.
    ///
    /// # Errors
    /// `InvalidOption` for a number of priorities that no queue has.
    pub fn read(options: &Options, operation: Operation) -> Result<Self> {
        let priorities = options.number(keys::PRIORITIES).map(|count| {
            let fits = u32::try_from(count).ok().filter(|n| (1..=MAX_PRIORITIES).contains(n));
            fits.ok_or_else(|| {
                Error::new(operation, ErrorKind::InvalidOption)
                    .because(format!("priorities={count} is out of range: 1 to {MAX_PRIORITIES}"))
            })
        });
        let attempts = options.number(keys::ATTEMPTS).map(|count| {
            let fits = u32::try_from(count).ok().filter(|n| (1..=MAX_ATTEMPTS).contains(n));
            fits.ok_or_else(|| {
                Error::new(operation, ErrorKind::InvalidOption)
                    .because(format!("attempts={count} is out of range: 1 to {MAX_ATTEMPTS}"))
            })
        });
        Ok(Self {
            priorities: priorities.transpose()?,
            full: options.text(keys::FULL).and_then(Full::from_word),
            persist: options.has(keys::PERSIST).then(|| options.flag(keys::PERSIST)),
            attempts: attempts.transpose()?,
        })
    }

    /// Compares them with an existing queue.
    ///
    /// # Errors
    /// `Mismatch` if an option differs from what the queue has.
    pub fn check(
        &self,
        priorities: u32,
        full: Full,
        persist: bool,
        during: Operation,
    ) -> Result<()> {
        Self::insist("priorities", self.priorities, priorities, |n| n.to_string(), during)?;
        Self::insist("full", self.full, full, |full| full.as_str().to_owned(), during)?;
        Self::insist("persist", self.persist, persist, |persist| persist.to_string(), during)
    }

    /// Compares one option with what an existing queue has.
    ///
    /// # Errors
    /// `Mismatch`, which names both values.
    pub fn insist<T: PartialEq + Copy>(
        key: &str,
        wanted: Option<T>,
        has: T,
        show: impl Fn(T) -> String,
        operation: Operation,
    ) -> Result<()> {
        match wanted {
            Some(wanted) if wanted != has => Err(Error::new(operation, ErrorKind::Mismatch)
                .because(format!(
                    "{key}={} was asked for, but the queue has {key}={}",
                    show(wanted),
                    show(has)
                ))),
            _ => Ok(()),
        }
    }
}
