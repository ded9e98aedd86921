use std::fmt;
use std::io;
use std::num::NonZero;

/// The result of every fallible call in `anyipc`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What was being done when an [`Error`] arose. Together with the kind it selects the [`SmCode`].
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
    /// Taking, looking at or emptying a queue.
    Queue,
}

impl Operation {
    /// All of them, each at the place of its number.
    const ALL: [Self; 15] = [
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
        }
    }
}

/// The kind of an [`Error`]: what a program can decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name is taken by a live object.
    Exists,
    /// No object of this name is alive.
    NotFound,
    /// The object has no owner to connect to (any more).
    NoOwner,
    /// The name breaks the naming rules.
    InvalidName,
    /// The address cannot be read.
    InvalidAddress,
    /// An option's key or value is unknown, repeated or out of range.
    InvalidOption,
    /// Two different names share one operating-system name.
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
    /// An owner's call on an opener or the other way round.
    WrongRole,
    /// This transport or platform cannot do it.
    Unsupported,
    /// Nothing can be done now without waiting.
    WouldBlock,
    /// The time allowed has passed.
    TimedOut,
    /// The other side closed in an orderly way; everything it sent has been delivered.
    Closed,
    /// The other side died or hung up without closing.
    PeerGone,
    /// The handle belongs to the parent of this forked process.
    Forked,
    /// The object is between two states (being reclaimed, being written) past the deadline.
    Busy,
    /// A queue is full, and was told not to wait (`full=error`).
    Full,
    /// The message is longer than a limit allows.
    MessageTooLarge,
    /// A lock's previous owner died while holding it.
    OwnerDied,
    /// A value could not be encoded or decoded.
    Codec,
    /// An offset or length lies outside the block.
    OutOfBounds,
    /// The operating system failed in a way no other kind describes.
    Io,
}

impl ErrorKind {
    /// All of them, each at the place of its number.
    const ALL: [Self; 26] = [
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
        }
    }

    const fn describe(self) -> &'static str {
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
        }
    }

    /// The kind an operating-system error stands for.
    pub fn of_io(error: &io::Error) -> Self {
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

/// The five error values of the shared-memory library this project grew from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmCode {
    /// `SM_CREATE_EXIST`, −1: the name exists.
    CreateExist,
    /// `SM_CREATE_FAIL`, −2: the object could not be created.
    CreateFail,
    /// `SM_OPEN_FAIL`, −3: there is no valid object to open.
    OpenFail,
    /// `SM_MEM_FAIL`, −4: out of memory for the operation.
    MemFail,
    /// `SM_STAT_FAIL`, −5: the object's status could not be read.
    StatFail,
}

impl SmCode {
    /// The negative integer.
    pub const fn value(self) -> i32 {
        match self {
            Self::CreateExist => -1,
            Self::CreateFail => -2,
            Self::OpenFail => -3,
            Self::MemFail => -4,
            Self::StatFail => -5,
        }
    }

    /// The constant's name, such as `SM_CREATE_EXIST`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateExist => "SM_CREATE_EXIST",
            Self::CreateFail => "SM_CREATE_FAIL",
            Self::OpenFail => "SM_OPEN_FAIL",
            Self::MemFail => "SM_MEM_FAIL",
            Self::StatFail => "SM_STAT_FAIL",
        }
    }

    /// The one table of operation × kind.
    const fn of(operation: Operation, kind: ErrorKind) -> Option<Self> {
        match (operation, kind) {
            (_, ErrorKind::OutOfMemory) => Some(Self::MemFail),
            (Operation::Create | Operation::AllocLpsz, ErrorKind::Exists) => Some(Self::CreateExist),
            (Operation::Create | Operation::AllocLpsz, _) => Some(Self::CreateFail),
            (Operation::Open | Operation::Connect | Operation::ReadLpsz, _) => Some(Self::OpenFail),
            (_, ErrorKind::StatFailed) => Some(Self::StatFail),
            _ => None,
        }
    }
}

impl fmt::Display for SmCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.value())
    }
}

/// What failed, on which address, why, and what would have worked.
///
/// An error without details ([`Error::new`]) allocates nothing; the ones a busy loop meets
/// (`WouldBlock`, `Closed`) are made that way.
///
/// An error is two words that travel in registers, as does a `Result<()>`: a result in memory that is read as a whole
/// just after a part of it was written waits for every store before it, and so for the other side's cache.
pub struct Error {
    case: Case,
    detail: Option<Box<Detail>>,
}

/// What failed and how, in one number: operation and kind, a byte each, and one, so that it is never zero.
#[derive(Clone, Copy)]
struct Case(NonZero<u16>);

impl Case {
    const fn new(operation: Operation, kind: ErrorKind) -> Self {
        Self(NonZero::<u16>::MIN.saturating_add((operation as u16) << 8 | kind as u16))
    }

    const fn operation(self) -> Operation {
        Operation::ALL[((self.0.get() - 1) >> 8) as usize]
    }

    const fn is(self, kind: ErrorKind) -> bool {
        (self.0.get() - 1) & 0xff == kind as u16
    }

