//! The record of a kernel queue: its name, its limits, and the IPC namespace that it lies in. The private directory may
//! be shared by containers that do not share their IPC namespace, and the same name means another queue in each.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{io, process};

use anyipc_core::{Error, ErrorKind, MAX_PRIORITIES, Name, Operation, Result};
use anyipc_memory::{CLEAN, Kind, Region};
use anyipc_os::{Fd, user};

use super::sys;
use crate::layout::Full;

/// The records of kernel queues.
pub(crate) static KIND: Kind = Kind {
    prefix: "mq-posix+",
    suffix: ".record",
    heading: "anyipc-posix-queue 1",
    word: *b"posix mq",
    noun: "posix queue",
    companion: None,
    clean: Some(clean),
};

/// The version of the record.
pub(crate) const LAYOUT: u32 = 3;
/// Where the count of dropped messages lies (u64).
pub(super) const DROPPED: usize = 32;
/// Where the kernel queue's name lies, with a NUL behind it.
const NAME: usize = 40;
/// Where the name lies that a channel's queues have while they are made, with a NUL behind it.
const CHANNEL: usize = 144;
/// Where the number of the IPC namespace lies (u64).
const NAMESPACE: usize = 248;
/// Where the text of `alloc_lpsz` lies.
pub(crate) const TEXT: usize = CLEAN;

/// What a kernel queue is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) priorities: u32,
    pub(crate) full: Full,
    /// The most messages.
    pub(crate) most: u32,
    /// Bytes of the longest message.
    pub(crate) longest: u32,
}

/// What the memory says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) shape: Shape,
    /// Bytes of the text and its NUL; 0 without one.
    pub(crate) text: usize,
    /// The kernel queue's name.
    name: String,
    /// The name that a channel's queues have while they are made. Nobody needs what stands there.
    channel: String,
    /// The number of the IPC namespace in which these names mean something.
    namespace: u64,
}

/// The IPC namespace of this process.
fn namespace(operation: Operation) -> Result<u64> {
    sys::namespace().map_err(|error| {
        Error::new(operation, ErrorKind::Unsupported)
            .because(
                "native=posix needs /proc, which tells IPC namespaces apart: mount it, or leave native= out",
            )
            .from_source(error)
    })
}

impl Record {
    /// A record of a queue to be made.
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
            // The random keys of two processes differ, and so do two counts of one process.
            let nonce = RandomState::new().hash_one((process::id(), COUNT.fetch_add(1, Relaxed)));
            format!("{}{hash}-{nonce:016x}", prefix())
        };
        let namespace = namespace(operation)?;
        Ok(Self { shape, text, name: fresh(), channel: fresh(), namespace })
    }

    /// `Mismatch` unless this process is in the queue's IPC namespace.
    pub(crate) fn check_namespace(&self, operation: Operation) -> Result<()> {
        let ours = namespace(operation)?;
        if ours == self.namespace {
            return Ok(());
        }
        Err(Error::new(operation, ErrorKind::Mismatch).because(format!(
            "its kernel queue lies in the IPC namespace {}, and this process is in {ours}, where messages would \
             go to another queue; let both share one (containers: --ipc), or leave native= out",
            self.namespace
        )))
    }

    /// What the memory begins with.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Shape { priorities, full, most, longest } = self.shape;
        let words = [LAYOUT, priorities, full as u32, most, longest, 0];
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

    /// Reads a private copy. `None` unless all of it can be, and fits.
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
            most: word(12)?,
            longest: word(16)?,
        };
        let sound = word(0)? == LAYOUT
            && (1..=MAX_PRIORITIES).contains(&shape.priorities)
            && TEXT.checked_add(text)? <= region.len();
        let (name, channel) = (name_in(&bytes, NAME)?, name_in(&bytes, CHANNEL)?);
        sound.then_some(Self { shape, text, name, channel, namespace: wide(NAMESPACE)? })
    }

    /// Opens the kernel's queue, and makes it if nobody has.
    pub(crate) fn queue(&self, operation: Operation) -> Result<Fd> {
        make(&self.name, self.shape, false).map_err(|error| explain(error, self.shape, operation))
    }

    /// Whether the kernel's queue has no messages, or cannot be there.
    pub(crate) fn is_unused(&self, operation: Operation) -> bool {
        let Ok(queue) = self.queue(operation) else { return true };
        sys::status(&queue).is_ok_and(|status| status.messages == 0)
    }

    /// Makes a queue without a name. For an instant it has the one of the record that is nobody's: what a death
    /// leaves there goes with the next such queue, or with the record.
    pub(super) fn nameless(&self, shape: Shape) -> io::Result<Fd> {
        loop {
            match make(&self.channel, shape, true) {
                // Whoever made that is dead, or about to take the name away itself.
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

/// Takes a name away, unless someone else was faster.
fn unlink(name: &str) -> io::Result<()> {
    match sys::unlink(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn make(name: &str, shape: Shape, exclusive: bool) -> io::Result<Fd> {
    sys::open(name, shape.most as usize, shape.longest as usize, exclusive)
}

fn explain(error: io::Error, shape: Shape, operation: Operation) -> Error {
    let (kind, why) = sys::explain(&error, shape.most as usize, shape.longest as usize);
    Error::new(operation, kind).because(why).from_source(error)
}

/// What the names of this user's queues begin with.
fn prefix() -> String {
    format!("/anyipc-{}-", user())
}

/// A name in a record, if it is one that we make.
fn name_in(bytes: &[u8; CLEAN], at: usize) -> Option<String> {
    let name = bytes.get(at..)?.split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    let rest = name.strip_prefix(&prefix())?;
    let sound = rest.len() < 100 && rest.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    sound.then(|| name.to_owned())
}

/// Takes the kernel's names away, before the record is removed.
fn clean(bytes: &[u8; CLEAN]) {
    for name in [NAME, CHANNEL].into_iter().filter_map(|at| name_in(bytes, at)) {
        let _ = unlink(&name);
    }
}
