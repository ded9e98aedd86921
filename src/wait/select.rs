//! Waiting for several things of different transports at once. Their types implement [`Member`]
//! themselves.

use std::fmt;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Wait, Waiter};

use super::sleeper::Sleeper;
use super::spin::Spinner;
use super::{Waitable, deadline, wait};
use crate::address::settings::WaitMode;

/// Waits for several things at once, over any transports: messages, new connections, the ends of
/// channels, changes of blocks.
///
/// ```
/// # #[cfg(all(feature = "in-process", feature = "shared-memory"))]
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
/// # #[cfg(not(all(feature = "in-process", feature = "shared-memory")))]
/// # fn main() {}
/// ```
///
/// A select keeps no registrations: each wait names its members. It remembers which member was
/// ready last, so that none is starved by the others, and whether spinning pays. It does not spin
/// if a member has `wait=block`.
pub struct Select {
    sleeper: Sleeper,
    spinner: Spinner,
    /// Index of the member to ask first: the one after the member that was ready last.
    first: usize,
}

/// What a [`Select`] can wait for, and what it is then ready for:
///
/// - a [`Channel`](crate::Channel) or a [`Receiver`](crate::Receiver), also a
///   [`TypedChannel`](crate::TypedChannel) or [`TypedReceiver`](crate::TypedReceiver): `try_recv`
///   returns a message, or how the channel ended. The message has left the transport, at the cost
///   of one more copy;
/// - an [`Acceptor`](crate::Acceptor) or [`TypedAcceptor`](crate::TypedAcceptor): `try_accept`
///   returns a channel, or an error;
/// - an [`Inbox`](crate::Inbox) or [`TypedInbox`](crate::TypedInbox): `try_next_event` returns an
///   event;
/// - a [`Queue`](crate::Queue): it has messages. Another receiver may be faster; `try_recv` then
///   returns `WouldBlock`;
/// - an [`EventWaiter`](crate::sync::EventWaiter): its event is set. Another waiter may take the
///   signal first; `try_wait` then returns `WouldBlock`;
/// - a [`BlockWatch`](crate::BlockWatch): the block's stored value has another version than the
///   one seen.
///
/// Sealed: implemented for these types only.
pub trait Selectable: Member {}

impl<T: Member> Selectable for T {}

/// How a [`Select`] handles its members.
pub trait Member {
    /// True if its next call has a result to return.
    #[doc(hidden)]
    fn is_ready(&mut self) -> bool;
    /// Adds to `arming` what ends a sleep. False if there is no need to sleep.
    #[doc(hidden)]
    fn arm_in_select(&mut self, arming: Arming<'_>) -> Result<bool>;
    #[doc(hidden)]
    fn disarm_in_select(&mut self) {}
    /// False if the select must not spin because of this member.
    #[doc(hidden)]
    fn may_spin(&mut self) -> bool;
}

/// Makes a wrapper a member, as its field is one.
macro_rules! select_as {
    ([$($generics:tt)*] $type:ty, $field:ident) => {
        impl<$($generics)*> $crate::wait::select::Member for $type {
            fn is_ready(&mut self) -> bool {
                $crate::wait::select::Member::is_ready(&mut self.$field)
            }
            fn arm_in_select(
                &mut self,
                arming: $crate::wait::select::Arming<'_>,
            ) -> anyipc_core::Result<bool> {
                self.$field.arm_in_select(arming)
            }
            fn disarm_in_select(&mut self) {
                self.$field.disarm_in_select();
            }
            fn may_spin(&mut self) -> bool {
                $crate::wait::select::Member::may_spin(&mut self.$field)
            }
        }
    };
}
pub(crate) use select_as;

/// What a member adds itself to before a [`Select`] sleeps; only this crate makes one, which seals
/// [`Member`].
pub struct Arming<'a>(&'a mut Sleeper);

impl<'a> Arming<'a> {
    pub(super) fn new(sleeper: &'a mut Sleeper) -> Self {
        Self(sleeper)
    }

    /// Arms `on` to end the sleep. False if it is ready.
    pub(crate) fn arm(self, on: &mut dyn Wait) -> Result<bool> {
        let waker = self.0.waker();
        let armed = on.arm(Waiter::Task(&waker))?;
        if let Some(due) = on.due() {
            self.0.limit(due);
        }
        self.0.add(armed, || on.source())
    }

    /// Adds everything that another sleeper sleeps on.
    pub(crate) fn add_all(self, other: &Sleeper) {
        self.0.add_all(other);
    }
}

impl Select {
    /// A select, ready to wait for anything.
    ///
    /// # Errors
    /// `Io` if the process has no descriptor left.
    pub fn new() -> Result<Self> {
        let sleeper = Sleeper::new().map_err(|error| {
            Error::io(Operation::Receive, "making the waker of a select", error)
        })?;
        Ok(Self { sleeper, spinner: Spinner::new(WaitMode::Adaptive), first: 0 })
    }

    /// Waits until a member is ready and returns its index. Blocks without a limit of time.
    ///
    /// # Errors
    /// `InvalidOption` if there are no members; `Io` if one of them cannot be waited for, for
    /// example because the process has no descriptor left. Any other error of a member makes it
    /// ready, and its next call returns it.
    pub fn wait(&mut self, members: &mut [&mut dyn Selectable]) -> Result<usize> {
        self.wait_until(members, None)
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `wait`.
    pub fn wait_timeout(
        &mut self,
        members: &mut [&mut dyn Selectable],
        timeout: Duration,
    ) -> Result<usize> {
        self.wait_until(members, deadline(Some(timeout)))
    }

    /// As [`wait`](Self::wait), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if no member is ready, and those of `wait`.
    pub fn try_wait(&mut self, members: &mut [&mut dyn Selectable]) -> Result<usize> {
        Waiting { select: self, members }.attempt()
    }

    pub(crate) fn wait_until(
        &mut self,
        members: &mut [&mut dyn Selectable],
        deadline: Option<Instant>,
    ) -> Result<usize> {
        if members.is_empty() {
            return Err(Error::new(Operation::Receive, ErrorKind::InvalidOption)
                .because("a select without members would wait forever"));
        }
        self.spinner.set_allowed(members.iter_mut().all(|member| member.may_spin()));
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

/// A select with its members, for one wait.
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
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.select.sleeper.reset(waiter);
        for member in self.members.iter_mut() {
            match member.arm_in_select(Arming(&mut self.select.sleeper)) {
                Ok(true) => {}
                Ok(false) => return Ok(Armed::Ready),
                // The next attempt finds the member ready, and its next call returns the error.
                Err(_) if member.is_ready() => return Ok(Armed::Ready),
                Err(error) => return Err(error),
            }
        }
        self.select.sleeper.armed()
    }

    fn park(&mut self, timeout: Duration) {
        self.select.sleeper.sleep(timeout);
    }

    fn disarm(&mut self) {
        self.members.iter_mut().for_each(|member| member.disarm_in_select());
    }
}

impl Waitable for Waiting<'_, '_> {
    fn target(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.select.spinner
    }
}
