use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Attempt, Endpoint, Error, ErrorKind, Name, Operation, Peer, Rejections, Result, Role,
    Waiter,
};

use crate::channel::{InProcessReceiver, InProcessSender};
use crate::rendezvous::{Accepting, Connecting, Rendezvous, no_owner};
use crate::transport;

/// How often to look where nobody can wake us: for an owner to come, and for a thread without a waker.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The handle of a name. An opener finds the owner by name anew with each attempt, so that it outlasts any
/// number of owners.
#[derive(Debug)]
pub struct InProcessEndpoint {
    name: Name,
    /// The owner's own; an opener has none.
    owned: Option<Arc<Rendezvous>>,
    /// The capacity the opener's address insists on, or 0.
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
        let ours = transport::remove(&self.name, |there| Arc::ptr_eq(there, &rendezvous));
        rendezvous.end();
        if ours {
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
        let begin = || Connecting::begin(self.rendezvous().ok_or_else(no_owner)?, hello);
        match attempt.progress(begin)?.take() {
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
        let waits = if let Some(rendezvous) = &self.owned {
            attempt.progress(|| Ok(Accepting::begin(rendezvous.clone())))?.arm(waker)
        } else {
            match (attempt.stored::<Connecting>(), waker) {
                (Some(connecting), Some(waker)) => connecting.arm(waker),
                (Some(connecting), None) => !connecting.answered(),
                (None, _) => return Ok(Armed::After(LOOK_AGAIN)),
            }
        };
        Ok(match waker {
            _ if !waits => Armed::Ready,
            Some(_) => Armed::Waker,
            None => Armed::After(LOOK_AGAIN),
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
