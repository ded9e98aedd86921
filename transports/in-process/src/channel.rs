use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Operation, RecvHalf, Result, SendHalf, Wait, Waiter,
};

use crate::direction::{Direction, Hints};

/// Both ends of a fresh channel; `hint` names the first end's receiver.
pub(crate) fn pair(
    capacity: usize,
    hint: Option<(Arc<Hints>, u64)>,
) -> ((InProcessSender, InProcessReceiver), (InProcessSender, InProcessReceiver)) {
    let (here, there) =
        (Arc::new(Direction::new(capacity, hint)), Arc::new(Direction::new(capacity, None)));
    (
        (InProcessSender::new(there.clone()), InProcessReceiver::new(here.clone())),
        (InProcessSender::new(here), InProcessReceiver::new(there)),
    )
}

/// The sending half. Dropping it delivers what was sent, then closes the direction.
pub struct InProcessSender {
    direction: Arc<Direction>,
    /// Where `fill` writes, so that the queue is not locked meanwhile.
    scratch: Vec<u8>,
    /// The length last asked for: what to wait for room for.
    wanted: usize,
}

impl InProcessSender {
    fn new(direction: Arc<Direction>) -> Self {
        Self { direction, scratch: Vec::new(), wanted: 0 }
    }

    fn check_length(&self, len: usize) -> Result<()> {
        let max = self.direction.max_frame();
        if len <= max {
            return Ok(());
        }
        Err(Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
            "a frame of {len} bytes; at most {max} fit (a larger capacity= may help)"
        )))
    }
}

impl SendHalf for InProcessSender {
    fn max_frame(&self) -> usize {
        self.direction.max_frame()
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.check_length(max)?;
        self.wanted = max;
        // Only this half takes room away: what is there now is there after `fill`.
        self.direction.check_room(max)?;
        if self.scratch.len() < max {
            self.scratch.resize(max, 0);
        }
        match fill(&mut self.scratch[..max]) {
            Some(used) => self.direction.push(flags, &self.scratch[..used.min(max)]),
            None => Ok(()),
        }
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.check_length(payload.len())?;
        self.wanted = payload.len();
        self.direction.push(flags, payload)
    }
}

impl Wait for InProcessSender {
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        Ok(self.direction.arm_writer(waiter, self.wanted))
    }

    fn park(&mut self, timeout: Duration) {
        self.direction.park_writer(timeout);
    }

    fn disarm(&mut self) {
        self.direction.disarm_writer();
    }
}

impl Drop for InProcessSender {
    fn drop(&mut self) {
        self.direction.sender_leaves();
    }
}

impl fmt::Debug for InProcessSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessSender")
            .field("max_frame", &self.max_frame())
            .finish_non_exhaustive()
    }
}

/// The receiving half. Dropping it tells the sender that nobody listens.
pub struct InProcessReceiver {
    direction: Arc<Direction>,
    /// Where a frame lies while `read` looks at it, so that the queue is not locked meanwhile.
    scratch: Vec<u8>,
}

impl InProcessReceiver {
    fn new(direction: Arc<Direction>) -> Self {
        Self { direction, scratch: Vec::new() }
    }
}

impl RecvHalf for InProcessReceiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        self.scratch.clear();
        let flags = self.direction.pop(&mut self.scratch)?;
        read(flags, &self.scratch);
        Ok(())
    }

    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        self.direction.pop(buffer)
    }

    fn token(&self) -> Option<u64> {
        self.direction.token()
    }
}

impl Wait for InProcessReceiver {
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        Ok(self.direction.arm_reader(waiter))
    }

    fn park(&mut self, timeout: Duration) {
        self.direction.park_reader(timeout);
    }

    fn disarm(&mut self) {
        self.direction.disarm_reader();
    }
}

impl Drop for InProcessReceiver {
    fn drop(&mut self) {
        self.direction.receiver_leaves();
    }
}

impl fmt::Debug for InProcessReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessReceiver").field("token", &self.token()).finish_non_exhaustive()
    }
}
