use std::task::Waker;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Operation, Result, SendHalf, Source, Wait, Waiter,
};
use anyipc_memory::handover::{Half, Link, Liveness, ReadySlot};

use super::PeerHalf;
use crate::client::QueueClient;
use crate::store::state;
use crate::waiters::ROOM;

/// The sending half of a channel over queues.
#[derive(Debug)]
pub struct QueueSender {
    client: QueueClient<PeerHalf>,
    liveness: Liveness,
    ready: Option<ReadySlot>,
    /// The private copy that the closure of `try_send_with` fills.
    scratch: Vec<u8>,
}

impl QueueSender {
    pub(super) fn new(client: QueueClient<PeerHalf>, ready: Option<ReadySlot>) -> Self {
        Self { client, liveness: Liveness::new(), ready, scratch: Vec::new() }
    }

    fn link(&self) -> &Link {
        &self.client.peers.link
    }

    /// `Ok` if a frame of this length can be sent now.
    #[inline]
    fn begin(&mut self, len: usize) -> Result<()> {
        self.link().check_generation(Operation::Send)?;
        if len > self.max_frame() {
            return Err(self.too_large(len));
        }
        if self.client.store().has_state(state::RECEIVER_LEFT) {
            return Err(Error::new(Operation::Send, ErrorKind::Closed));
        }
        // Checked before the send: a caller that sends once a minute must not lose a frame first.
        if self.link().is_gone() || self.liveness.is_due() && self.link().check_gone() {
            return Err(self.gone());
        }
        // This is the only sender: room that is there now stays.
        if self.client.has_room(len) {
            Ok(())
        } else {
            Err(Error::new(Operation::Send, ErrorKind::WouldBlock))
        }
    }

    #[inline]
    fn push(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.client.send(0, flags.bits(), payload).map_err(super::explain)?;
        if let Some(ready) = &self.ready
            && ready.mark()
        {
            self.link().ring_doorbell();
        }
        Ok(())
    }

    /// `Closed` if the receiver left in order before its process ended.
    #[cold]
    fn gone(&self) -> Error {
        let closed = self.client.store().has_state(state::RECEIVER_LEFT);
        Error::new(Operation::Send, if closed { ErrorKind::Closed } else { ErrorKind::PeerGone })
    }

    #[cold]
    fn too_large(&self, len: usize) -> Error {
        Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
            "a frame of {len} bytes is longer than the {} that a channel of this capacity takes",
            self.max_frame()
        ))
    }
}

impl SendHalf for QueueSender {
    fn max_frame(&self) -> usize {
        self.client.store().geometry().longest
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.begin(max)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(max, 0);
        let sent = match fill(&mut scratch) {
            Some(used) => self.push(flags, &scratch[..used.min(max)]),
            None => Ok(()),
        };
        self.scratch = scratch;
        sent
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.begin(payload.len())?;
        self.push(flags, payload)
    }

    fn try_flush(&mut self) -> Result<()> {
        self.link().check_generation(Operation::Send)
    }
}

impl Wait for QueueSender {
    fn source(&self) -> Result<Source> {
        self.link().source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        super::arm(&mut self.client, ROOM, Half::Sender, waiter, Operation::Send)
    }

    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        super::rearm(&mut self.client, ROOM, Half::Sender, waker, Operation::Send)
    }

    fn park(&mut self, timeout: Duration) {
        super::park(&self.client, Half::Sender, timeout);
    }

    fn disarm(&mut self) {
        if self.link().is_ours() {
            self.client.disarm();
        }
    }
}

impl Drop for QueueSender {
    fn drop(&mut self) {
        if self.link().is_ours() {
            self.client.leave(state::SENDER_LEFT);
            if let Some(ready) = &self.ready
                && ready.mark()
            {
                self.link().ring_doorbell();
            }
        }
    }
}
