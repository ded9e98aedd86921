use std::fmt::Debug;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::{Error, ErrorKind, Flags, Operation, Result};

/// What a reactor registers: the file descriptor (on Windows the handles) that tells of readiness.
///
/// Shared, never duplicated: both halves of a channel may return the same one, and it is then registered
/// once. It lives as long as anyone holds it.
#[cfg(unix)]
pub type Source = Arc<dyn std::os::fd::AsFd + Send + Sync>;
/// What a reactor registers: the file descriptor (on Windows the handles) that tells of readiness.
#[cfg(windows)]
pub type Source = Arc<dyn Handles>;

/// Handles that a thread can wait for, such as events: together they are one [`Source`], ready while one of them is
/// signalled. What they are signalled for is settled by whoever made them, whatever the [`Interest`].
#[cfg(windows)]
pub trait Handles: Send + Sync {
    /// Shows each of them, as they are at this moment.
    fn each(&self, see: &mut dyn FnMut(&Arc<std::os::windows::io::OwnedHandle>));
}

#[cfg(windows)]
impl<T: Handles + ?Sized> Handles for Arc<T> {
    fn each(&self, see: &mut dyn FnMut(&Arc<std::os::windows::io::OwnedHandle>)) {
        (**self).each(see);
    }
}

/// Which readiness of a [`Source`] to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Readable, or hung up.
    Readable,
    /// Writable, or hung up.
    Writable,
}

/// Who is about to wait.
#[derive(Debug, Clone, Copy)]
pub enum Waiter<'a> {
    /// A thread that will call [`Wait::park`], or sleep on the source, and do nothing else.
    Thread,
    /// A task, or a thread that waits for many things: it sleeps on the source and on this waker.
    Task(&'a Waker),
}

/// How to wait, after [`Wait::arm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    /// Do not wait: try again now.
    Ready,
    /// Wait until the source is ready.
    Source(Interest),
    /// Call [`Wait::park`] (only ever said to [`Waiter::Thread`]).
    Park,
    /// Wait for the waker (only ever said to [`Waiter::Task`]).
    Waker,
    /// Try again after this time at the latest.
    After(Duration),
}

/// Waiting, as one protocol for threads, tasks and selects.
///
/// The waiter tries, arms, tries once more (`arm` does that and says `Ready`), and only then sleeps. A
/// backend sets its waiter flag, fences (`SeqCst`), and re-checks; the other side publishes, fences, and
/// swaps the flag before it wakes: no wake-up is lost. One that is lost because the waker was killed is made
/// good by the caller, who slices every sleep.
///
/// A [`Waker`] is foreign code: a backend clones, wakes and drops one only while it holds no lock, since that code may
/// call the backend again.
pub trait Wait {
    /// What to register with a reactor. The same for the half's whole life. `Unsupported` if the half only
    /// ever answers [`Armed::Waker`] or [`Armed::After`] to tasks.
    fn source(&self) -> Result<Source> {
        Err(Error::new(Operation::Receive, ErrorKind::Unsupported))
    }

    /// Whether the last try took all there was, and nothing but a new readiness of the source, which this half shares
    /// with none that waits for the same readiness, can make the next one worth it: who listens to the source and has
    /// heard nothing since need neither try nor look again after a while. False where that is not known, and where
    /// who makes the source ready may die before it does.
    fn drained(&self) -> bool {
        false
    }

    /// Prepares to sleep: after this, whatever the half waits for wakes the waiter.
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed>;

    /// As [`arm`](Self::arm), for a task that listens to the source already, by a reactor that tells of each news once
    /// (edge-triggered), and has heard nothing since its last try: what the source told before need not be taken off
    /// it, as long as it can tell more.
    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        self.arm(Waiter::Task(waker))
    }

    /// Sleeps until woken, for `timeout` at most. May return early without a reason. Called only after
    /// [`Armed::Park`].
    fn park(&mut self, timeout: Duration) {
        std::thread::sleep(timeout);
    }

    /// Takes an arm back. The caller calls it on every way out of a wait, also after a success, an error or a dropped
    /// future, and any number of times. Where several waiters share what they wait for, a backend passes on a wake-up
    /// that was meant for this one: the next waiter is woken instead.
    fn disarm(&mut self) {}
}

