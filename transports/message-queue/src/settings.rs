use anyipc_core::{
    Error, ErrorKind, Key, KeyKind, MAX_PRIORITIES, Operation, Options, Result, Side, keys,
};
use anyipc_memory::check_platform;
use anyipc_os::Scope;
use std::time::Duration;

use crate::layout::{CHUNK, Full, Geometry, MAX_CHUNKS, MAX_SEATS, MIN_CHUNKS, longest_in};
use crate::posix::{self, Shape};

/// `capacity`. Our queues and those of the kernel have different defaults.
const CAPACITY_KEY: Key = Key {
    help: "bytes of the queue, and in flight per direction of a channel; without it 256 KiB, \
           with native=posix 64 KiB",
    default: None,
    ..keys::CAPACITY
};
/// `priorities`: how many there are.
const PRIORITIES: Key = Key::new(
    "priorities",
    KeyKind::Count,
    Side::Owner,
    "priorities of the queue, 1 to 32; 0 is the lowest",
)
.or("1");
/// `full`: what happens to a message without room.
const FULL: Key = Key::new(
    "full",
    KeyKind::Choice(Full::WORDS),
    Side::Owner,
    "a message without room waits (block), is an error, or drops the oldest of the lowest priority (drop-old) or \
     itself (drop-new); drops are counted",
)
.or("block");
/// `persist`: whether the queue stays.
const PERSIST: Key = Key::new(
    "persist",
    KeyKind::Flag,
    Side::Owner,
    "true: the queue and its messages stay when nobody holds it, until it is removed",
)
.or("false");
/// `native`: whose queue it is.
pub(crate) const NATIVE: Key = Key::new(
    "native",
    KeyKind::Choice(&["posix"]),
    Side::Both,
    "posix: the kernel's own queues, with its limits; both sides say it, as such names are names apart",
);

pub(crate) const KEYS: &[Key] =
    &[CAPACITY_KEY, PRIORITIES, FULL, PERSIST, NATIVE, keys::SCOPE, keys::TRUST_ANYWAY];

/// Bytes of a queue and of each direction of a channel, unless the address says otherwise: enough to receive while a
/// sender that found it full wakes up.
const CAPACITY: usize = 256 << 10;
/// The same of a kernel queue: all queues of a user share 800 KiB (`RLIMIT_MSGQUEUE`).
const KERNEL_CAPACITY: usize = 64 << 10;
/// The longest message of a kernel queue has these bytes at least.
const MIN_KERNEL_MESSAGE: u64 = 64;
/// How long an object may be between two states, unless the address has a `timeout`.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the address says, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) scope: Scope,
    pub(crate) adopt: bool,
    pub(crate) patience: Duration,
    /// The kernel's own queues.
    pub(crate) posix: bool,
    capacity: Option<u64>,
    chunks: Option<u32>,
    priorities: Option<u32>,
    full: Option<Full>,
    persist: Option<bool>,
    longest: Option<usize>,
}

impl Settings {
    pub(crate) fn read(options: &Options, operation: Operation) -> Result<Self> {
        check_platform(operation)?;
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
        let priorities = match options.number(PRIORITIES) {
            None => None,
            Some(count) => Some(
                u32::try_from(count)
                    .ok()
                    .filter(|count| (1..=MAX_PRIORITIES).contains(count))
                    .ok_or_else(|| {
                        invalid(format!(
                            "priorities={count} is out of range: 1 to {MAX_PRIORITIES}"
                        ))
                    })?,
            ),
        };
        Ok(Self {
            scope: if options.text(keys::SCOPE) == Some("system") {
                Scope::System
            } else {
                Scope::User
            },
            adopt: options.text(keys::CREATE) == Some("open_or_create"),
            patience: options.span(keys::TIMEOUT).unwrap_or(PATIENCE),
            posix: options.text(NATIVE).is_some(),
            capacity: options.number(keys::CAPACITY),
            chunks,
            priorities,
            full: options.text(FULL).and_then(Full::from_word),
            persist: options.has(PERSIST).then(|| options.flag(PERSIST)),
            longest: options
                .number(keys::MAX_MESSAGE)
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        })
    }

    /// Whether a queue that is made stays when nobody holds it.
    pub(crate) fn persists(&self) -> bool {
        self.persist.unwrap_or(false)
    }

    /// The queue to make, with a text of so many bytes.
    pub(crate) fn queue(&self, text: usize) -> Geometry {
        let chunks = self.chunks.unwrap_or((CAPACITY / CHUNK) as u32);
        Geometry {
            priorities: self.priorities.unwrap_or(1),
            full: self.full.unwrap_or(Full::Block),
            seats: MAX_SEATS,
            chunks,
            longest: longest_in(chunks).min(self.longest.unwrap_or(usize::MAX)),
            text,
        }
    }

