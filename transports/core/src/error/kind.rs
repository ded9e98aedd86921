use std::io;

/// The operation in which an [`Error`](super::Error) arose. Together with the kind it selects the
/// [`SmCode`](super::SmCode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Reading an address, a name, an option or a configuration file.
    Address,
    /// Creating a named object.
    Create,
    /// Creating a block that holds a NUL-terminated text.
    AllocLpsz,
    /// Opening an existing object.
    Open,
    /// Reading the NUL-terminated text of an object.
    ReadLpsz,
    /// Giving a handle up.
    Close,
    /// Reading the status of an object.
    Stat,
    /// Removing an object by name.
    Remove,
    /// Listing the objects of a transport.
    List,
    /// Waiting for a peer as the owner.
    Accept,
    /// Reaching the owner as an opener.
    Connect,
    /// Sending a message.
    Send,
    /// Receiving a message.
    Receive,
    /// Reading or writing the contents of a block.
    Block,
    /// Getting a handle of a queue, or reading, purging or changing it.
    Queue,
    /// Locking, signalling, or waiting for a lock or an event in shared memory.
    Lock,
    /// Sending a request and receiving its response.
    Call,
    /// Receiving requests and sending their responses.
    Serve,
}

impl Operation {
    /// All of them, each at the index of its number.
    pub(super) const ALL: [Self; 18] = [
        Self::Address,
        Self::Create,
        Self::AllocLpsz,
        Self::Open,
        Self::ReadLpsz,
        Self::Close,
        Self::Stat,
        Self::Remove,
        Self::List,
        Self::Accept,
        Self::Connect,
        Self::Send,
        Self::Receive,
        Self::Block,
        Self::Queue,
        Self::Lock,
        Self::Call,
        Self::Serve,
    ];

    /// The lower-case word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Create => "create",
            Self::AllocLpsz => "alloc_lpsz",
            Self::Open => "open",
            Self::ReadLpsz => "lpsz",
            Self::Close => "close",
            Self::Stat => "stat",
            Self::Remove => "remove",
            Self::List => "list",
            Self::Accept => "accept",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Block => "block",
            Self::Queue => "queue",
            Self::Lock => "lock",
            Self::Call => "call",
            Self::Serve => "serve",
        }
    }
}

/// The kind of an [`Error`](super::Error), by which a program decides what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name is taken by a live object.
    Exists,
    /// No live object has the name.
    NotFound,
    /// The object has no owner to connect to now.
    NoOwner,
    /// The name breaks the naming rules.
    InvalidName,
    /// The address cannot be read.
    InvalidAddress,
    /// An option's key or value is unknown, repeated or out of range.
    InvalidOption,
    /// Two different names have the same operating-system name.
    NameCollision,
    /// Both sides exist but disagree: version, layout, codec, type, size, transport.
    Mismatch,
    /// The object's contents break its format.
    Corrupt,
    /// Memory, disk space or a quota is exhausted.
    OutOfMemory,
    /// The object's status cannot be read.
    StatFailed,
    /// The operating system or the other side refuses this user.
    PermissionDenied,
    /// A call for owners on an opener, or the other way round.
    WrongRole,
    /// This transport or platform cannot do it.
    Unsupported,
    /// The call would have to wait.
    WouldBlock,
    /// The deadline has passed.
    TimedOut,
    /// The other side closed in an orderly way; everything it sent has been delivered.
    Closed,
    /// The other side died or hung up without closing, or gave its connect up during the handshake.
    PeerGone,
    /// The handle belongs to the parent of this forked process.
    Forked,
    /// The object stayed between two states (being reclaimed, being written) until the deadline, or
    /// is alive and not to be removed.
    Busy,
    /// The queue is full and its `full=error` says not to wait.
    Full,
    /// The message is longer than a limit.
    MessageTooLarge,
    /// The previous owner of a lock died while it held the lock.
    OwnerDied,
    /// A value could not be encoded or decoded.
    Codec,
    /// An offset or length lies outside the block.
    OutOfBounds,
    /// The operating system failed in a way that no other kind describes.
    Io,
    /// The name was removed or given to another object while this handle held it. The handle keeps
    /// working with the peers that it has; others no longer find it.
    Removed,
    /// The owner of a lock died, and the next one released it without saying that what it protects
    /// is consistent again.
    Poisoned,
    /// The request arrived, and the service answered with a failure.
    Failed,
    /// The program ended the wait, by its own handle. Nothing was done.
    Stopped,
}

