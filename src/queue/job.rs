//! Leased messages, and messages that wait for their time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, LeaseId, Leased, Leases, Operation, Result, Settle};

use super::{Messages, Queue, Room};
use crate::address::Address;
use crate::wait::{deadline, wait};

/// A message that is leased to this process, from [`Queue::lease`]. It stays in its queue,
/// invisible, until [`ack`](Self::ack) takes it out.
///
/// The lease ends without an acknowledgement
/// - when its time is over, whether its holder runs, is stopped or waits;
/// - when its holder is gone: the process died, as the kernel says it, or the queue's handle and
///   all jobs from it were dropped;
/// - when the job is dropped: then the message comes back at once.
///
/// Then the message is received again, before all others of its priority. So work is done at least
/// once: a job is done twice if its worker dies after the work and before `ack`, or works for
/// longer than the lease. A worker that may take long calls [`extend`](Self::extend) in time.
///
/// A job does not borrow its queue: it goes to other threads and tasks, and is acknowledged there.
#[must_use = "a job that is dropped comes back at once"]
pub struct Job {
    leases: Arc<dyn Leases>,
    address: Address,
    leased: Leased,
    priority: u32,
    message: Vec<u8>,
    /// The lease is over or given away: dropping the job ends nothing.
    settled: bool,
}

impl Job {
    /// The message.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Its priority.
    pub fn priority(&self) -> u32 {
        self.priority
    }

    /// How often the message was leased, this time included: 1 for the first. A lease counts
    /// however it ended, also when its holder died within the call that was to lease it. Counts to
    /// 32767.
    pub fn attempts(&self) -> u32 {
        self.leased.attempts
    }

    /// The lease, as [`Queue::settle`] takes it.
    pub fn id(&self) -> LeaseId {
        self.leased.id
    }

    /// The work is done: takes the message out of the queue. `Ok` means that nobody gets it again.
    /// Succeeds also when the time is over, as long as no receiver has looked since.
    ///
    /// Blocks for a second at most, if a process was stopped within a call of the queue.
    ///
    /// # Errors
    /// `NotFound` if the lease is over: the message was given back, and perhaps to another
    /// receiver. `Busy` if a stopped process holds the queue; then the message comes back when its
    /// time is over. `Corrupt`, `Forked`.
    pub fn ack(self) -> Result<()> {
        self.end(Settle::Ack)
    }

    /// The work is not done: the message comes back after `delay`, before all others of its
    /// priority. The attempt counts; after the last one that `attempts=` allows, the message is
    /// dead, without a delay, for the next receiver that looks.
    ///
    /// # Errors
    /// Those of [`ack`](Self::ack).
    pub fn retry_after(self, delay: Duration) -> Result<()> {
        self.end(Settle::Retry(delay))
    }

    /// The lease ends `time` from now, whenever it would have ended before.
    ///
    /// # Errors
    /// Those of [`ack`](Self::ack). After `NotFound` another receiver may have the message.
    pub fn extend(&mut self, time: Duration) -> Result<()> {
        self.settle(Settle::Extend(time))
    }

    /// Gives the lease away: it no longer ends with this process, only by its time, or by
    /// [`Queue::settle`] with its id, in any process.
    ///
    /// # Errors
    /// Those of [`ack`](Self::ack).
    pub fn detach(self) -> Result<LeaseId> {
        let id = self.leased.id;
        self.end(Settle::Detach).map(|()| id)
    }

    fn end(mut self, how: Settle) -> Result<()> {
        let ended = self.settle(how);
        // A lease that could not be reached is not tried again: that would block once more.
        self.settled = true;
        ended
    }

    fn settle(&self, how: Settle) -> Result<()> {
        self.leases
            .settle(self.leased.id, how)
            .map_err(|error| error.during(Operation::Queue).at(&self.address))
    }
}

/// Gives the message back at once.
impl Drop for Job {
    fn drop(&mut self) {
        if !self.settled {
            // An error means that it is not ours any more, or comes back when its time is over.
            let _ = self.settle(Settle::Retry(Duration::ZERO));
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.leased.id)
            .field("attempts", &self.leased.attempts)
            .field("priority", &self.priority)
            .field("len", &self.message.len())
            .finish_non_exhaustive()
    }
}

