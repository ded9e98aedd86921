//! What handlers and the server's loop share: jobs on their way to the threads that execute them,
//! answers on their way back, and what a running call must know of its client.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Operation, Peer, Result};

use crate::inbox::PeerId;

/// The most bytes of a stream's items that wait for room in the channel, or one item.
const UNSENT: usize = 1 << 20;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call to be executed.
pub(crate) struct Job<Request> {
    pub(crate) from: PeerId,
    pub(crate) id: u32,
    pub(crate) peer: Arc<Peer>,
    pub(crate) until: Option<Instant>,
    pub(crate) request: Request,
    /// The longest frame that the client takes, in bytes.
    pub(crate) max_message: usize,
    /// For a stream; `None` where one response is asked for.
    pub(crate) control: Option<Arc<Control>>,
}

/// A frame for a client.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) to: PeerId,
    pub(crate) id: u32,
    /// It ends the call.
    pub(crate) ends: bool,
    pub(crate) frame: Vec<u8>,
}

/// What the client lets a running call do.
#[derive(Debug)]
pub(crate) struct Control {
    state: Mutex<Flow>,
    changed: Condvar,
    /// How many items the client has room for at most.
    window: u16,
}

#[derive(Debug)]
struct Flow {
    cancelled: bool,
    /// Items that may be sent now, at most `window`.
    credit: u16,
    /// Bytes of items that wait for room in the channel.
    unsent: usize,
    /// The task that waits for credit.
    waker: Option<Waker>,
}

impl Control {
    pub(crate) fn new(window: u16) -> Self {
        let flow = Flow { cancelled: false, credit: window, unsent: 0, waker: None };
        Self { state: Mutex::new(flow), changed: Condvar::new(), window }
    }

    fn change(&self, change: impl FnOnce(&mut Flow)) {
        let mut flow = lock(&self.state);
        change(&mut flow);
        let waker = flow.waker.take();
        drop(flow);
        self.changed.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn cancel(&self) {
        self.change(|flow| flow.cancelled = true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        lock(&self.state).cancelled
    }

    /// The client has room for more items. False if that is more than it said at first.
    pub(crate) fn grant(&self, items: u16) -> bool {
        let mut fits = true;
        self.change(|flow| match flow.credit.checked_add(items) {
            Some(credit) if credit <= self.window => flow.credit = credit,
            _ => fits = false,
        });
        fits
    }

    /// An item of so many bytes was handed to the channel.
    pub(crate) fn note_sent(&self, bytes: usize) {
        self.change(|flow| flow.unsent = flow.unsent.saturating_sub(bytes));
    }

    /// Takes credit for one item if there is some. `WouldBlock` if not.
    fn try_take(flow: &mut Flow, bytes: usize) -> Result<()> {
        if flow.cancelled {
            return Err(Error::new(Operation::Serve, ErrorKind::Closed)
                .because("the client waits for this stream no more"));
        }
        if flow.credit == 0 || flow.unsent > 0 && flow.unsent + bytes > UNSENT {
            return Err(Error::new(Operation::Serve, ErrorKind::WouldBlock));
        }
        flow.credit -= 1;
        flow.unsent += bytes;
        Ok(())
    }

    /// Takes credit for one item of so many bytes. Blocks until there is some.
    pub(crate) fn take(&self, bytes: usize, until: Option<Instant>) -> Result<()> {
        let mut flow = lock(&self.state);
        loop {
            match Self::try_take(&mut flow, bytes) {
                Err(error) if error.is_would_block() => {}
                done => return done,
            }
            flow = match until {
                None => self.changed.wait(flow).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Error::new(Operation::Serve, ErrorKind::TimedOut));
                    }
                    let waited = self.changed.wait_timeout(flow, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// A stream was asked for.
    pub(crate) fn is_stream(&self) -> bool {
        self.window > 0
    }

    /// As [`take`](Self::take), for a task: after `WouldBlock` a change wakes it.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_take(&self, bytes: usize, waker: &Waker) -> Result<()> {
        let mut flow = lock(&self.state);
        Self::try_take(&mut flow, bytes).inspect_err(|_| flow.waker = Some(waker.clone()))
    }

    /// True if the call was cancelled; if not, a change wakes the task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_cancelled(&self, waker: &Waker) -> bool {
        let mut flow = lock(&self.state);
        if !flow.cancelled {
            flow.waker = Some(waker.clone());
        }
        flow.cancelled
    }
}

/// Answers of other threads for the server's loop.
pub(crate) struct Replies {
    replies: Mutex<VecDeque<Reply>>,
    /// There are some, or the server is to stop: the loop looks here first.
    any: AtomicBool,
    stop: AtomicBool,
    /// Ends the sleep of the loop.
    waker: Mutex<Option<Waker>>,
}

impl Replies {
    pub(crate) fn new() -> Self {
        Self {
            replies: Mutex::default(),
            any: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    /// What ends the sleep of the loop from now on.
    pub(crate) fn set_waker(&self, waker: Waker) {
        *lock(&self.waker) = Some(waker);
    }

    fn wake(&self) {
        // SeqCst: the loop arms its waker, then looks at `any`; here it is the other way round.
        self.any.store(true, Ordering::SeqCst);
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn push(&self, reply: Reply) {
        lock(&self.replies).push_back(reply);
        self.wake();
    }

    /// The server takes no more calls.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// True if there is something to look at.
    pub(crate) fn has_news(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    /// Everything that has come since the last call.
    pub(crate) fn take(&self) -> VecDeque<Reply> {
        self.any.store(false, Ordering::SeqCst);
        std::mem::take(&mut *lock(&self.replies))
    }
}

/// Jobs for the threads of a server.
pub(crate) struct Jobs<Request> {
    /// `None` once there will be no more.
    jobs: Mutex<Option<VecDeque<Job<Request>>>>,
    added: Condvar,
}

impl<Request> Jobs<Request> {
    pub(crate) fn new() -> Self {
        Self { jobs: Mutex::new(Some(VecDeque::new())), added: Condvar::new() }
    }

    pub(crate) fn push(&self, job: Job<Request>) {
        if let Some(jobs) = &mut *lock(&self.jobs) {
            jobs.push_back(job);
        }
        self.added.notify_one();
    }

    /// There will be no more.
    pub(crate) fn close(&self) {
        *lock(&self.jobs) = None;
        self.added.notify_all();
    }

    /// The next job. Blocks until there is one; `None` if there will be no more.
    pub(crate) fn next(&self) -> Option<Job<Request>> {
        let mut jobs = lock(&self.jobs);
        loop {
            if let Some(job) = jobs.as_mut()?.pop_front() {
                return Some(job);
            }
            jobs = self.added.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