impl ErrorKind {
    /// All of them, each at the index of its number.
    pub(super) const ALL: [Self; 30] = [
        Self::Exists,
        Self::NotFound,
        Self::NoOwner,
        Self::InvalidName,
        Self::InvalidAddress,
        Self::InvalidOption,
        Self::NameCollision,
        Self::Mismatch,
        Self::Corrupt,
        Self::OutOfMemory,
        Self::StatFailed,
        Self::PermissionDenied,
        Self::WrongRole,
        Self::Unsupported,
        Self::WouldBlock,
        Self::TimedOut,
        Self::Closed,
        Self::PeerGone,
        Self::Forked,
        Self::Busy,
        Self::Full,
        Self::MessageTooLarge,
        Self::OwnerDied,
        Self::Codec,
        Self::OutOfBounds,
        Self::Io,
        Self::Removed,
        Self::Poisoned,
        Self::Failed,
        Self::Stopped,
    ];

    /// The kind in snake case, as the command line's JSON prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::NotFound => "not_found",
            Self::NoOwner => "no_owner",
            Self::InvalidName => "invalid_name",
            Self::InvalidAddress => "invalid_address",
            Self::InvalidOption => "invalid_option",
            Self::NameCollision => "name_collision",
            Self::Mismatch => "mismatch",
            Self::Corrupt => "corrupt",
            Self::OutOfMemory => "out_of_memory",
            Self::StatFailed => "stat_failed",
            Self::PermissionDenied => "permission_denied",
            Self::WrongRole => "wrong_role",
            Self::Unsupported => "unsupported",
            Self::WouldBlock => "would_block",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::PeerGone => "peer_gone",
            Self::Forked => "forked",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::MessageTooLarge => "message_too_large",
            Self::OwnerDied => "owner_died",
            Self::Codec => "codec",
            Self::OutOfBounds => "out_of_bounds",
            Self::Io => "io",
            Self::Removed => "removed",
            Self::Poisoned => "poisoned",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Exists => "the name already exists",
            Self::NotFound => "no such object",
            Self::NoOwner => "no owner is there",
            Self::InvalidName => "invalid name",
            Self::InvalidAddress => "invalid address",
            Self::InvalidOption => "invalid option",
            Self::NameCollision => "two names share one system name",
            Self::Mismatch => "the two sides do not match",
            Self::Corrupt => "the object is damaged or not ours",
            Self::OutOfMemory => "out of memory or space",
            Self::StatFailed => "the status cannot be read",
            Self::PermissionDenied => "permission denied",
            Self::WrongRole => "wrong role",
            Self::Unsupported => "not supported",
            Self::WouldBlock => "would block",
            Self::TimedOut => "timed out",
            Self::Closed => "closed by the peer",
            Self::PeerGone => "the peer is gone",
            Self::Forked => "the handle belongs to the parent process",
            Self::Busy => "busy",
            Self::Full => "the queue is full",
            Self::MessageTooLarge => "the message is too large",
            Self::OwnerDied => "the previous lock owner died",
            Self::Codec => "encoding or decoding failed",
            Self::OutOfBounds => "out of bounds",
            Self::Io => "input/output error",
            Self::Removed => "the name was removed while it was held",
            Self::Poisoned => "the lock is poisoned",
            Self::Failed => "the service answered with a failure",
            Self::Stopped => "stopped by this program",
        }
    }

    /// The kind that an error of the operating system means; of an [`Error`](super::Error) that
    /// became an error of the standard library, its own kind.
    pub fn of_io(error: &io::Error) -> Self {
        if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<super::Error>()) {
            return ours.kind();
        }
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::OutOfMemory,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::Exists,
            io::ErrorKind::WouldBlock => Self::WouldBlock,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::Unsupported => Self::Unsupported,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof => Self::PeerGone,
            _ => Self::Io,
        }
    }
}

/// Checks that `ALL` has each value at the index of its number.
const _: () = {
    let mut place = 0;
    while place < Operation::ALL.len() {
        assert!(Operation::ALL[place] as usize == place, "an operation is at the wrong index");
        place += 1;
    }
    place = 0;
    while place < ErrorKind::ALL.len() {
        assert!(ErrorKind::ALL[place] as usize == place, "a kind is at the wrong index");
        place += 1;
    }
};
