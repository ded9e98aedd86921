use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Options, Result, keys};
use anyipc_os::{Dir, Scope};

use crate::fifos::sys;

/// The size to which a FIFO may grow unless the address says otherwise, in bytes per direction. It
/// begins with the system's default of 64 KiB, and grows when long frames need it.
const DEFAULT_CAPACITY: usize = 256 << 10;
/// The options of an address, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) dir: Arc<Dir>,
    /// Bytes per direction, if the address says how many.
    capacity: Option<usize>,
    /// True for `create=open_or_create`.
    pub(crate) adopt: bool,
}

impl Settings {
    pub(crate) fn read(options: &Options, operation: Operation) -> Result<Self> {
        if options.text(keys::SCOPE) == Some("system") {
            return Err(Error::new(operation, ErrorKind::Unsupported).because(
                "scope=system: the kernel does not say which user is at the other end of a named \
                 pipe, so only the private directory keeps others out; use scope=user, or local://",
            ));
        }
        let dir = Arc::new(Dir::open(Scope::User, operation)?);
        let capacity = match options.number(keys::CAPACITY) {
            None => None,
            Some(bytes) => Some(round(bytes, sys::largest()).map_err(|largest| {
                Error::new(operation, ErrorKind::InvalidOption).because(format!(
                    "capacity={bytes} is out of range: 1 to {largest} bytes \
                     (/proc/sys/fs/pipe-max-size), rounded up to a power of two of {} or more",
                    sys::page_size()
                ))
            })?),
        };
        let adopt = options.text(keys::CREATE) == Some("open_or_create");
        Ok(Self { dir, capacity, adopt })
    }

    /// The size of an owner's FIFOs, if the address says it.
    pub(crate) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    /// The owner's hello. It always has a capacity.
    pub(crate) fn owner_hello(&self, hello: &Hello) -> Hello {
        self.hello(hello, self.capacity.unwrap_or(DEFAULT_CAPACITY))
    }

    /// The opener's hello. It has a capacity only if the address insists on one.
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

/// The size that the system makes of `bytes`: a page or more. The error is the largest size, if
/// that is less or none fits.
fn round(bytes: u64, largest: usize) -> std::result::Result<usize, usize> {
    let rounded = usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes > 0)
        .and_then(usize::checked_next_power_of_two);
    rounded.map(|size| size.max(sys::page_size())).filter(|size| *size <= largest).ok_or(largest)
}