    const fn kind(self) -> ErrorKind {
        ErrorKind::ALL[((self.0.get() - 1) & 0xff) as usize]
    }
}

/// The numbers are the places.
const _: () = {
    let mut place = 0;
    while place < Operation::ALL.len() {
        assert!(Operation::ALL[place] as usize == place, "an operation is out of place");
        place += 1;
    }
    place = 0;
    while place < ErrorKind::ALL.len() {
        assert!(ErrorKind::ALL[place] as usize == place, "a kind is out of place");
        place += 1;
    }
};

#[derive(Default)]
struct Detail {
    address: Option<String>,
    message: Option<String>,
    source: Option<Source>,
}

impl Error {
    /// An error without details. Allocates nothing.
    pub const fn new(operation: Operation, kind: ErrorKind) -> Self {
        Self { case: Case::new(operation, kind), detail: None }
    }

    /// An operating-system failure: the kind follows from the error, `what` says which step failed.
    pub fn io(operation: Operation, what: &str, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        Self::new(operation, ErrorKind::of_io(&error)).because(what).from_source(error)
    }

    /// Adds the sentence that says why, and what would have worked.
    #[must_use]
    pub fn because(mut self, message: impl Into<String>) -> Self {
        self.detail().message = Some(message.into());
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn from_source(mut self, source: impl Into<Source>) -> Self {
        self.detail().source = Some(source.into());
        self
    }

    /// Adds the address, unless one is there.
    #[must_use]
    pub fn at(mut self, address: impl fmt::Display) -> Self {
        let detail = self.detail();
        if detail.address.is_none() {
            detail.address = Some(address.to_string());
        }
        self
    }

    /// The same error as seen by another operation (the table of codes depends on it).
    #[must_use]
    pub fn during(mut self, operation: Operation) -> Self {
        self.case = Case::new(operation, self.kind());
        self
    }

    /// The same details under another kind.
    #[must_use]
    pub fn as_kind(mut self, kind: ErrorKind) -> Self {
        self.case = Case::new(self.operation(), kind);
        self
    }

    fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    /// What a program can decide on.
    pub const fn kind(&self) -> ErrorKind {
        self.case.kind()
    }

    /// What was being done.
    pub const fn operation(&self) -> Operation {
        self.case.operation()
    }

    /// The address, where known.
    pub fn address(&self) -> Option<&str> {
        self.detail.as_ref()?.address.as_deref()
    }

    /// The sentence that says why, where there is one.
    pub fn message(&self) -> Option<&str> {
        self.detail.as_ref()?.message.as_deref()
    }

    /// The classic error value, where the operation has one.
    pub const fn code(&self) -> Option<SmCode> {
        SmCode::of(self.operation(), self.kind())
    }

    /// True for [`ErrorKind::WouldBlock`].
    pub const fn is_would_block(&self) -> bool {
        self.case.is(ErrorKind::WouldBlock)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation().as_str())?;
        if let Some(address) = self.address() {
            write!(f, " {address}")?;
        }
        write!(f, ": {}", self.kind().describe())?;
        if let Some(message) = self.message() {
            write!(f, ": {message}")?;
        }
        if let Some(source) = self.detail.as_ref().and_then(|d| d.source.as_ref()) {
            write!(f, ": {source}")?;
        }
        if let Some(code) = self.code() {
            write!(f, " [{code}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.detail.as_ref()?.source.as_deref()? as _)
    }
}

/// A text of the user's or a peer's as an error quotes it: in quotation marks, escaped, and cut after 80
/// characters.
pub fn excerpt(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_table() {
        let code = |o, k| Error::new(o, k).code().map(SmCode::value);
        assert_eq!(code(Operation::Create, ErrorKind::Exists), Some(-1));
        assert_eq!(code(Operation::AllocLpsz, ErrorKind::InvalidName), Some(-2));
        assert_eq!(code(Operation::Open, ErrorKind::NotFound), Some(-3));
        assert_eq!(code(Operation::Connect, ErrorKind::NoOwner), Some(-3));
        assert_eq!(code(Operation::Create, ErrorKind::OutOfMemory), Some(-4));
        assert_eq!(code(Operation::Close, ErrorKind::StatFailed), Some(-5));
        assert_eq!(code(Operation::Receive, ErrorKind::Closed), None);
    }

    #[test]
    fn the_message_names_everything() {
        let error =
            Error::io(Operation::Create, "reserving 4 bytes", io::Error::from(io::ErrorKind::StorageFull))
                .at("shm://x");
        let text = error.to_string();
        for part in ["create shm://x", "out of memory", "reserving 4 bytes", "SM_MEM_FAIL (-4)"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn excerpts_are_short() {
        assert_eq!(excerpt("a\n"), r#""a\n""#);
        assert_eq!(excerpt(&"ä".repeat(1 << 20)).chars().count(), 83);
    }

    #[test]
    fn errors_are_small() {
        assert!(size_of::<Result<()>>() <= 16);
    }
}
