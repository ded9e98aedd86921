//! A handle of a named queue: a seat, and the bells of those who wait as tasks.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Operation, Queue, QueueStatus, Result, Source, Wait, Waiter,
};
use anyipc_memory::{Memory, ParticipantSlot, ParticipantSlots, Region, sleep, wake};
use anyipc_os::{WakeFifo, generation};
use anyipc_ring::robust::{LockBackend, OwnerId};

use crate::layout::{Geometry, MAX_LEN, hot};
use crate::party::{Company, Party};
use crate::store::Store;
use crate::waiters::{MESSAGES, ROOM};

/// The most bells of others that are kept open.
const MAX_BELLS: usize = 16;

/// A handle of a queue. Dropping it gives its seat back.
#[derive(Debug)]
pub(crate) struct Handle {
    party: Party<Others>,
    seat: ParticipantSlot,
    /// What our task sleeps on, hung up when it first sleeps.
    bell: OnceLock<Arc<WakeFifo>>,
    /// What was received last.
    copy: Vec<u8>,
    /// What is waited for.
    kind: usize,
}

impl Handle {
    pub(crate) fn new(memory: &Arc<Memory>, geometry: Geometry) -> Result<Self> {
        memory.check(Operation::Queue)?;
        let region = memory.region();
        let seat = ParticipantSlot::take(memory, geometry.seats(), Operation::Queue)?;
        let company = Others {
            memory: Arc::clone(memory),
            region: region.clone(),
            seats: geometry.seats(),
            bells: Vec::new(),
        };
        let party = Party::new(Store::new(region, geometry), seat.owner_id(), company);
        party.sit_down();
        Ok(Self { party, seat, bell: OnceLock::new(), copy: Vec::new(), kind: MESSAGES })
    }

    #[inline]
    fn check(&self, operation: Operation) -> Result<()> {
        self.memory().check(operation)
    }

    fn memory(&self) -> &Memory {
        &self.party.company.memory
    }

    fn geometry(&self) -> &Geometry {
        self.party.store().geometry()
    }

    fn operation(&self) -> Operation {
        if self.kind == ROOM { Operation::Send } else { Operation::Receive }
    }

    fn bell(&self) -> Result<&Arc<WakeFifo>> {
        if self.bell.get().is_none() {
            let bell = self.party.company.memory.make_bell(self.seat.number(), self.operation())?;
            let _ = self.bell.set(Arc::new(bell));
        }
        self.bell.get().ok_or(Error::new(self.operation(), ErrorKind::Io))
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
        self.party.send(priority, 0, message)
    }

    fn try_recv_with(&mut self, read: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
        self.check(Operation::Receive)?;
        self.copy.clear();
        match self.party.receive(&mut self.copy)? {
            Some((priority, _)) => {
                read(priority, &self.copy);
                Ok(())
            }
            None => {
                self.memory().recall_named(Operation::Receive)?;
                Err(Error::new(Operation::Receive, ErrorKind::WouldBlock))
            }
        }
    }

    fn is_ready(&self) -> Result<bool> {
        self.check(Operation::Queue)?;
        let ready = self.party.is_ready();
        if !ready {
            // An error that the next try tells.
            self.memory().recall_named(Operation::Queue)?;
        }
        Ok(ready)
    }

    fn status(&self) -> Result<QueueStatus> {
        self.check(Operation::Queue)?;
        let (messages, bytes) = self.party.counts(Operation::Queue)?;
        let store = self.party.store();
        let geometry = store.geometry();
        Ok(QueueStatus {
            messages: messages.into(),
            bytes,
            capacity: geometry.capacity(),
            max_message: geometry.longest as u64,
            priorities: geometry.priorities,
            dropped: store.get_wide(hot::DROPPED),
        })
    }

    fn purge(&mut self) -> Result<u64> {
        self.check(Operation::Queue)?;
        self.party.purge()
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

/// As whoever asked for last: `room` or `messages`.
impl Wait for Handle {
    fn source(&self) -> Result<Source> {
        self.check(self.operation())?;
        Ok(self.bell()?.clone())
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.check(self.operation())?;
        // A handle that waits: others may meet at new memory of the same name meanwhile.
        self.memory().insist_named(self.operation())?;
        let task = matches!(waiter, Waiter::Task(_));
        if task {
            self.bell()?.silence();
        }
        self.party.arm(self.kind, task, self.operation())
    }

    fn park(&mut self, timeout: Duration) {
        if self.check(self.operation()).is_ok() {
            self.party.park(timeout);
        }
    }

    fn disarm(&mut self) {
        if self.check(self.operation()).is_ok() {
            self.party.disarm();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let memory = &self.party.company.memory;
        if memory.generation() == generation() {
            if self.bell.get().is_some() {
                memory.remove_bell(self.seat.number());
            }
            self.party.disarm();
        }
    }
}

/// The other handles of the queue, in whatever process.
#[derive(Debug)]
struct Others {
    memory: Arc<Memory>,
    region: Region,
    seats: ParticipantSlots,
    /// Of a seat, in a turn of it.
    bells: Vec<((u32, u32), WakeFifo)>,
}

impl LockBackend for Others {
    fn is_dead(&self, ticket: OwnerId) -> bool {
        self.seats.is_dead(&self.memory, &self.region, ticket)
    }
    fn sleep(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
        sleep(word, expected, timeout);
    }
    fn wake(&self, word: &AtomicU32) {
        wake(word);
    }
}

impl Company for Others {
    fn ring(&mut self, seat: u32) {
        let whose = (seat, self.seats.turn(&self.region, seat));
        if let Some((_, bell)) = self.bells.iter().find(|(of, _)| *of == whose) {
            return bell.ring();
        }
        // One that does not open is the bell of someone who is leaving.
        let Some(bell) = self.memory.open_bell(seat) else { return };
        bell.ring();
        self.bells.retain(|((of, _), _)| *of != seat);
        if self.bells.len() < MAX_BELLS {
            self.bells.push((whose, bell));
        }
    }
}
