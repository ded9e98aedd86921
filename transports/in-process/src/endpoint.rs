use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Attempt, Endpoint, Error, ErrorKind, Name, Operation, Peer, Rejections, Result, Role,
    Waiter,
};

use crate::channel::{InProcessReceiver, InProcessSender};
use crate::rendezvous::{OpenerAttempt, OwnerAttempt, Rendezvous, no_owner};
use crate::transport;

/// How long to sleep where no event ends the sleep: until a name has an owner again, and in a
/// thread that connects or accepts. A task has a waker for the latter.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The handle of a name.
///
/// An opener looks the owner up with each attempt, so it stays usable when the name gets a new
/// owner.
#[derive(Debug)]
pub struct InProcessEndpoint {
    name: Name,
    /// The rendezvous of an owner; `None` in an opener, and in an owner that was released.
    owned: Option<Arc<Rendezvous>>,
    /// The capacity in bytes that the opener's address insists on, or 0.
    capacity: usize,
}

impl InProcessEndpoint {
    pub(crate) fn owner(name: Name, rendezvous: Arc<Rendezvous>) -> Self {
        Self { name, capacity: 0, owned: Some(rendezvous) }
    }

    pub(crate) fn opener(name: Name, capacity: usize) -> Self {
        Self { name, capacity, owned: None }
    }

    /// Gives the name up. `StatFailed` if it had been removed by force.
    pub(crate) fn release(&mut self) -> Result<()> {
        let Some(rendezvous) = self.owned.take() else { return Ok(()) };
        let was_ours = transport::remove(&self.name, &rendezvous);
        rendezvous.end();
        if was_ours {
            return Ok(());
        }
        Err(Error::new(Operation::Close, ErrorKind::StatFailed)
            .because("the name was removed from under its owner; the handle is released"))
    }

    fn rendezvous(&self) -> Option<Arc<Rendezvous>> {
        self.owned.clone().or_else(|| transport::find(&self.name))
    }
}

impl Drop for InProcessEndpoint {
    fn drop(&mut self) {
        let _ = self.release();
    }
}

impl Endpoint for InProcessEndpoint {
    type Sender = InProcessSender;
    type Receiver = InProcessReceiver;

    fn role(&self) -> Role {
        if self.owned.is_some() { Role::Owner } else { Role::Opener }
    }

    fn try_connect(
        &self,
        attempt: &mut Attempt,
    ) -> Result<(InProcessSender, InProcessReceiver, Peer)> {
        if let Some(rendezvous) = &self.owned {
            return rendezvous.accept(attempt);
        }
        let mut hello = attempt.hello.clone();
        if hello.capacity == 0 {
            hello.capacity = self.capacity as u64;
        }
        let begin = || OpenerAttempt::begin(self.rendezvous().ok_or_else(no_owner)?, hello);
        match attempt.progress(begin)?.take_outcome() {
            Some(outcome) => {
                attempt.reset();
                outcome
            }
            None => Err(Error::new(Operation::Connect, ErrorKind::WouldBlock)),
        }
    }

    fn arm(&self, attempt: &mut Attempt, waiter: Waiter<'_>) -> Result<Armed> {
        let waker = match waiter {
            Waiter::Thread => None,
            Waiter::Task(waker) => Some(waker),
        };
        let has_to_wait = if let Some(rendezvous) = &self.owned {
            attempt.progress(|| Ok(OwnerAttempt::begin(rendezvous.clone())))?.arm(waker)
        } else if let Some(opener) = attempt.stored::<OpenerAttempt>() {
            opener.arm(waker)
        } else {
            // The name has no owner, and nothing tells when it gets one.
            return Ok(Armed::After(POLL_INTERVAL));
        };
        Ok(match waker {
            _ if !has_to_wait => Armed::Ready,
            Some(_) => Armed::Waker,
            None => Armed::After(POLL_INTERVAL),
        })
    }

    fn ready(&self, _keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        self.owned.as_ref().inspect(|rendezvous| rendezvous.ready(visit)).is_some()
    }

    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        let missing = |why: &str| Error::new(Operation::ReadLpsz, ErrorKind::NotFound).because(why);
        let rendezvous = self.rendezvous().ok_or_else(|| missing("its owner left"))?;
        read(rendezvous.text().ok_or_else(|| missing("it was not made by alloc_lpsz"))?);
        Ok(())
    }

    fn rejections(&self) -> Rejections {
        self.owned.as_ref().map(|rendezvous| rendezvous.rejections()).unwrap_or_default()
    }
}
