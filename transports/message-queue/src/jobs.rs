//! What ends and extends the leases of a handle, for any thread. Has a client of its own under the
//! handle's owner id, and keeps the handle's participant slot: leases end when both are gone.

use std::sync::{Arc, Mutex, PoisonError};

use anyipc_core::{LeaseId, Leases, Operation, Result, Settle};
use anyipc_memory::ParticipantSlot;

use crate::client::QueueClient;
use crate::queue::OtherHandles;

#[derive(Debug)]
pub(crate) struct Jobs {
    /// Takes the locks of the queue under the same owner id as the handle does: a lock that one of
    /// them has is not free for the other, and a look at the owner finds it alive.
    client: Mutex<QueueClient<OtherHandles>>,
    _slot: Arc<ParticipantSlot>,
}

impl Jobs {
    pub(crate) fn new(client: QueueClient<OtherHandles>, slot: Arc<ParticipantSlot>) -> Arc<Self> {
        Arc::new(Self { client: Mutex::new(client), _slot: slot })
    }
}

impl Leases for Jobs {
    fn settle(&self, lease: LeaseId, how: Settle) -> Result<()> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.peers.memory().check(Operation::Queue)?;
        client.settle(lease, how)
    }
}
