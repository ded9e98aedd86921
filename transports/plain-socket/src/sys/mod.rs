//! What the system has to do, behind the same names on each platform.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use unsupported as system;

pub(crate) use system::{SocketFile, bind, connect, is_listed};

use std::io;

use anyipc_core::{Error, ErrorKind, Name, Operation};

/// The error of a connect: `absent` if no program listens there.
pub(crate) fn unreachable(
    name: &Name,
    operation: Operation,
    absent: ErrorKind,
    error: io::Error,
) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Error::new(operation, absent).because("no program listens there")
        }
        io::ErrorKind::InvalidInput => bad_name(name, operation, error),
        _ => Error::io(operation, &format!("connecting to {name}"), error),
    }
}

/// The error for a name that no socket can have.
pub(crate) fn bad_name(name: &Name, operation: Operation, error: io::Error) -> Error {
    Error::new(operation, ErrorKind::InvalidName)
        .because(format!(
            "{} bytes: a socket's name has 107 at most, a path 108",
            name.as_str().len()
        ))
        .from_source(error)
}
