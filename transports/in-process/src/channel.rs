use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Operation, RecvHalf, Result, SendHalf, Wait, Waiter,
};

use crate::direction::{Direction, Hints};

/// Both ends of a new channel, the owner's first. `hint` is the number under which
/// [`Endpoint::ready`](anyipc_core::Endpoint::ready) reports the owner's receiver, and where to
/// report.
pub(crate) fn pair(
    capacity: usize,
    hint: Option<(Arc<Hints>, u64)>,
) -> ((InProcessSender, InProcessReceiver), (InProcessSender, InProcessReceiver)) {
    let to_owner = Arc::new(Direction::new(capacity, hint));
    let to_opener = Arc::new(Direction::new(capacity, None));
    (
        (InProcessSender::new(to_opener.clone()), InProcessReceiver::new(to_owner.clone())),
        (InProcessSender::new(to_owner), InProcessReceiver::new(to_opener)),
    )
}

/// The sending half of a channel. Dropping it closes the direction; the receiver still gets every
/// frame that was sent.
pub struct InProcessSender {
    direction: Arc<Direction>,
    /// What `fill` writes to: it must not run while the direction is locked. Grows to the longest
    /// frame.
    scratch: Vec<u8>,
    /// The length of the last frame that was tried, in bytes: `arm` waits until that many fit.
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
        // This half is the only one that uses room up: what is free now is free after `fill`.
        self.direction.check_room(max)?;
        if self.scratch.len() < max {
            self.scratch.resize(max, 0);
        }
        match fill(&mut self.scratch[..max]) {
            Some(used) => self.direction.push(flags, &self.scratch[..used.min(max)]),
            None => Ok(()),
        }
    }

    // Overridden to skip the copy into `scratch`.
    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.check_length(payload.len())?;
        self.wanted = payload.len();
        self.direction.push(flags, payload)
    }
}

impl Wait for InProcessSender {
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        Ok(self.direction.arm_sender(waiter, self.wanted))
    }

    fn park(&mut self, timeout: Duration) {
        self.direction.park_sender(timeout);
    }

    fn disarm(&mut self) {
        self.direction.disarm_sender();
    }
}

impl Drop for InProcessSender {
    fn drop(&mut self) {
        self.direction.close_sender();
    }
}

impl fmt::Debug for InProcessSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max_frame = self.max_frame();
        f.debug_struct("InProcessSender").field("max_frame", &max_frame).finish_non_exhaustive()
    }
}

/// The receiving half of a channel. Dropping it closes the direction; the sender then gets
/// `Closed`.
pub struct InProcessReceiver {
    direction: Arc<Direction>,
    /// A copy of the frame that `read` looks at: it must not run while the direction is locked.
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

    // Overridden to skip the copy into `scratch`.
    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        self.direction.pop(buffer)
    }

    fn token(&self) -> Option<u64> {
        self.direction.token()
    }
}

impl Wait for InProcessReceiver {
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        Ok(self.direction.arm_receiver(waiter))
    }

    fn park(&mut self, timeout: Duration) {
        self.direction.park_receiver(timeout);
    }

    fn disarm(&mut self) {
        self.direction.disarm_receiver();
    }
}

impl Drop for InProcessReceiver {
    fn drop(&mut self) {
        self.direction.close_receiver();
    }
}

impl fmt::Debug for InProcessReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessReceiver").field("token", &self.token()).finish_non_exhaustive()
    }
}
