//! The record of a kernel queue: its name, its limits, and its IPC namespace. Containers may share
//! the private directory but not their IPC namespace, and then the same name means another queue in
//! each.
//!
//! Layout, in native byte order:
//!
//! | offset | field |
//! |---|---|
//! | 0 | layout version (u32) |
//! | 4 | priorities (u32) |
//! | 8 | `full=`, its number (u32) |
//! | 12 | messages that fit (u32) |
//! | 16 | bytes of the longest message (u32), then 4 bytes of zeros |
//! | 24 | bytes of the text and its NUL, 0 without one (u64) |
//! | 32 | messages dropped so far (u64), the only field that changes |
//! | 40 | the kernel queue's name, NUL-terminated |
//! | 144 | the name of a channel's queues while they are made, NUL-terminated |
//! | 248 | the number of the IPC namespace (u64) |
//! | 256 | the text of `alloc_lpsz` |

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{io, process};

use anyipc_core::{Error, ErrorKind, Full, MAX_PRIORITIES, Name, Operation, Result};
use anyipc_memory::{CLEAN, Kind, Region};
use anyipc_os::{Fd, user};

use crate::sys;

/// The records of kernel queues.
pub(crate) static KIND: Kind = Kind {
    prefix: "posix-mq+",
    suffix: ".record",
    heading: "anyipc-posix-queue 1",
    word: *b"posix mq",
    noun: "posix queue",
    companion: None,
    clean: Some(clean),
};

/// The version of the layout.
pub(crate) const LAYOUT: u32 = 3;
pub(crate) const DROPPED: usize = 32;
const NAME: usize = 40;
const CHANNEL: usize = 144;
const NAMESPACE: usize = 248;
/// The text lies behind everything that [`clean`] reads.
pub(crate) const TEXT: usize = CLEAN;

/// What a kernel queue is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) priorities: u32,
    pub(crate) full: Full,
    /// Messages that fit.
    pub(crate) messages: u32,
    /// Bytes of the longest message.
    pub(crate) max_message: u32,
}

/// A private copy of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub(crate) shape: Shape,
    /// Bytes of the text and its NUL; 0 without one.
    pub(crate) text: usize,
    /// The kernel queue's name.
    name: String,
    /// The name of a channel's queues while they are made. A queue that stays there has no use.
    channel: String,
    /// The number of the IPC namespace that both names belong to.
    namespace: u64,
}

/// The IPC namespace of this process.
fn namespace(operation: Operation) -> Result<u64> {
    sys::namespace().map_err(|error| {
        Error::new(operation, ErrorKind::Unsupported)
            .because(
                "posix-mq:// needs /proc, which tells IPC namespaces apart: mount it, or \
                 take mq://",
            )
            .from_source(error)
    })
}

impl Record {
    /// The record of a queue to make, with fresh names.
    ///
    /// # Errors
    /// `Unsupported` without `/proc`.
    pub(crate) fn new(
        name: &Name,
        shape: Shape,
        text: usize,
        operation: Operation,
    ) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let os_name = name.os_name();
        let hash = os_name.rsplit('-').next().unwrap_or_default();
        let fresh = || {
            // Two processes differ in their random keys, two calls of one process in their counts.
            let nonce = RandomState::new().hash_one((process::id(), COUNT.fetch_add(1, Relaxed)));
            format!("{}{hash}-{nonce:016x}", prefix())
        };
        let namespace = namespace(operation)?;
        Ok(Self { shape, text, name: fresh(), channel: fresh(), namespace })
    }

    /// Compares the queue's IPC namespace with that of this process.
    ///
    /// # Errors
    /// `Mismatch` if they differ, `Unsupported` without `/proc`.
    pub(crate) fn check_namespace(&self, operation: Operation) -> Result<()> {
        let ours = namespace(operation)?;
        if ours == self.namespace {
            return Ok(());
        }
        Err(Error::new(operation, ErrorKind::Mismatch).because(format!(
            "its kernel queue lies in the IPC namespace {}, and this process is in {ours}, where \
             messages would go to another queue; let both share one (containers: --ipc), or take \
             mq://",
            self.namespace
        )))
    }

    /// The first bytes of the memory.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Shape { priorities, full, messages, max_message } = self.shape;
        let words = [LAYOUT, priorities, full as u32, messages, max_message, 0];
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend((self.text as u64).to_ne_bytes());
        bytes.extend(0u64.to_ne_bytes());
        bytes.extend(self.name.as_bytes());
        bytes.resize(CHANNEL, 0);
        bytes.extend(self.channel.as_bytes());
        bytes.resize(NAMESPACE, 0);
        bytes.extend(self.namespace.to_ne_bytes());
        bytes
    }

    /// Reads the memory, which may hold anything. `None` unless each field is valid and fits.
    pub(crate) fn read(region: &Region) -> Option<Self> {
        let mut bytes = [0; CLEAN];
        if !region.load(0, &mut bytes) {
            return None;
        }
        let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let wide = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let text = usize::try_from(wide(24)?).ok()?;
        let shape = Shape {
            priorities: word(4)?,
            full: Full::from_number(word(8)?)?,
            messages: word(12)?,
            max_message: word(16)?,
        };
        let fits = word(0)? == LAYOUT
            && (1..=MAX_PRIORITIES).contains(&shape.priorities)
            && TEXT.checked_add(text)? <= region.len();
        let (name, channel) = (name_in(&bytes, NAME)?, name_in(&bytes, CHANNEL)?);
        fits.then_some(Self { shape, text, name, channel, namespace: wide(NAMESPACE)? })
    }

    /// Opens the kernel's queue, and makes it if it is missing.
    pub(crate) fn queue(&self, operation: Operation) -> Result<Fd> {
        sys::open(&self.name, &self.shape, false).map_err(|error| {
            let (kind, why) = sys::explain(&error, &self.shape);
            Error::new(operation, kind).because(why).from_source(error)
        })
    }

    /// True if the kernel's queue has no messages, or cannot be opened.
    pub(crate) fn is_unused(&self, operation: Operation) -> bool {
        let Ok(queue) = self.queue(operation) else { return true };
        sys::status(&queue).is_ok_and(|status| status.messages == 0)
    }

    /// Makes a queue without a name. It has the record's second name until the call returns: what a
    /// death leaves there goes with the next such queue, or with the record.
    pub(crate) fn nameless(&self, shape: &Shape) -> io::Result<Fd> {
        loop {
            match sys::open(&self.channel, shape, true) {
                // Its maker is dead, or about to unlink it, too.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    unlink(&self.channel)?
                }
                made => {
                    let fd = made?;
                    unlink(&self.channel)?;
                    return Ok(fd);
                }
            }
        }
    }
}

/// Unlinks a queue. A name that is already gone is no error.
fn unlink(name: &str) -> io::Result<()> {
    match sys::unlink(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The beginning of the kernel names of this user's queues.
fn prefix() -> String {
    format!("/anyipc-{}-", user())
}

/// A name in a record, if this user could have made it: no record makes us unlink a queue of
/// another program.
fn name_in(bytes: &[u8; CLEAN], at: usize) -> Option<String> {
    let name = bytes.get(at..)?.split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    let rest = name.strip_prefix(&prefix())?;
    let fits = rest.len() < 100 && rest.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    fits.then(|| name.to_owned())
}

/// Unlinks the kernel's queues, before the record is removed.
fn clean(bytes: &[u8; CLEAN]) {
    for name in [NAME, CHANNEL].into_iter().filter_map(|at| name_in(bytes, at)) {
        let _ = unlink(&name);
    }
}
