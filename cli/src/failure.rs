use std::fmt;
use std::io;

use anyipc::{ErrorKind, SmCode};
use serde::Serialize;

/// The result of every command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The reason for a command to end early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's error.
    Ipc(anyipc::Error),
    /// A file or stream of this process failed; the text says which.
    Io(String, io::Error),
    /// The command line is wrong.
    Usage(String),
    /// Ctrl-C, or a request to terminate.
    Interrupted,
    /// The reader of the standard output has left.
    BrokenPipe,
}

/// An error as `--json` prints it.
#[derive(Serialize)]
struct Body<'a> {
    kind: &'static str,
    code: Option<i32>,
    name: Option<&'static str>,
    operation: Option<&'static str>,
    address: Option<&'a str>,
    message: String,
}

impl Failure {
    /// The process's exit code: 1 failed, 2 usage, 130 interrupted.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Ipc(error) => match error.kind() {
                ErrorKind::InvalidAddress | ErrorKind::InvalidName | ErrorKind::InvalidOption => 2,
                _ => 1,
            },
            Self::Io(..) => 1,
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
            // `anyipc … | head` succeeds.
            Self::BrokenPipe => 0,
        }
    }

    /// The error as `--json` prints it; `None` if there is nothing to print.
    pub(crate) fn body(&self) -> Option<impl Serialize> {
        let body = |kind, message| Body {
            kind,
            code: None,
            name: None,
            operation: None,
            address: None,
            message,
        };
        match self {
            Self::Ipc(error) => Some(Body {
                kind: error.kind().as_str(),
                code: error.code().map(SmCode::value),
                name: error.code().map(SmCode::name),
                operation: Some(error.operation().as_str()),
                address: error.address(),
                message: error.to_string(),
            }),
            Self::Io(_, error) => Some(body(ErrorKind::of_io(error).as_str(), self.to_string())),
            Self::Usage(_) => Some(body("usage", self.to_string())),
            Self::Interrupted => Some(body("interrupted", self.to_string())),
            Self::BrokenPipe => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipc(error) => error.fmt(f),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Usage(text) => f.write_str(text),
            Self::Interrupted => f.write_str("interrupted"),
            Self::BrokenPipe => f.write_str("the reader of the output has left"),
        }
    }
}

impl From<anyipc::Error> for Failure {
    fn from(error: anyipc::Error) -> Self {
        Self::Ipc(error)
    }
}