    /// `Mismatch` if the address insists on something that the queue is not.
    pub(crate) fn check(
        &self,
        queue: &Geometry,
        persists: bool,
        operation: Operation,
    ) -> Result<()> {
        let capacity = |chunks: u32| (u64::from(chunks) * CHUNK as u64).to_string();
        let number = |count: u32| count.to_string();
        let word = |full: Full| full.as_str().to_owned();
        differ("capacity", self.chunks, queue.chunks, capacity, operation)?;
        differ("priorities", self.priorities, queue.priorities, number, operation)?;
        differ("full", self.full, queue.full, word, operation)?;
        differ("persist", self.persist, persists, |persists| persists.to_string(), operation)
    }

    /// The same for the longest message, which concerns those who use the queue; channels come to terms by
    /// themselves.
    pub(crate) fn check_longest(&self, queue: &Geometry) -> Result<()> {
        let longest = self.longest.map(|longest| longest.min(longest_in(queue.chunks)));
        differ("max_message", longest, queue.longest, |bytes| bytes.to_string(), Operation::Queue)
    }

    /// Bytes of each direction of a channel.
    pub(crate) fn channel_capacity(&self) -> usize {
        self.insisted_capacity().unwrap_or(CAPACITY)
    }

    /// The same, if the address says it.
    pub(crate) fn insisted_capacity(&self) -> Option<usize> {
        self.chunks
            .map(|chunks| usize::try_from(u64::from(chunks) * CHUNK as u64).unwrap_or(usize::MAX))
    }

    /// The kernel queue to make. What the address leaves open is as large as the kernel allows, and no larger than
    /// is usual.
    ///
    /// # Errors
    /// `Unsupported` for `full=drop-old`.
    pub(crate) fn kernel_queue(&self, operation: Operation) -> Result<Shape> {
        if self.full == Some(Full::DropOld) {
            return Err(Error::new(operation, ErrorKind::Unsupported).because(
                "full=drop-old: the kernel gives only the oldest of the highest priority out; choose block, error or \
                 drop-new, or leave native=posix out",
            ));
        }
        let longest = self.longest.map_or(u64::MAX, |longest| longest as u64).min(posix::longest());
        let shape = self.kernel_shape(longest);
        Ok(Shape {
            priorities: self.priorities.unwrap_or(1),
            full: self.full.unwrap_or(Full::Block),
            ..shape
        })
    }

    /// The kernel queue of a direction of a channel.
    pub(crate) fn channel_shape(&self) -> Shape {
        self.kernel_shape(posix::longest())
    }

    fn kernel_shape(&self, longest: u64) -> Shape {
        let usual = posix::most();
        let capacity = self.capacity.unwrap_or(KERNEL_CAPACITY as u64);
        // Of the usual number of messages, if those are not longer than they may be; else more of them.
        let longest = longest.min(capacity.div_ceil(usual)).max(MIN_KERNEL_MESSAGE);
        let most = if self.capacity.is_some() { capacity.div_ceil(longest).max(1) } else { usual };
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Shape { priorities: 1, full: Full::Block, most: number(most), longest: number(longest) }
    }

    /// `Mismatch` if the address insists on something that the kernel queue is not.
    pub(crate) fn check_kernel(
        &self,
        shape: &Shape,
        persists: bool,
        operation: Operation,
    ) -> Result<()> {
        let word = |full: Full| full.as_str().to_owned();
        let wanted = self.capacity.map(|_| self.kernel_shape(shape.longest.into()).most);
        differ("messages", wanted, shape.most, |most| most.to_string(), operation)?;
        differ(
            "priorities",
            self.priorities,
            shape.priorities,
            |count| count.to_string(),
            operation,
        )?;
        differ("full", self.full, shape.full, word, operation)?;
        differ("persist", self.persist, persists, |persists| persists.to_string(), operation)
    }
}

/// The chunks of a queue of so many bytes.
pub(crate) fn chunks_of(bytes: u64) -> Option<u32> {
    let chunks = u32::try_from(bytes.div_ceil(CHUNK as u64)).ok()?;
    (1..=MAX_CHUNKS).contains(&chunks).then(|| chunks.max(MIN_CHUNKS))
}

fn differ<T: PartialEq + Copy>(
    key: &str,
    wanted: Option<T>,
    has: T,
    show: impl Fn(T) -> String,
    operation: Operation,
) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != has => Err(Error::new(operation, ErrorKind::Mismatch).because(
            format!("{key}={} was asked for, but the queue has {key}={}", show(wanted), show(has)),
        )),
        _ => Ok(()),
    }
}
