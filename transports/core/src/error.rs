mod code;
mod into_io;
mod kind;

use std::fmt;
use std::io;
use std::num::NonZero;

pub use code::SmCode;
pub use kind::{ErrorKind, Operation};

/// The result of every fallible call in `anyipc`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What failed, at which address, why, and what would have worked.
///
/// An error without details ([`Error::new`]) allocates nothing. `WouldBlock`, `Closed` and
/// `TimedOut`, which busy loops meet, are made that way.
///
/// An error is two words, so that a `Result<()>` is returned in registers. Returned in memory, it
/// would be written in parts and then read whole: such a load waits until all earlier stores have
/// left the store buffer, and so for the cache lines of the other side.
pub struct Error {
    case: Case,
    detail: Option<Box<Detail>>,
}

/// Operation and kind in one number, a byte each; plus one, so that it is never zero. A whole word:
/// the compiler copies a `Result` in pieces of the fields of both variants, and a short one here
/// would cut the words of a value beside it in two.
#[derive(Clone, Copy)]
struct Case(NonZero<usize>);

impl Case {
    const fn new(operation: Operation, kind: ErrorKind) -> Self {
        Self(NonZero::<usize>::MIN.saturating_add((operation as usize) << 8 | kind as usize))
    }

    const fn operation(self) -> Operation {
        Operation::ALL[(self.0.get() - 1) >> 8]
    }

    const fn is(self, kind: ErrorKind) -> bool {
        (self.0.get() - 1) & 0xff == kind as usize
    }

    const fn kind(self) -> ErrorKind {
        ErrorKind::ALL[(self.0.get() - 1) & 0xff]
    }
}

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

    /// A failure of the operating system. The kind follows from the error; `what` names the step
    /// that failed.
    pub fn io(operation: Operation, what: &str, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        Self::new(operation, ErrorKind::of_io(&error)).because(what).from_source(error)
    }

    /// Adds the sentence that says why it failed, and what would have worked.
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

    /// Adds the address, unless the error has one.
    #[must_use]
    pub fn at(mut self, address: impl fmt::Display) -> Self {
        let detail = self.detail();
        if detail.address.is_none() {
            detail.address = Some(address.to_string());
        }
        self
    }

    /// The same error of another operation, which the classic value depends on.
    #[must_use]
    pub fn during(mut self, operation: Operation) -> Self {
        self.case = Case::new(operation, self.kind());
        self
    }

    /// The same error with another kind.
    #[must_use]
    pub fn as_kind(mut self, kind: ErrorKind) -> Self {
        self.case = Case::new(self.operation(), kind);
        self
    }

    fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    /// The kind, by which a program decides what to do.
    pub const fn kind(&self) -> ErrorKind {
        self.case.kind()
    }

    /// The operation that failed.
    pub const fn operation(&self) -> Operation {
        self.case.operation()
    }

    /// The address, if known.
    pub fn address(&self) -> Option<&str> {
        self.detail.as_ref()?.address.as_deref()
    }

    /// The sentence that says why, if there is one.
    pub fn message(&self) -> Option<&str> {
        self.detail.as_ref()?.message.as_deref()
    }

    /// The classic error value, if the operation has one for this kind.
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

/// Quotes a text of a user or a peer for an error: in quotation marks, escaped, and cut after 80
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
        let error = Error::io(
            Operation::Create,
            "reserving 4 bytes",
            io::Error::from(io::ErrorKind::StorageFull),
        )
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
