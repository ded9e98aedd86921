use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Operation, RecvHalf, Result, SendHalf, Wait, Waiter,
};

use crate::pipe::{Hints, Pipe};

/// Both ends of a fresh channel; `hint` names the first end's receiver.
pub(crate) fn pair(
    capacity: usize,
    hint: Option<(Arc<Hints>, u64)>,
) -> ((Sender, Receiver), (Sender, Receiver)) {
    let (here, there) = (Arc::new(Pipe::new(capacity, hint)), Arc::new(Pipe::new(capacity, None)));
    (
        (Sender::new(there.clone()), Receiver::new(here.clone())),
        (Sender::new(here), Receiver::new(there)),
    )
}

/// The sending half. Dropping it delivers what was sent, then closes the direction.
pub struct Sender {
    pipe: Arc<Pipe>,
    /// Where `fill` writes, so that the queue is not locked meanwhile.
    scratch: Vec<u8>,
    /// The length last asked for: what to wait for room for.
    wanted: usize,
}

impl Sender {
    fn new(pipe: Arc<Pipe>) -> Self {
        Self { pipe, scratch: Vec::new(), wanted: 0 }
    }

    fn check_length(&self, len: usize) -> Result<()> {
        let max = self.pipe.max_frame();
        if len <= max {
            return Ok(());
        }
        Err(Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
            "a frame of {len} bytes; at most {max} fit (a larger capacity= may help)"
        )))
    }
}

impl SendHalf for Sender {
    fn max_frame(&self) -> usize {
        self.pipe.max_frame()
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
        self.pipe.check_room(max)?;
        if self.scratch.len() < max {
            self.scratch.resize(max, 0);
        }
        match fill(&mut self.scratch[..max]) {
            Some(used) => self.pipe.push(flags, &self.scratch[..used.min(max)]),
            None => Ok(()),
        }
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.check_length(payload.len())?;
        self.wanted = payload.len();
        self.pipe.push(flags, payload)
    }
}

impl Wait for Sender {
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        Ok(self.pipe.arm_writer(waiter, self.wanted))
    }

    fn park(&mut self, timeout: Duration) {
        self.pipe.park_writer(timeout);
    }

    fn disarm(&mut self) {
        self.pipe.disarm_writer();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.pipe.sender_leaves();
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("max_frame", &self.max_frame()).finish_non_exhaustive()
    }
}

/// The receiving half. Dropping it tells the sender that nobody listens.
pub struct Receiver {
    pipe: Arc<Pipe>,
    /// Where a frame lies while `read` looks at it, so that the queue is not locked meanwhile.
    scratch: Vec<u8>,
}

impl Receiver {
    fn new(pipe: Arc<Pipe>) -> Self {
        Self { pipe, scratch: Vec::new() }
    }
}

impl RecvHalf for Receiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        self.scratch.clear();
        let flags = self.pipe.pop(&mut self.scratch)?;
        read(flags, &self.scratch);
        Ok(())
    }

    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        self.pipe.pop(buffer)
    }

    fn token(&self) -> Option<u64> {
        self.pipe.token()
    }
}

impl Wait for Receiver {
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        Ok(self.pipe.arm_reader(waiter))
    }

    fn park(&mut self, timeout: Duration) {
        self.pipe.park_reader(timeout);
    }

    fn disarm(&mut self) {
        self.pipe.disarm_reader();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.pipe.receiver_leaves();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("token", &self.token()).finish_non_exhaustive()
    }
}