/// The sending half of a channel. Dropping it closes the direction: the peer receives everything sent, then
/// `Closed`.
pub trait SendHalf: Wait + Debug + Send + 'static {
    /// The longest frame, in bytes. Never less than before.
    fn max_frame(&self) -> usize;

    /// What longer messages that are copied in are taken apart into, in bytes: less than a frame may be better, where
    /// the other side copies one out while the next is copied in.
    fn fragment(&self) -> usize {
        self.max_frame()
    }

    /// A message of so many bytes, more than a frame takes, is about to be sent, and more like it may follow: the
    /// half may prepare for longer frames.
    fn reserve(&mut self, _len: usize) {}

    /// Sends one frame, written in place: `fill` gets `max` writable bytes of unspecified content and
    /// returns how many it used; `None` or a panic sends nothing. Never blocking.
    ///
    /// `Ok` means that the kernel or the shared memory has the whole frame, so it arrives though this process is killed
    /// next. After any error the receiver gets nothing of it. Only between [`cork`](Self::cork) and
    /// [`try_flush`](Self::try_flush) may a frame wait in this half.
    ///
    /// # Errors
    /// `WouldBlock` (full), `Closed` (the receiver left), `PeerGone` (it died), `MessageTooLarge`
    /// (`max` over [`max_frame`](Self::max_frame)), `Forked`. After an error `fill` was not called, or its
    /// frame was not sent.
    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()>;

    /// Sends one frame.
    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.try_send_with(payload.len(), flags, &mut |frame| {
            frame[..payload.len()].copy_from_slice(payload);
            Some(payload.len())
        })
    }

    /// Whether the receiver is still there, as far as this half can tell without sending anything. Never blocking. False
    /// after it has left or died; so a connection of which the other direction has ended is not kept for ever.
    fn is_heard(&mut self) -> bool {
        match self.try_send_with(0, Flags::NONE, &mut |_| None) {
            Err(error) => error.is_would_block(),
            Ok(()) => true,
        }
    }

    /// More frames follow at once: until the next [`try_flush`](Self::try_flush), frames may stay in this
    /// half, up to some 64 KiB, so that many go out together. A send without room, `WouldBlock`, is followed
    /// by a flush, too.
    fn cork(&mut self) {}

    /// Ends a batch: sends what a [`cork`](Self::cork) holds back; `WouldBlock` while some is left.
    fn try_flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The receiving half of a channel. Dropping it tells the sender that nobody listens: `Closed`.
pub trait RecvHalf: Wait + Debug + Send + 'static {
    /// Receives one frame and shows it to `read`, exactly once on `Ok`, never otherwise. Never blocking.
    ///
    /// # Errors
    /// `WouldBlock` (empty), `Closed` (orderly end, all delivered), `PeerGone` (all that arrived was
    /// delivered), `Corrupt` (the peer broke the format), `Forked`.
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()>;

    /// Receives one frame, appending it to `buffer`: one copy for backends that would otherwise need two.
    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        let mut got = Flags::NONE;
        self.try_recv_with(&mut |flags, frame| {
            buffer.extend_from_slice(frame);
            got = flags;
        })?;
        Ok(got)
    }

    /// Says that this half will be asked soon, after others: what it then reads can be on its way to this processor
    /// meanwhile. Changes nothing.
    fn prefetch(&self) {}

    /// The number by which [`Endpoint::ready`](crate::Endpoint::ready) reports this half, where the backend
    /// has such reports.
    fn token(&self) -> Option<u64> {
        None
    }
}
