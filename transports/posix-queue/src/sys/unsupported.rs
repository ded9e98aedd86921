use std::io;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_os::Fd;

use super::Status;
use crate::record::Shape;

fn none<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn check_platform(operation: Operation) -> Result<()> {
    Err(Error::new(operation, ErrorKind::Unsupported).because(
        "posix-mq:// is not built for this platform: only Linux has such queues; take mq://",
    ))
}

pub(crate) fn open(_name: &str, _shape: &Shape, _exclusive: bool) -> io::Result<Fd> {
    none()
}

pub(crate) fn unlink(_name: &str) -> io::Result<()> {
    none()
}

pub(crate) fn status(_fd: &Fd) -> io::Result<Status> {
    none()
}

pub(crate) fn bytes(_fd: &Fd) -> io::Result<u64> {
    none()
}

pub(crate) fn send(_fd: &Fd, _priority: u32, _message: &[u8]) -> io::Result<()> {
    none()
}

pub(crate) fn receive(_fd: &Fd, _buffer: &mut [u8]) -> io::Result<(usize, u32)> {
    none()
}

pub(crate) fn namespace() -> io::Result<u64> {
    none()
}

pub(crate) fn limit(_file: &str) -> Option<usize> {
    None
}

pub(crate) fn explain(_error: &io::Error, _shape: &Shape) -> (ErrorKind, String) {
    (ErrorKind::Unsupported, "posix-mq:// is not built for this platform".to_owned())
}
