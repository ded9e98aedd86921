use std::io;
use std::os::fd::AsFd;

use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::Fd;

/// What a [`Set`](crate::Set) watches.
pub trait Watched: AsFd {}

impl<T: AsFd> Watched for T {}

/// A descriptor that is kept open to keep its number free for another.
#[derive(Debug)]
pub struct Spare {
    _fd: Option<Fd>,
}

impl Spare {
    pub(super) fn like(fd: &Fd) -> io::Result<Self> {
        match Fd::make(|| Ok(fcntl_dupfd_cloexec(fd, 0)?)) {
            Ok(fd) => Ok(Self { _fd: Some(fd) }),
            Err(error) if is_shortage(&error) => Err(error),
            // A kind of file that cannot be duplicated: nothing is kept.
            Err(_) => Ok(Self { _fd: None }),
        }
    }
}

/// True if descriptors or memory are short at the moment.
pub fn is_shortage(error: &io::Error) -> bool {
    lacks_descriptors(error)
        || matches!(Errno::from_io_error(error), Some(Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC))
}

/// True if descriptors are short at the moment.
pub fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
