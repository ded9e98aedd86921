//! A handle of a named queue: a participant slot, and wake FIFOs.

use std::error::Error as _;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Leased, Leases, Operation, Queue, QueueStatus, Result, Source, Wait,
    Waiter,
};
use anyipc_memory::{ParticipantSlot, ParticipantSlots, Region, Segment, parks, sleep, wake};
use anyipc_os::{Scope, WakeFifo, generation, is_shortage};
use anyipc_ring::robust::{LockBackend, OwnerId};

use crate::client::{PeerWakers, QueueClient};
use crate::dead::bury;
use crate::jobs::Jobs;
use crate::layout::{Geometry, MAX_LEN, hot};
use crate::store::Store;
use crate::waiters::{MESSAGES, ROOM};

/// The most wake FIFOs of other handles that a handle keeps open.
const MAX_WAKE_FIFOS: usize = 16;

/// The pause of a thread that has no wake FIFO for want of a descriptor.
const SHORT: Duration = Duration::from_millis(10);

/// A handle of a queue. Dropping it gives its slot back.
#[derive(Debug)]
pub(crate) struct Handle {
    client: QueueClient<OtherHandles>,
    slot: Arc<ParticipantSlot>,
    /// What ends the leases of this handle. Made when it is first asked for.
    jobs: Option<Arc<Jobs>>,
    /// The directory of the queue for dead messages.
    scope: Scope,
    /// What a task of this handle sleeps on, and a thread that cannot park. Created when one first
    /// sleeps.
    wake_fifo: OnceLock<Arc<WakeFifo>>,
    /// The private copy of the message received last.
    copy: Vec<u8>,
    /// What the next `arm` waits for: `MESSAGES` or `ROOM`.
    kind: usize,
}

impl Handle {
    pub(crate) fn new(memory: &Arc<Segment>, geometry: Geometry, scope: Scope) -> Result<Self> {
        memory.check(Operation::Queue)?;
        let region = memory.region();
        let slots = geometry.participant_slots();
        let slot = Arc::new(ParticipantSlot::take(memory, &region, slots, Operation::Queue)?);
        let peers = OtherHandles::new(memory, slots);
        let client = QueueClient::new(Store::new(region, geometry), slot.owner_id(), peers);
        client.clear_slot();
        Ok(Self {
            client,
            slot,
            jobs: None,
            scope,
            wake_fifo: OnceLock::new(),
            copy: Vec::new(),
            kind: MESSAGES,
        })
    }

    #[inline]
    fn check(&self, operation: Operation) -> Result<()> {
        self.memory().check(operation)
    }

    fn memory(&self) -> &Segment {
        &self.client.peers.memory
    }

    fn geometry(&self) -> &Geometry {
        self.client.store().geometry()
    }

    fn operation(&self) -> Operation {
        if self.kind == ROOM { Operation::Send } else { Operation::Receive }
    }

    fn wake_fifo(&self) -> Result<&Arc<WakeFifo>> {
        if self.wake_fifo.get().is_none() {
            let fifo =
                self.client.peers.memory.make_wake_fifo(self.slot.number(), self.operation())?;
            let _ = self.wake_fifo.set(Arc::new(fifo));
        }
        self.wake_fifo.get().ok_or(Error::new(self.operation(), ErrorKind::Io))
    }

    /// The answer of an empty queue.
    fn is_empty(&self) -> Error {
        let gone = self.memory().recall_named(Operation::Receive).err();
        gone.unwrap_or_else(|| Error::new(Operation::Receive, ErrorKind::WouldBlock))
    }

    /// Moves dead messages that this handle holds into their queue.
    fn move_the_dead(&mut self) {
        if !self.client.dying.is_empty() {
            let dying = std::mem::take(&mut self.client.dying);
            bury(&mut self.client, self.scope, &dying);
        }
    }

    #[cold]
    fn refuse(&self, priority: u32, len: usize) -> Error {
        let Geometry { priorities, longest, .. } = self.geometry();
        if priority >= *priorities {
            return Error::new(Operation::Send, ErrorKind::InvalidOption).because(format!(
                "priority {priority}: this queue has 0 to {}; make it with priorities= for more",
                priorities - 1
            ));
        }
        let cure = match *longest {
            MAX_LEN => "no queue takes more: send it in pieces, or over a channel",
            _ => "make it with a larger capacity= or max_message=",
        };
        Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
            "{len} bytes are more than the {longest} that this queue takes; {cure}"
        ))
    }
}

