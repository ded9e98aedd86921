//! What ends and extends the leases of a handle, for any thread. Has clients of its own under the
//! handle's owner id, and keeps the handle's participant slot: leases end when both are gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::{LeaseId, Leases, Operation, Result, Settle};
use anyipc_memory::{ParticipantSlot, Segment};

use crate::client::QueueClient;
use crate::layout::Geometry;
use crate::queue::OtherHandles;
use crate::store::Store;

/// The most clients that are kept for later calls.
const MAX_KEPT: usize = 4;

#[derive(Debug)]
pub(crate) struct Jobs {
    memory: Arc<Segment>,
    geometry: Geometry,
    slot: Arc<ParticipantSlot>,
    /// Clients that no thread uses at the moment: each call has one for itself, so that none waits
    /// for a call that waits for a stopped process.
    idle: Mutex<Vec<QueueClient<OtherHandles>>>,
}

impl Jobs {
    pub(crate) fn new(
        memory: &Arc<Segment>,
        geometry: Geometry,
        slot: &Arc<ParticipantSlot>,
    ) -> Self {
        Self {
            memory: Arc::clone(memory),
            geometry,
            slot: Arc::clone(slot),
            idle: Mutex::default(),
        }
    }

    /// A client that takes the locks of the queue under the same owner id as the handle does: a
    /// lock that one of them has is not free for the other, and a look at the owner finds it alive.
    fn client(&self) -> QueueClient<OtherHandles> {
        let peers = OtherHandles::new(&self.memory, self.geometry.participant_slots());
        let store = Store::new(self.memory.region(), self.geometry);
        QueueClient::new(store, self.slot.owner_id(), peers)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<QueueClient<OtherHandles>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leases for Jobs {
    fn settle(&self, lease: LeaseId, how: Settle) -> Result<()> {
        // First: in a forked child a thread that is not there may have the mutex.
        self.memory.check(Operation::Queue)?;
        let kept = self.idle().pop();
        let mut client = kept.unwrap_or_else(|| self.client());
        let settled = client.settle(lease, how);
        let mut idle = self.idle();
        if idle.len() < MAX_KEPT {
            idle.push(client);
        }
        settled
    }
}
