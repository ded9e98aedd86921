use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Duration;

use anyipc_core::{Interest, Source};
use rustix::event::{PollFd, PollFlags, Timespec};

fn fd((source, interest): &(Source, Interest)) -> PollFd<'_> {
    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
    };
    PollFd::from_borrowed_fd(source.as_fd(), flags)
}

/// Sleeps until a source is ready or hung up, a signal comes, or the time has passed.
pub(crate) fn poll(sources: &[(Source, Interest)], timeout: Duration) {
    // One source is what a channel sleeps on: nothing is allocated for it.
    let (mut one, mut many);
    let fds: &mut [PollFd<'_>] = match sources {
        [source] => {
            one = [fd(source)];
            &mut one
        }
        _ => {
            many = sources.iter().map(fd).collect::<Vec<_>>();
            &mut many
        }
    };
    let limit =
        Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
    if let Err(error) = rustix::event::poll(fds, Some(&limit))
        && error != rustix::io::Errno::INTR
    {
        // Out of memory or too many descriptors: the caller tries again, but not in a hot loop.
        std::thread::sleep(timeout.min(Duration::from_millis(1)));
    }
}

/// A waker that a thread can poll together with other sources.
pub(crate) struct Bell {
    rung: AtomicBool,
    inside: UnixStream,
    outside: Arc<UnixStream>,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (inside, outside) = UnixStream::pair()?;
        inside.set_nonblocking(true)?;
        outside.set_nonblocking(true)?;
        Ok(Self { rung: AtomicBool::new(false), inside, outside: Arc::new(outside) })
    }

    /// What to poll, for reading.
    pub(crate) fn source(&self) -> Option<Source> {
        Some(self.outside.clone())
    }

    /// Makes it silent again. True if it had been rung.
    pub(crate) fn silence(&self) -> bool {
        if !self.rung.load(Ordering::Acquire) {
            return false;
        }
        // The byte first: a ring between the two steps then writes a new one.
        let _ = (&*self.outside).read(&mut [0; 8]);
        self.rung.store(false, Ordering::SeqCst);
        true
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            let _ = (&self.inside).write(&[1]);
        }
    }
}
