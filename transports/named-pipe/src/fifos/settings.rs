use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Options, Result, keys};
use anyipc_os::{Dir, Scope};

use crate::fifos::sys;

/// What a FIFO may come to hold unless the address says otherwise: bytes per direction. It begins with the system's usual
/// size, 64 KiB, and grows where long frames need it.
const DEFAULT_CAPACITY: usize = 256 << 10;
/// The smallest FIFO.
const PAGE: usize = 4096;

/// What the address says, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) dir: Arc<Dir>,
    /// Bytes per direction, if it says so.
    capacity: Option<usize>,
    pub(crate) adopt: bool,
}

impl Settings {
    pub(crate) fn read(options: &Options, operation: Operation) -> Result<Self> {
        if options.text(keys::SCOPE) == Some("system") {
            return Err(Error::new(operation, ErrorKind::Unsupported).because(
                "scope=system: the kernel does not say who is at the other end of a named pipe, so only the \
                 private directory keeps others out; use scope=user, or local://",
            ));
        }
        let dir = Arc::new(Dir::open(Scope::User, operation)?);
        let capacity = match options.number(keys::CAPACITY) {
            None => None,
            Some(bytes) => Some(round(bytes, sys::largest()).map_err(|largest| {
                Error::new(operation, ErrorKind::InvalidOption).because(format!(
                    "capacity={bytes} is out of range: 1 to {largest} bytes (/proc/sys/fs/pipe-max-size), rounded \
                     up to a power of two of {PAGE} or more"
                ))
            })?),
        };
        let adopt = options.text(keys::CREATE) == Some("open_or_create");
        Ok(Self { dir, capacity, adopt })
    }

    /// The size of an owner's connections, if it is not the usual one.
    pub(crate) fn resized(&self) -> Option<usize> {
        self.capacity
    }

    /// What the owner says about itself: a capacity it always has.
    pub(crate) fn owner_hello(&self, hello: &Hello) -> Hello {
        self.hello(hello, self.capacity.unwrap_or(DEFAULT_CAPACITY))
    }

    /// What an opener says about itself: a capacity only if it insists on one.
    pub(crate) fn opener_hello(&self, hello: &Hello) -> Hello {
        self.hello(hello, self.capacity.unwrap_or(0))
    }

    fn hello(&self, hello: &Hello, ours: usize) -> Hello {
        let asked =
            round(hello.capacity, usize::MAX).map_or(hello.capacity, |rounded| rounded as u64);
        let capacity = if hello.capacity == 0 { ours as u64 } else { asked };
        Hello { capacity, ..hello.clone() }
    }
}

/// What the system makes of a size; the largest that is allowed if that is less.
fn round(bytes: u64, largest: usize) -> std::result::Result<usize, usize> {
    let rounded = usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes > 0)
        .and_then(usize::checked_next_power_of_two);
    rounded.map(|size| size.max(PAGE)).filter(|size| *size <= largest).ok_or(largest)
}
