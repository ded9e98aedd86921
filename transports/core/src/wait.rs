//! Waiting: one protocol for threads, tasks and selects.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::{Error, ErrorKind, Operation, Result};

/// The object that a reactor registers and a thread polls: on Unix a file descriptor, on Windows
/// one or several `Handles`.
///
/// Shared, never duplicated: a duplicated descriptor would keep the peer from noticing a close.
/// Both halves of a channel may return the same one, which is then registered once. It stays open
/// as long as a clone of the `Arc` exists.
#[cfg(unix)]
pub type Source = Arc<dyn std::os::fd::AsFd + Send + Sync>;
/// The object that a reactor registers and a thread polls: on Unix a file descriptor, on Windows
/// one or several `Handles`.
#[cfg(windows)]
pub type Source = Arc<dyn Handles>;

/// Windows: waitable handles, such as events. Together they are one [`Source`], which is ready
/// while any of them is signalled.
///
/// The backend decides what signals them. The [`Interest`] of a wait selects nothing here.
#[cfg(windows)]
pub trait Handles: Send + Sync {
    /// Shows each handle. The set may change between two calls; each shown handle stays valid as
    /// long as the caller keeps a clone of its `Arc`.
    fn each(&self, see: &mut dyn FnMut(&Arc<std::os::windows::io::OwnedHandle>));
}

#[cfg(windows)]
impl<T: Handles + ?Sized> Handles for Arc<T> {
    fn each(&self, see: &mut dyn FnMut(&Arc<std::os::windows::io::OwnedHandle>)) {
        (**self).each(see);
    }
}

/// The readiness of a [`Source`] to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Readable, or hung up.
    Readable,
    /// Writable, or hung up.
    Writable,
}

/// The caller that is about to wait.
#[derive(Debug, Clone, Copy)]
pub enum Waiter<'a> {
    /// A thread that will only wait for this one thing. It calls [`Wait::park`] after
    /// [`Armed::Park`].
    Thread,
    /// A task, or a thread that waits for several things at once. It sleeps on this waker, and on
    /// the source if it is told [`Armed::Source`].
    Task(&'a Waker),
}

/// The answer of [`Wait::arm`]: how to wait.
///
/// Which answers a backend may give:
///
/// | answer | to a thread | to a task | the caller then |
/// |---|---|---|---|
/// | `Ready` | yes | yes | tries again at once |
/// | `Source` | yes | yes | sleeps until the source is ready |
/// | `Park` | yes | no | calls [`Wait::park`] |
/// | `Waker` | no | yes | sleeps until the waker is woken |
/// | `After` | yes | yes | sleeps for that time |
///
/// The caller never sleeps for longer than 100 ms without trying again, and stops at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    /// Do not wait: something changed, or the last try stopped with work left. Try again now.
    Ready,
    /// Wait until [`Wait::source`] is ready. The waker may be woken, too.
    Source(Interest),
    /// Call [`Wait::park`].
    Park,
    /// Wait until the waker is woken.
    Waker,
    /// Nothing tells of the event: try again after this time at the latest.
    After(Duration),
}

/// How a half, or a side of a queue, waits.
///
/// The caller tries; on `WouldBlock` it calls [`arm`](Self::arm); unless the answer is
/// [`Armed::Ready`] it sleeps as the answer says; then it tries again. After the wait, whatever
/// ended it, it calls [`disarm`](Self::disarm).
///
/// ```
/// # use std::time::Duration;
/// # use anyipc_core::{Armed, RecvHalf, Result, Waiter};
/// /// Receives one frame as a thread does. A real loop also sleeps on `Armed::Source`.
/// fn recv(half: &mut dyn RecvHalf, frame: &mut Vec<u8>) -> Result<()> {
///     loop {
///         match half.try_recv_into(frame) {
///             Err(error) if error.is_would_block() => {}
///             done => return done.map(drop),
///         }
///         match half.arm(Waiter::Thread)? {
///             Armed::Ready => {}
///             Armed::Park => half.park(Duration::from_millis(100)),
///             Armed::After(time) => std::thread::sleep(time),
///             Armed::Source(_) | Armed::Waker => std::thread::yield_now(),
///         }
///         half.disarm();
///     }
/// }
/// ```
///
/// # No wake-up is lost
/// `arm` announces the waiter first and then looks once more whether there is something to do, in
/// which case it answers `Ready`. The other side makes its change visible first and then looks for
/// an announced waiter. With a lock around both steps of each side that is enough. Without one,
/// each side needs a `SeqCst` fence between its two steps:
///
/// ```text
/// waiter (arm)                    other side (send, receive, close)
///   set the waiter flag             publish the change
///   fence(SeqCst)                   fence(SeqCst)
///   look again → Ready?             flag set? → clear it, wake
/// ```
///
/// A source takes the place of flag and wake: it is ready as long as there is something to do. A
/// process that is killed between its change and its wake-up loses the wake-up; the caller
/// therefore tries again after 100 ms in any case.
///
/// # Wakers
/// A [`Waker`] is foreign code, which may call the backend from its `clone`, `wake` or `drop`. A
/// backend does all three without holding a lock.
pub trait Wait {
    /// The source to sleep on after [`Armed::Source`]. The same one for the whole life of the half.
    ///
    /// # Errors
    /// `Unsupported` if [`arm`](Self::arm) never answers `Source` to tasks.
    fn source(&self) -> Result<Source> {
        Err(Error::new(Operation::Receive, ErrorKind::Unsupported))
    }

    /// True if the last call emptied the source and only a new readiness event can bring data. A
    /// task that is registered with the source may then skip both the retry and the 100 ms
    /// re-check.
    ///
    /// Answer false where that is not known, where another half waits for the same readiness of the
    /// source, and where the process that makes the source ready may die between its change and the
    /// event.
    fn drained(&self) -> bool {
        false
    }

    /// Prepares to sleep: once it has answered, what the half waits for ends the sleep. Arming
    /// again replaces the waiter.
    ///
    /// # Errors
    /// `Forked`, and what the system says. An error to arm is an error of the wait.
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed>;

    /// As [`arm`](Self::arm), for a task with a reactor that reports each readiness event once
    /// (edge-triggered), and has reported none since the last try. The backend need not clear a
    /// readiness that was reported before, as long as the source can report the next one.
    ///
    /// # Errors
    /// Those of [`arm`](Self::arm).
    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        self.arm(Waiter::Task(waker))
    }

    /// After an arming: the longest sleep, if time alone will end the wait before anything wakes
    /// the waiter. The caller sleeps no longer than this, then tries again.
    fn due(&self) -> Option<Duration> {
        None
    }

    /// Blocks the thread until it is woken, for at most `timeout`. May return early. Called only
    /// after [`Armed::Park`].
    fn park(&mut self, timeout: Duration) {
        std::thread::sleep(timeout);
    }

    /// Withdraws the waiter. Called after every wait (success, error, deadline, dropped future),
    /// also if nothing is armed, and any number of times. Where several waiters share what they
    /// wait for, the backend passes a wake-up that already went to this one on to the next.
    fn disarm(&mut self) {}
}
