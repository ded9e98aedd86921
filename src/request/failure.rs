//! How a call fails on the server's side, and what the client makes of it.

use std::fmt;

use anyipc_core::{Error, ErrorKind, Operation};

/// The longest text of a failure that travels, in bytes.
const MAX_TEXT: usize = 1000;

/// Why a call has failed at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The service says so, with a number and a text of its own.
    Service = 0,
    /// The service's code panicked. Other calls are not affected.
    Panicked = 1,
    /// The client cancelled the call.
    Cancelled = 2,
    /// The time for the call was over before it was answered.
    Late = 3,
    /// The client has too many calls in flight. The call was not begun.
    Busy = 4,
    /// The server stops. The call was not begun.
    Stopping = 5,
    /// The request could not be read as the service's type, or the response not be written.
    Codec = 6,
    /// One response was asked for, and the service answers with a stream.
    Stream = 7,
}

impl Cause {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        const ALL: [Cause; 8] = [
            Cause::Service,
            Cause::Panicked,
            Cause::Cancelled,
            Cause::Late,
            Cause::Busy,
            Cause::Stopping,
            Cause::Codec,
            Cause::Stream,
        ];
        ALL.get(usize::from(number)).copied()
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::Service | Self::Panicked | Self::Cancelled => ErrorKind::Failed,
            Self::Late => ErrorKind::TimedOut,
            Self::Busy | Self::Stopping => ErrorKind::Busy,
            Self::Codec => ErrorKind::Codec,
            Self::Stream => ErrorKind::Unsupported,
        }
    }
}

/// How a service says that a call has failed: a text, and a number for programs.
///
/// A handler returns it as its error. The client's call returns an [`Error`] of the kind `Failed`,
/// and [`Failure::of`] finds the failure in it:
///
/// ```
/// use anyipc::{Error, ErrorKind, Failure};
/// # fn call() -> Result<(), Error> { Err(Failure::new(404, "no such file").into()) }
/// let error = call().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Failed);
/// assert_eq!(Failure::of(&error).unwrap().code(), 404);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    cause: Cause,
    code: i64,
    text: String,
}

impl Failure {
    /// A failure of the service. `code` is for programs, and means what the service says; of `text`
    /// at most 1000 bytes travel.
    pub fn new(code: i64, text: impl Into<String>) -> Self {
        Self::from_wire(Cause::Service, code, text.into())
    }

    pub(crate) fn because(cause: Cause, text: impl Into<String>) -> Self {
        Self::from_wire(cause, 0, text.into())
    }

    pub(crate) fn from_wire(cause: Cause, code: i64, mut text: String) -> Self {
        while text.len() > MAX_TEXT {
            let end = (0..=MAX_TEXT).rev().find(|&end| text.is_char_boundary(end));
            text.truncate(end.unwrap_or(0));
        }
        Self { cause, code, text }
    }

    /// The failure in the error of a call: `None` if the call failed in another way.
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// Why the call has failed. `Service` for what a service returned.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The service's number; 0 for every other cause.
    pub fn code(&self) -> i64 {
        self.code
    }

    /// The service's text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            0 => f.write_str(&self.text),
            code => write!(f, "{} ({code})", self.text),
        }
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::new(0, text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::new(0, text)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(0, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(0, error.to_string())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(Operation::Call, failure.cause.kind()).from_source(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let failure = Failure::new(1, "ä".repeat(1000));
        assert_eq!(failure.text(), "ä".repeat(500));
        assert_eq!(Failure::new(1, format!("x{}", "ä".repeat(1000))).text().len(), 999);
    }

    #[test]
    fn an_error_keeps_the_failure() {
        let error = Error::from(Failure::new(7, "no disk"));
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert_eq!(Failure::of(&error), Some(&Failure::new(7, "no disk")));
        assert!(error.to_string().contains("no disk (7)"), "{error}");
        assert_eq!(Failure::of(&Error::new(Operation::Call, ErrorKind::Closed)), None);
    }
}
