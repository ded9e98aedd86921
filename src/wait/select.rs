use std::fmt;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Wait, Waiter};

use crate::address::settings::WaitMode;
use crate::wait::sleep::Sleeper;
use crate::wait::{Spinner, Waitable, deadline, wait};

/// Waits for many things at once, whatever their transports are: messages, new connections, the ends of
/// channels.
///
/// ```
/// # #[cfg(all(feature = "in-process", feature = "shared-memory", target_os = "linux"))]
/// # fn main() -> anyipc::Result<()> {
/// # let mut errors = anyipc::create("shm://select.errors")?;
/// # let edits = anyipc::create("inproc://select.edits")?;
/// # let editor = std::thread::spawn(|| anyipc::connect("inproc://select.edits")?.send(b"insert"));
/// let (mut errors, mut edits) = (errors.acceptor()?, edits.acceptor()?);
/// let mut select = anyipc::Select::new()?;
/// let mut channel = match select.wait(&mut [&mut errors, &mut edits])? {
///     0 => errors.try_accept()?,
///     _ => edits.try_accept()?,
/// };
/// assert_eq!(select.wait(&mut [&mut errors, &mut channel])?, 1);
/// assert_eq!(channel.try_recv()?, b"insert");
/// # editor.join().unwrap()
/// # }
/// # #[cfg(not(all(feature = "in-process", feature = "shared-memory", target_os = "linux")))]
/// # fn main() {}
/// ```
///
/// It keeps no registrations: who takes part is said at each wait. It remembers whose turn it is, so that none of
/// them is starved by the others, and whether spinning pays; it does not spin if one of them has `wait=block`.
pub struct Select {
    sleeper: Sleeper,
    spinner: Spinner,
    /// Whom to ask first.
    first: usize,
}

/// What a [`Select`] can wait for, and what it is then ready for:
///
/// - a [`Channel`] or a [`Receiver`]: `try_recv` has a message, or says how the channel ended. The message has been
///   taken out of the transport and is copied once more than otherwise;
/// - an [`Acceptor`]: `try_accept` has a channel, or an error;
/// - an [`Inbox`]: `try_next_event` has an event;
/// - a [`Queue`]: it has messages. Another receiver may be faster, and `try_recv` then says `WouldBlock`.
///
/// Implemented for these, and by nobody else.
pub trait Selectable: Member {}

/// How a [`Select`] handles its members.
pub trait Member {
    #[doc(hidden)]
    fn is_ready(&mut self) -> bool;
    #[doc(hidden)]
    fn sleep_on(&mut self, sleep: Sleep<'_>) -> Result<bool>;
    #[doc(hidden)]
    fn stop_sleeping(&mut self) {}
    #[doc(hidden)]
    fn spins(&mut self) -> bool;
}

/// Only [`Select`] can make one: what its members add themselves to before it sleeps.
pub struct Sleep<'a>(&'a mut Sleeper);

impl Sleep<'_> {
    /// False if there is nothing to sleep for.
    pub(crate) fn arm(self, on: &mut dyn Wait) -> Result<bool> {
        let waker = self.0.waker();
        let armed = on.arm(Waiter::Task(&waker))?;
        self.0.add(armed, || on.source())
    }

    /// Adds everything that another sleeper sleeps for.
    pub(crate) fn add_all(self, other: &Sleeper) {
        self.0.add_all(other);
    }
}

impl Select {
    /// Ready to wait for anything.
    ///
    /// # Errors
    /// `Io` if the process has no descriptor left.
    pub fn new() -> Result<Self> {
        let sleeper = Sleeper::new().map_err(|error| {
            Error::io(Operation::Receive, "making the waker of a select", error)
        })?;
        Ok(Self { sleeper, spinner: Spinner::new(WaitMode::Adaptive), first: 0 })
    }

    /// Spins and sleeps until one of the members is ready, and tells which.
    ///
    /// # Errors
    /// `InvalidOption` if there are no members; `Io` if one of them cannot be waited for, as when the process has no
    /// descriptor left for it. What else is wrong with a member is told by its own next call.
    pub fn wait(&mut self, members: &mut [&mut dyn Selectable]) -> Result<usize> {
        self.within(members, None)
    }

    /// As [`wait`](Self::wait), for this long at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `wait`.
    pub fn wait_timeout(
        &mut self,
        members: &mut [&mut dyn Selectable],
        timeout: Duration,
    ) -> Result<usize> {
        self.within(members, deadline(Some(timeout)))
    }

    /// As [`wait`](Self::wait), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if none is ready, and those of `wait`.
    pub fn try_wait(&mut self, members: &mut [&mut dyn Selectable]) -> Result<usize> {
        Waiting { select: self, members }.attempt()
    }

    fn within(
        &mut self,
        members: &mut [&mut dyn Selectable],
        deadline: Option<Instant>,
    ) -> Result<usize> {
        if members.is_empty() {
            return Err(Error::new(Operation::Receive, ErrorKind::InvalidOption)
                .because("a select without members would wait forever"));
        }
        self.spinner.allow(members.iter_mut().all(|member| member.spins()));
        let mut waiting = Waiting { select: self, members };
        match waiting.attempt() {
            Err(error) if error.is_would_block() => {
                wait(&mut waiting, Operation::Receive, deadline, Waiting::attempt)
            }
            done => done,
        }
    }
}

impl fmt::Debug for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("first", &self.first).finish_non_exhaustive()
    }
}

/// A select and its members, for one wait.
struct Waiting<'a, 'b> {
    select: &'a mut Select,
    members: &'a mut [&'b mut dyn Selectable],
}

impl Waiting<'_, '_> {
    fn attempt(&mut self) -> Result<usize> {
        let count = self.members.len();
        let first = self.select.first;
        let ready = (0..count).map(|i| (first + i) % count).find(|&i| self.members[i].is_ready());
        match ready {
            Some(index) => {
                self.select.first = (index + 1) % count;
                Ok(index)
            }
            None => Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
        }
    }
}

impl Wait for Waiting<'_, '_> {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.select.sleeper.begin();
        for member in self.members.iter_mut() {
            match member.sleep_on(Sleep(&mut self.select.sleeper)) {
                Ok(true) => {}
                Ok(false) => return Ok(Armed::Ready),
                // The next attempt finds the member ready, and its next call tells why.
                Err(_) if member.is_ready() => return Ok(Armed::Ready),
                Err(error) => return Err(error),
            }
        }
        Ok(Armed::Park)
    }

    fn park(&mut self, timeout: Duration) {
        self.select.sleeper.sleep(timeout);
    }

    fn disarm(&mut self) {
        self.members.iter_mut().for_each(|member| member.stop_sleeping());
    }
}

impl Waitable for Waiting<'_, '_> {
    fn wait(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.select.spinner
    }
}

impl<T: Member> Selectable for T {}
