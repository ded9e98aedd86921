//! A wait as a descriptor, for event loops that are not ours.

use std::fmt;
use std::time::Instant;

use anyipc_core::{Error, Operation, Result, Source, Wait, Waiter};
use anyipc_os::SourceSet;

use super::select::{Arming, Selectable};
use super::sleeper::Sleeper;
use super::{SLICE, Waitable};
use crate::channel::sender::Sender;

/// Tells an event loop of its own (mio, GTK, winit, `poll`) when a call is worth a try. It has one
/// descriptor, or on Windows some handles, for the whole of its life.
///
/// 1. **Arm**: [`arm`](Self::arm) names what to wait for. If it returns true, call at once.
/// 2. **Poll**: the descriptor becomes readable when a call may succeed, and 100 ms after the
///    arming in any case, as every sleep of this library ends: so a peer that was killed is
///    noticed. Let the loop watch it for reading, level-triggered; do not read from it.
/// 3. **Call** the calls that do not block until they return `WouldBlock`.
/// 4. **Arm again**, also if there was nothing: until then the descriptor stays readable.
///
/// Nothing is lost between the calls and the arming: arming looks once more.
///
/// ```
/// # #[cfg(all(unix, feature = "shared-memory"))]
/// # fn main() -> anyipc::Result<()> {
/// # let owner = anyipc::create("shm://readiness.doc")?;
/// # let peer = std::thread::spawn(|| anyipc::connect("shm://readiness.doc")?.send(b"hello"));
/// let mut channel = owner.accept()?;
/// let mut readiness = anyipc::Readiness::new()?;
/// let message = loop {
///     match channel.try_recv() {
///         Err(error) if error.is_would_block() => {}
///         done => break done?,
///     }
///     if !readiness.arm(&mut channel)? {
///         // Here an event loop waits for `readiness.as_fd()` and everything else of its own.
///         readiness.wait(std::time::Duration::from_secs(1));
///     }
/// };
/// assert_eq!(message, b"hello");
/// # peer.join().unwrap()
/// # }
/// # #[cfg(not(all(unix, feature = "shared-memory")))]
/// # fn main() {}
/// ```
pub struct Readiness {
    sleeper: Sleeper,
    set: SourceSet,
    source: Source,
}

impl Readiness {
    /// One that waits for nothing yet.
    ///
    /// # Errors
    /// `Io` if the process has no descriptor left; `Unsupported` on a platform without transports.
    pub fn new() -> Result<Self> {
        let failed = |error| Error::io(Operation::Receive, "making a readiness", error);
        let sleeper = Sleeper::new().map_err(failed)?;
        let set = SourceSet::new().map_err(failed)?;
        let source = set.source();
        Ok(Self { sleeper, set, source })
    }

    /// Arms for messages, events, connectors or jobs: whatever a [`Select`](crate::Select) waits
    /// for, in place of what it was armed for before. True if a call is worth a try now.
    ///
    /// # Errors
    /// `Io` if it cannot be waited for, for example because the process has no descriptor left.
    pub fn arm(&mut self, on: &mut dyn Selectable) -> Result<bool> {
        self.sleeper.reset(Waiter::Thread);
        if on.is_ready() || !on.arm_in_select(Arming::new(&mut self.sleeper))? {
            on.disarm_in_select();
            return Ok(true);
        }
        self.watch().map(|()| false)
    }

    /// As [`arm`](Self::arm), for room: call it after a `try_send` that returned `WouldBlock`. The
    /// directions of a channel take one readiness each.
    ///
    /// # Errors
    /// Those of `arm`.
    pub fn arm_to_send(&mut self, sender: &mut Sender) -> Result<bool> {
        self.sleeper.reset(Waiter::Thread);
        let target: &mut dyn Wait = sender.target();
        if !Arming::new(&mut self.sleeper).arm(target)? {
            target.disarm();
            return Ok(true);
        }
        self.watch().map(|()| false)
    }

    /// Waits as an event loop would, for `longest` at most. True if the descriptor is readable.
    pub fn wait(&self, longest: std::time::Duration) -> bool {
        anyipc_os::sleep(&self.source, anyipc_core::Interest::Readable, longest)
    }

    /// The descriptor, or the handles, as the transports name theirs.
    pub fn source(&self) -> &Source {
        &self.source
    }

    fn watch(&mut self) -> Result<()> {
        let longest = self.sleeper.due().unwrap_or(SLICE);
        let moment = Instant::now().checked_add(longest);
        self.set
            .watch_only(&self.sleeper.take_sources(), moment)
            .map_err(|error| Error::io(Operation::Receive, "arming a readiness", error))
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("set", &self.set).finish_non_exhaustive()
    }
}
