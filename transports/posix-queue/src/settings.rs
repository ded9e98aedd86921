use anyipc_core::{Error, ErrorKind, Full, Key, Operation, Options, QueueOptions, Result, keys};
use anyipc_memory::named_queue::{self, Access};

use crate::record::Shape;
use crate::sys;

/// `capacity`. The kernel's limits may make the default smaller.
const CAPACITY: Key = Key {
    help: "bytes of the queue, and in flight per direction of a channel; without it 64 KiB, as far \
           as the kernel allows",
    default: None,
    ..keys::CAPACITY
};
/// `full`: what happens to a message without room.
const FULL: Key = Key {
    help: "a message without room waits (block), is an error, or is dropped and counted \
           (drop-new); the kernel cannot do drop-old",
    ..keys::FULL
};

pub(crate) const KEYS: &[Key] =
    &[CAPACITY, keys::PRIORITIES, FULL, keys::PERSIST, keys::SCOPE, keys::TRUST_ANYWAY];

/// Bytes of a queue and of each direction of a channel, unless the address has a `capacity`: the
/// queues of all processes of a user share 800 KiB (`RLIMIT_MSGQUEUE`).
const DEFAULT_CAPACITY: u64 = 64 << 10;
/// A queue that is made takes messages of at least this many bytes.
const MIN_MESSAGE: u64 = 64;

/// The checked options of an address.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    access: Access,
    capacity: Option<u64>,
    max_message: Option<u64>,
    queue: QueueOptions,
}

impl named_queue::Settings for Settings {
    fn read(options: &Options, operation: Operation) -> Result<Self> {
        sys::check_platform(operation)?;
        let access = Access::read(options, operation)?;
        let capacity = options.number(keys::CAPACITY);
        if capacity == Some(0) {
            return Err(Error::new(operation, ErrorKind::InvalidOption)
                .because("capacity=0 is out of range: 1 byte or more"));
        }
        let queue = QueueOptions::read(options, operation)?;
        if queue.full == Some(Full::DropOld) {
            return Err(Error::new(operation, ErrorKind::Unsupported).because(
                "full=drop-old: the kernel gives only the oldest of the highest priority out; \
                 choose block, error or drop-new, or another transport with queues, such as mq://",
            ));
        }
        Ok(Self { access, capacity, max_message: options.number(keys::MAX_MESSAGE), queue })
    }

    fn access(&self) -> Access {
        self.access
    }

    fn persists(&self) -> bool {
        self.queue.persist.unwrap_or(false)
    }
}

impl Settings {
    /// The kernel queue to make. What the address leaves open is as large as the kernel allows,
    /// within the usual size.
    pub(crate) fn shape(&self) -> Shape {
        let max_message = self.max_message.unwrap_or(u64::MAX).min(sys::max_message());
        Shape {
            priorities: self.queue.priorities.unwrap_or(1),
            full: self.queue.full.unwrap_or(Full::Block),
            ..self.shape_for(max_message)
        }
    }

    /// The kernel queue of one direction of a channel.
    pub(crate) fn channel_shape(&self) -> Shape {
        self.shape_for(sys::max_message())
    }

    /// Prefers the usual number of messages; if those would be longer than `max_message`, takes
    /// more of them.
    fn shape_for(&self, max_message: u64) -> Shape {
        let usual = sys::usual_messages();
        let capacity = self.capacity.unwrap_or(DEFAULT_CAPACITY);
        let max_message = max_message.min(capacity.div_ceil(usual)).max(MIN_MESSAGE);
        let messages = match self.capacity {
            Some(_) => capacity.div_ceil(max_message).max(1),
            None => usual,
        };
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Shape {
            priorities: 1,
            full: Full::Block,
            messages: number(messages),
            max_message: number(max_message),
        }
    }

    /// `Mismatch` if the address asks for something else than the queue has.
    pub(crate) fn check(&self, shape: &Shape, persists: bool, operation: Operation) -> Result<()> {
        let wanted = self.capacity.map(|_| self.shape_for(shape.max_message.into()).messages);
        QueueOptions::insist("messages", wanted, shape.messages, |n| n.to_string(), operation)?;
        self.queue.check(shape.priorities, shape.full, persists, operation)
    }

    /// Bytes of each direction of a channel.
    pub(crate) fn channel_capacity(&self) -> u64 {
        self.capacity.unwrap_or(DEFAULT_CAPACITY)
    }

    /// The same, 0 if the address leaves it open.
    pub(crate) fn wanted_capacity(&self) -> u64 {
        self.capacity.unwrap_or(0)
    }
}
