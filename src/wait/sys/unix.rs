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

/// Sleeps until a source is ready or hung up, a signal arrives, or the time has passed.
pub(crate) fn poll(sources: &[(Source, Interest)], timeout: Duration) {
    // A channel sleeps on one source: no allocation for it.
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
        // No memory or too many descriptors. The caller tries again; the pause keeps it from a busy
        // loop.
        std::thread::sleep(timeout.min(Duration::from_millis(1)));
    }
}

/// A waker that a thread polls beside other sources: a pair of sockets with one byte in it.
pub(crate) struct PolledWaker {
    /// The byte was written or is about to be: no other wake-up writes one.
    woken: AtomicBool,
    write_end: UnixStream,
    read_end: Arc<UnixStream>,
}

impl PolledWaker {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (write_end, read_end) = UnixStream::pair()?;
        write_end.set_nonblocking(true)?;
        read_end.set_nonblocking(true)?;
        Ok(Self { woken: AtomicBool::new(false), write_end, read_end: Arc::new(read_end) })
    }

    /// What to poll, for reading.
    pub(crate) fn source(&self) -> Source {
        self.read_end.clone()
    }

    /// Takes back the wake-up, if there was one.
    pub(crate) fn reset(&self) {
        if self.woken.load(Ordering::Acquire) {
            // The byte first: in the other order, a wake-up in between loses its byte and leaves
            // the flag set. A byte that is still to be written keeps the flag, so that the next
            // reset takes the byte.
            if (&*self.read_end).read(&mut [0; 8]).is_ok() {
                self.woken.store(false, Ordering::SeqCst);
            }
        }
    }
}

impl Wake for PolledWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            let _ = (&self.write_end).write(&[1]);
        }
    }
}
