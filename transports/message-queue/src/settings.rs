use anyipc_core::{
    Error, ErrorKind, Full, Key, Name, Operation, Options, QueueOptions, Result, keys,
};
use anyipc_memory::named_queue::{self, Access};
use anyipc_os::Scope;

use crate::dead::DeadName;
use crate::layout::{CHUNK, Geometry, MAX_CHUNKS, MAX_SLOTS, MIN_CHUNKS, longest_in};

/// `capacity`: of the queue as well.
const CAPACITY_KEY: Key =
    Key { help: "bytes of the queue, and in flight per direction of a channel", ..keys::CAPACITY };
/// `native`: had one value, `posix`.
const NATIVE: Key =
    Key::retired("native", "the kernel's queues have a scheme of their own: write posix-mq://name");

pub(crate) const KEYS: &[Key] = &[
    CAPACITY_KEY,
    keys::PRIORITIES,
    keys::FULL,
    keys::PERSIST,
    keys::ATTEMPTS,
    keys::DEAD,
    NATIVE,
    keys::SCOPE,
    keys::TRUST_ANYWAY,
];

/// Bytes of a queue and of each direction of a channel, unless the address has a `capacity`: enough
/// to go on receiving while a sender that found the queue full wakes up.
const CAPACITY: usize = 256 << 10;

/// The checked options of an address.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    access: Access,
    chunks: Option<u32>,
    queue: QueueOptions,
    longest: Option<usize>,
    dead: Option<DeadName>,
}

impl named_queue::Settings for Settings {
    fn read(options: &Options, operation: Operation) -> Result<Self> {
        let access = Access::read(options, operation)?;
        let invalid = |text: String| Error::new(operation, ErrorKind::InvalidOption).because(text);
        let chunks = match options.number(keys::CAPACITY) {
            None => None,
            Some(bytes) => Some(chunks_of(bytes).ok_or_else(|| {
                let most = u64::from(MAX_CHUNKS) * CHUNK as u64;
                invalid(format!(
                    "capacity={bytes} is out of range: 1 to {most} bytes, rounded up to {CHUNK}s"
                ))
            })?),
        };
        let queue = QueueOptions::read(options, operation)?;
        let dead = options.text(keys::DEAD).map(DeadName::parse).transpose();
        let dead = dead.map_err(|why| invalid(format!("dead=: {why}")))?;
        Ok(Self {
            access,
            chunks,
            queue,
            dead,
            longest: options
                .number(keys::MAX_MESSAGE)
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        })
    }

    fn access(&self) -> Access {
        self.access
    }

    fn persists(&self) -> bool {
        self.queue.persist.unwrap_or(false)
    }
}

impl Settings {
    /// The directory that the queue is in, and the queue for its dead messages.
    pub(crate) fn scope(&self) -> Scope {
        self.access.scope
    }

    /// `InvalidOption` if a queue of this name cannot have these dead messages.
    pub(crate) fn check_dead(&self, name: &Name, operation: Operation) -> Result<()> {
        let why = match (self.dead, self.queue.attempts) {
            (Some(_), None) => "dead= needs attempts=, such as attempts=3",
            (Some(dead), _) if dead.name().as_ref() == Some(name) => {
                "dead= names the queue itself: its dead messages would come back for ever"
            }
            _ => return Ok(()),
        };
        Err(Error::new(operation, ErrorKind::InvalidOption).because(why))
    }

    /// The queue to make, with a text of this many bytes.
    pub(crate) fn queue(&self, text: usize) -> Geometry {
        let chunks = self.chunks.unwrap_or((CAPACITY / CHUNK) as u32);
        Geometry {
            priorities: self.queue.priorities.unwrap_or(1),
            full: self.queue.full.unwrap_or(Full::Block),
            slots: MAX_SLOTS,
            chunks,
            longest: longest_in(chunks).min(self.longest.unwrap_or(usize::MAX)),
            text,
            leases: true,
            attempts: self.queue.attempts.unwrap_or(0),
            dead: self.dead,
        }
    }

    /// `Mismatch` if the address asks for something else than the queue has.
    pub(crate) fn check(
        &self,
        queue: &Geometry,
        persists: bool,
        operation: Operation,
    ) -> Result<()> {
        let capacity = |chunks: u32| (u64::from(chunks) * CHUNK as u64).to_string();
        QueueOptions::insist("capacity", self.chunks, queue.chunks, capacity, operation)?;
        self.queue.check(queue.priorities, queue.full, persists, operation)?;
        let number = |n: u32| n.to_string();
        QueueOptions::insist("attempts", self.queue.attempts, queue.attempts, number, operation)?;
        let name = |name: Option<DeadName>| name.map_or("none".to_owned(), |name| name.to_string());
        QueueOptions::insist("dead", self.dead.map(Some), queue.dead, name, operation)
    }

    /// The same for the longest message. Only handles of the queue ask: channels agree on theirs in
    /// the handshake.
    pub(crate) fn check_longest(&self, queue: &Geometry) -> Result<()> {
        let longest = self.longest.map(|longest| longest.min(longest_in(queue.chunks)));
        QueueOptions::insist(
            "max_message",
            longest,
            queue.longest,
            |bytes| bytes.to_string(),
            Operation::Queue,
        )
    }

    /// Bytes of each direction of a channel.
    pub(crate) fn channel_capacity(&self) -> usize {
        self.insisted_capacity().unwrap_or(CAPACITY)
    }

    /// The same, if the address has a `capacity`.
    pub(crate) fn insisted_capacity(&self) -> Option<usize> {
        self.chunks
            .map(|chunks| usize::try_from(u64::from(chunks) * CHUNK as u64).unwrap_or(usize::MAX))
    }
}

/// The chunks of a queue of this many bytes, or `None` if no queue has that many.
pub(crate) fn chunks_of(bytes: u64) -> Option<u32> {
    let chunks = u32::try_from(bytes.div_ceil(CHUNK as u64)).ok()?;
    (1..=MAX_CHUNKS).contains(&chunks).then(|| chunks.max(MIN_CHUNKS))
}
