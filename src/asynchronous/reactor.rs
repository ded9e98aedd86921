//! Sources as the runtime's reactor knows them. Each is registered once, and all that wait for it
//! share it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyipc_core::{Error, ErrorKind, Operation, Result, Source};
use tokio::runtime::{Handle, Id};

pub(super) use fd::{EDGES, Registered, wait_ready};

/// The registered sources of a channel or queue. Its halves may have two sources, and may wait in
/// two runtimes.
#[derive(Debug, Clone, Default)]
pub(super) struct Reactor(Arc<Mutex<Vec<Arc<Registered>>>>);

/// The source of an endpoint's attempts. It is registered only while one of them waits, because the
/// source of a finished attempt becomes its channel's.
#[derive(Debug, Default)]
pub(crate) struct SharedReactor(Mutex<Weak<Registered>>);

/// A [`Reactor`] or a [`SharedReactor`].
pub(super) trait Register: Sync {
    fn register(&self, source: Source) -> Result<Arc<Registered>>;
}

impl Register for Reactor {
    fn register(&self, source: Source) -> Result<Arc<Registered>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registered) = all.iter().find(|registered| registered.is(&source)) {
            return Ok(Arc::clone(registered));
        }
        // Without the sources that nothing waits for: they may be of a runtime that has ended.
        all.retain(|registered| Arc::strong_count(registered) > 1);
        let registered = Arc::new(Registered::new(source)?);
        all.push(Arc::clone(&registered));
        Ok(registered)
    }
}

impl Register for SharedReactor {
    fn register(&self, source: Source) -> Result<Arc<Registered>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registered) = slot.upgrade().filter(|registered| registered.is(&source)) {
            return Ok(registered);
        }
        let registered = Arc::new(Registered::new(source)?);
        *slot = Arc::downgrade(&registered);
        Ok(registered)
    }
}

/// Returns `Unsupported` if there is no runtime to register with.
pub(super) fn check_runtime() -> Result<()> {
    runtime().map(drop)
}

/// The runtime of the caller. A source that was registered with another one may have ended with it.
fn runtime() -> Result<Id> {
    Handle::try_current().map(|runtime| runtime.id()).map_err(|error| {
        Error::new(Operation::Connect, ErrorKind::Unsupported)
            .because("async calls need a tokio runtime around them")
            .from_source(error)
    })
}

#[cfg(unix)]
mod fd {
    use std::io;
    use std::os::fd::{AsRawFd, RawFd};
    use std::sync::Arc;

    use anyipc_core::{Error, Interest, Operation, Result, Source};
    use tokio::io::unix::AsyncFd;
    use tokio::runtime::Id;

    /// The reactor is edge-triggered, and also reports what it finds at registration.
    pub(in super::super) const EDGES: bool = true;

    #[derive(Debug)]
    pub(in super::super) struct Registered {
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
        pub(super) fn new(source: Source) -> Result<Self> {
            let runtime = super::runtime()?;
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
            registered.map(|fd| Self { fd, runtime }).map_err(|error| {
                Error::io(Operation::Connect, "registering with the runtime", error)
            })
        }

        pub(super) fn is(&self, source: &Source) -> bool {
            self.fd.as_raw_fd() == source.as_fd().as_raw_fd()
                && super::runtime().is_ok_and(|runtime| runtime == self.runtime)
        }
    }

    /// Waits for a readiness and takes it: the next call waits for a new one.
    pub(in super::super) async fn wait_ready(
        registered: Arc<Registered>,
        interest: Interest,
    ) -> Result<()> {
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
}

#[cfg(windows)]
mod fd {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Poll;

    use anyipc_core::{Error, Interest, Operation, Result, Source};
    use anyipc_os::Readiness;

    /// A handle is ready while it is signalled (level-triggered).
    pub(in super::super) const EDGES: bool = false;

    /// The runtime has no reactor for handles. The system's pool of waiting threads wakes the task.
    pub(in super::super) struct Registered(Source);

    impl std::fmt::Debug for Registered {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Arc::as_ptr(&self.0).fmt(f)
        }
    }

    impl Registered {
        pub(super) fn new(source: Source) -> Result<Self> {
            super::check_runtime()?;
            Ok(Self(source))
        }

        pub(super) fn is(&self, source: &Source) -> bool {
            Arc::ptr_eq(&self.0, source)
        }
    }

    /// Waits for a readiness.
    pub(in super::super) async fn wait_ready(
        registered: Arc<Registered>,
        _interest: Interest,
    ) -> Result<()> {
        let mut watched: Option<Readiness> = None;
        poll_fn(|cx| {
            let watched = match &mut watched {
                Some(watched) => watched,
                none => match Readiness::new(&registered.0, cx.waker()) {
                    Ok(begun) => none.insert(begun),
                    Err(error) => {
                        return Poll::Ready(Err(Error::io(
                            Operation::Connect,
                            "waiting for a handle",
                            error,
                        )));
                    }
                },
            };
            if watched.poll(cx.waker()) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}