/// Leases and delays. Queues of other transports than `mq://` answer `Unsupported`.
impl Queue {
    /// Receives one message without taking it out of the queue: it is invisible for `time`, and
    /// comes back unless it is acknowledged. Blocks until there is one, without a limit of time.
    ///
    /// ```
    /// # #[cfg(feature = "message-queue")]
    /// # fn main() -> anyipc::Result<()> {
    /// use std::time::Duration;
    ///
    /// # let name = format!("mq://jobs.{}", std::process::id());
    /// # let jobs = anyipc::create(&name)?;
    /// let mut queue = jobs.queue()?;
    /// queue.send(0, b"index /home")?;
    /// let job = queue.lease(Duration::from_secs(30))?;
    /// assert_eq!((job.message(), job.attempts()), (&b"index /home"[..], 1));
    /// // The work failed: once more in a moment.
    /// job.retry_after(Duration::from_millis(10))?;
    /// let job = queue.lease(Duration::from_secs(30))?;
    /// assert_eq!(job.attempts(), 2);
    /// job.ack()?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "message-queue"))]
    /// # fn main() {}
    /// ```
    ///
    /// A queue's first lease or delay makes it one that holds messages back, for good: from then on
    /// each receive looks at the clock if a message is held.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv); `Unsupported` without
    /// [`Capabilities::LEASES`](crate::Capabilities::LEASES).
    pub fn lease(&mut self, time: Duration) -> Result<Job> {
        self.lease_within(time, None)
    }

    /// As [`lease`](Self::lease), waiting for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `lease`.
    pub fn lease_timeout(&mut self, time: Duration, timeout: Duration) -> Result<Job> {
        self.lease_within(time, Some(timeout))
    }

    /// As [`lease`](Self::lease), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` (the queue has no message that is visible, or a process that does not run holds
    /// it), and those of `lease`.
    pub fn try_lease(&mut self, time: Duration) -> Result<Job> {
        self.try_lease_raw(time).map_err(|e| self.explain(e, Operation::Receive))
    }

    fn lease_within(&mut self, time: Duration, timeout: Option<Duration>) -> Result<Job> {
        let leased = match self.try_lease_raw(time) {
            Err(error) if error.is_would_block() => {
                wait(&mut Messages(self), Operation::Receive, deadline(timeout), |messages| {
                    messages.0.try_lease_raw(time)
                })
            }
            leased => leased,
        };
        leased.map_err(|e| self.explain(e, Operation::Receive))
    }

    pub(crate) fn try_lease_raw(&mut self, time: Duration) -> Result<Job> {
        // Before the lease, which could not be ended without them.
        let leases = self.inner.leases()?;
        let mut got = None;
        let leased = self.inner.try_lease(time, &mut |priority, message| {
            got = Some((priority, message.to_vec()));
        })?;
        let (priority, message) = got.ok_or_else(|| {
            Error::new(Operation::Receive, ErrorKind::Corrupt)
                .because("the transport leased a message without showing it")
        })?;
        self.message_spinner.last_len = message.len();
        let address = self.address.clone();
        Ok(Job { leases, address, leased, priority, message, settled: false })
    }

    /// Sends one message that no receiver sees before `delay` is over; then it is the last of its
    /// priority. It takes room from now on. Blocks as [`send`](Self::send) does. No change of the
    /// day's time matters; the time that the machine sleeps counts.
    ///
    /// # Errors
    /// Those of `send`; `Unsupported` without
    /// [`Capabilities::LEASES`](crate::Capabilities::LEASES).
    pub fn send_after(&mut self, delay: Duration, priority: u32, message: &[u8]) -> Result<()> {
        self.room_spinner.last_len = message.len();
        let sent = match self.inner.try_send_after(delay, priority, message) {
            Err(error) if error.is_would_block() => {
                wait(&mut Room(self), Operation::Send, None, |room| {
                    room.0.inner.try_send_after(delay, priority, message)
                })
            }
            sent => sent,
        };
        sent.map_err(|e| self.explain(e, Operation::Send))
    }

    /// As [`send_after`](Self::send_after), without blocking.
    ///
    /// # Errors
    /// Those of [`try_send`](Self::try_send), and those of `send_after`.
    pub fn try_send_after(&mut self, delay: Duration, priority: u32, message: &[u8]) -> Result<()> {
        self.inner
            .try_send_after(delay, priority, message)
            .map_err(|e| self.explain(e, Operation::Send))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn try_send_after_raw(
        &mut self,
        delay: Duration,
        priority: u32,
        message: &[u8],
    ) -> Result<()> {
        self.inner.try_send_after(delay, priority, message)
    }

    /// Ends or extends a lease by its id, of this process or of another: one that
    /// [`Job::detach`] gave away.
    ///
    /// # Errors
    /// Those of [`Job::ack`]; `Unsupported` without
    /// [`Capabilities::LEASES`](crate::Capabilities::LEASES).
    pub fn settle(&mut self, lease: LeaseId, how: Settle) -> Result<()> {
        let settled = self.inner.leases().and_then(|leases| leases.settle(lease, how));
        settled.map_err(|e| self.explain(e, Operation::Queue))
    }
}
