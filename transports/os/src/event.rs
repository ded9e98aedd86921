use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use anyipc_core::Source;

/// Signalled from [`set`](Self::set) to [`reset`](Self::reset): a waker that a thread sleeps on
/// beside other sources. On every Unix a pair of sockets with one byte in it.
#[derive(Debug)]
pub struct Event {
    /// The byte was written or is about to be: no other call of `set` writes one.
    is_set: AtomicBool,
    write_end: UnixStream,
    read_end: UnixStream,
}

impl Event {
    /// One that is not signalled.
    pub fn new() -> io::Result<Arc<Self>> {
        let (write_end, read_end) = UnixStream::pair()?;
        write_end.set_nonblocking(true)?;
        read_end.set_nonblocking(true)?;
        Ok(Arc::new(Self { is_set: AtomicBool::new(false), write_end, read_end }))
    }

    /// Signals it.
    pub fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            let _ = (&self.write_end).write(&[1]);
        }
    }

    /// Ends that. A waiter calls this before it arms, and looks after that: a `set` during this
    /// call may be lost, but what happened before it is visible afterwards.
    pub fn reset(&self) {
        // The byte first: in the other order, a `set` in between loses its byte and leaves the flag
        // set. A byte that is still to be written keeps the flag, so that the next reset takes the
        // byte.
        if self.is_set.load(Ordering::Acquire) && (&self.read_end).read(&mut [0; 8]).is_ok() {
            // A swap, not a store: it reads the flag of a `set` in between, and so acquires what
            // happened before that.
            self.is_set.swap(false, Ordering::AcqRel);
        }
    }

    /// What to sleep on, for reading.
    pub fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }
}

impl Wake for Event {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}
