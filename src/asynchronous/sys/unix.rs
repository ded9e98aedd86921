use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use anyipc_core::{Error, Interest, Operation, Result, Source};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Id;

/// The reactor is edge-triggered, and also reports what it finds at registration.
pub(crate) const EDGES: bool = true;

/// A source that is registered with the reactor of a runtime.
#[derive(Debug)]
pub(crate) struct Registered {
    fd: AsyncFd<Fd>,
    runtime: Id,
}

/// Holds the source, and with it the descriptor, while it is registered.
struct Fd {
    raw: RawFd,
    _source: Source,
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.raw
    }
}

impl std::fmt::Debug for Fd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.raw.fmt(f)
    }
}

impl Registered {
    pub(crate) fn new(source: Source, runtime: Id) -> Result<Self> {
        let fd = || Fd { raw: source.as_fd().as_raw_fd(), _source: source.clone() };
        // Deprecated because it trusts `as_raw_fd`. Ours returns the same number at every call,
        // and keeps the source open until the `AsyncFd` drops it. The successor asks for this
        // promise by an unsafe block, which this crate forbids.
        #[allow(deprecated)]
        let registered = AsyncFd::new(fd()).or_else(|error| match error.kind() {
            // A set of descriptors is never writable, and macOS refuses to wait for that.
            io::ErrorKind::InvalidInput => {
                AsyncFd::with_interest(fd(), tokio::io::Interest::READABLE)
            }
            _ => Err(error),
        });
        registered
            .map(|fd| Self { fd, runtime })
            .map_err(|error| Error::io(Operation::Connect, "registering with the runtime", error))
    }

    /// True if this is the source, registered with this runtime.
    pub(crate) fn is(&self, source: &Source, runtime: Id) -> bool {
        self.fd.as_raw_fd() == source.as_fd().as_raw_fd() && self.runtime == runtime
    }
}

/// Waits for a readiness and takes it: the next call waits for a new one.
pub(crate) async fn wait_ready(registered: Arc<Registered>, interest: Interest) -> Result<()> {
    let guard = match interest {
        Interest::Readable => registered.fd.readable().await,
        Interest::Writable => registered.fd.writable().await,
    };
    match guard {
        Ok(mut guard) => {
            guard.clear_ready();
            Ok(())
        }
        Err(error) => Err(Error::io(Operation::Connect, "waiting in the runtime", error)),
    }
}