impl Queue for Handle {
    fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.check(Operation::Send)?;
        if priority >= self.geometry().priorities || message.len() > self.geometry().longest {
            return Err(self.refuse(priority, message.len()));
        }
        self.client.send(priority, 0, message)
    }

    fn try_send_after(&mut self, delay: Duration, priority: u32, message: &[u8]) -> Result<()> {
        self.check(Operation::Send)?;
        if priority >= self.geometry().priorities || message.len() > self.geometry().longest {
            return Err(self.refuse(priority, message.len()));
        }
        self.client.send_after(delay, priority, message)
    }

    fn try_recv_with(&mut self, read: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
        self.check(Operation::Receive)?;
        self.copy.clear();
        let received = self.client.receive(&mut self.copy);
        if self.client.store().is_timed() {
            self.move_the_dead();
        }
        match received? {
            Some((priority, _)) => {
                read(priority, &self.copy);
                Ok(())
            }
            None => Err(self.is_empty()),
        }
    }

    fn try_lease(&mut self, time: Duration, read: &mut dyn FnMut(u32, &[u8])) -> Result<Leased> {
        self.check(Operation::Receive)?;
        self.copy.clear();
        let leased = self.client.lease(time, &mut self.copy);
        self.move_the_dead();
        match leased? {
            Some((priority, leased)) => {
                read(priority, &self.copy);
                Ok(leased)
            }
            None => Err(self.is_empty()),
        }
    }

    fn leases(&mut self) -> Result<Arc<dyn Leases>> {
        self.check(Operation::Queue)?;
        let Self { client, slot, jobs, .. } = self;
        let jobs = jobs.get_or_insert_with(|| {
            Arc::new(Jobs::new(&client.peers.memory, *client.store().geometry(), slot))
        });
        Ok(jobs.clone())
    }

    fn is_ready(&self) -> Result<bool> {
        self.check(Operation::Queue)?;
        let ready = self.client.is_ready();
        if !ready {
            // The next receive returns this error.
            self.memory().recall_named(Operation::Queue)?;
        }
        Ok(ready)
    }

    fn status(&self) -> Result<QueueStatus> {
        self.check(Operation::Queue)?;
        let counts = self.client.counts(Operation::Queue)?;
        let store = self.client.store();
        let geometry = store.geometry();
        Ok(QueueStatus {
            messages: counts.ready.into(),
            leased: counts.leased.into(),
            delayed: counts.delayed.into(),
            bytes: counts.bytes,
            capacity: geometry.capacity(),
            max_message: geometry.longest as u64,
            priorities: geometry.priorities,
            dropped: store.get_wide(hot::DROPPED),
            dead: store.get_wide(hot::DEAD),
        })
    }

    fn purge(&mut self) -> Result<u64> {
        self.check(Operation::Queue)?;
        self.client.purge()
    }

    fn room(&mut self) -> &mut dyn Wait {
        self.kind = ROOM;
        self
    }

    fn messages(&mut self) -> &mut dyn Wait {
        self.kind = MESSAGES;
        self
    }
}

/// For the kind that the last call of `room` or `messages` chose.
impl Wait for Handle {
    fn source(&self) -> Result<Source> {
        self.check(self.operation())?;
        Ok(self.wake_fifo()?.clone())
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.check(self.operation())?;
        // If the name means other memory by now, nothing will ever come here.
        self.memory().insist_named(self.operation())?;
        let on_source = matches!(waiter, Waiter::Task(_)) || !parks();
        if on_source {
            match self.wake_fifo() {
                Ok(fifo) => {
                    fifo.drain();
                }
                // A thread can do without: it looks again and again.
                Err(error) if matches!(waiter, Waiter::Thread) && is_short(&error) => {
                    return Ok(Armed::After(SHORT));
                }
                Err(error) => return Err(error),
            }
        }
        self.client.arm(self.kind, on_source, self.operation())
    }

    fn due(&self) -> Option<Duration> {
        if self.kind == MESSAGES { self.client.due() } else { None }
    }

    fn park(&mut self, timeout: Duration) {
        if self.check(self.operation()).is_ok() {
            self.client.park(timeout);
        }
    }

    fn disarm(&mut self) {
        if self.check(self.operation()).is_ok() {
            self.client.disarm();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let memory = &self.client.peers.memory;
        if memory.generation() == generation() {
            if self.wake_fifo.get().is_some() {
                memory.remove_wake_fifo(self.slot.number());
            }
            self.client.disarm();
        }
    }
}

/// True for a lack of descriptors or memory.
fn is_short(error: &Error) -> bool {
    error.source().and_then(|source| source.downcast_ref()).is_some_and(is_shortage)
}

/// The other handles of the queue, in any process.
#[derive(Debug)]
pub(crate) struct OtherHandles {
    memory: Arc<Segment>,
    region: Region,
    slots: ParticipantSlots,
    /// Each with the slot that it wakes, and the slot's turn at that time.
    wake_fifos: Vec<((u32, u32), WakeFifo)>,
}

impl OtherHandles {
    pub(crate) fn new(memory: &Arc<Segment>, slots: ParticipantSlots) -> Self {
        Self { memory: Arc::clone(memory), region: memory.region(), slots, wake_fifos: Vec::new() }
    }
}

impl LockBackend for OtherHandles {
    fn is_dead(&self, owner_id: OwnerId) -> bool {
        self.slots.is_dead(&self.memory, &self.region, owner_id)
    }
    fn sleep(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
        sleep(word, expected, timeout);
    }
    fn wake(&self, word: &AtomicU32) {
        wake(word);
    }
}

impl PeerWakers for OtherHandles {
    fn wake_source(&mut self, slot: u32) {
        let holder = (slot, self.slots.turn(&self.region, slot));
        if let Some((_, fifo)) = self.wake_fifos.iter().find(|(of, _)| *of == holder) {
            return fifo.wake();
        }
        // A FIFO that does not open belongs to a handle that is being dropped.
        let Some(fifo) = self.memory.open_wake_fifo(slot) else { return };
        fifo.wake();
        self.wake_fifos.retain(|((of, _), _)| *of != slot);
        if self.wake_fifos.len() < MAX_WAKE_FIFOS {
            self.wake_fifos.push((holder, fifo));
        }
    }
}
