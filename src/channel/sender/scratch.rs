//! `send_with` of more than a frame takes: the closure writes into a private buffer, which is sent
//! as fragments.

use anyipc_core::{KEPT, Result, give_back};

use super::Sender;
use super::frames::{Pending, overfilled};

/// The buffer, kept from one message to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Empty while a call has taken it.
    buffer: Vec<u8>,
    /// Messages sent when the buffer was last used.
    used_at: u64,
}

impl Scratch {
    pub(super) fn is_large(&self) -> bool {
        self.buffer.capacity() > KEPT
    }

    /// Frees a large buffer if enough of the `messages` sent so far did not need it.
    pub(super) fn give_back(&mut self, messages: u64) {
        give_back(&mut self.buffer, messages - self.used_at);
    }
}

impl Sender {
    /// Takes the scratch buffer, filled and cut to the message. `None` if `fill` sends nothing.
    pub(crate) fn write_scratch(
        &mut self,
        max: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<Option<Vec<u8>>> {
        self.check_len(max)?;
        let mut message = std::mem::take(&mut self.scratch.buffer);
        message.resize(max, 0);
        match fill(&mut message) {
            Some(len) if len > max => Err(self.explain(overfilled(len, max))),
            Some(len) => {
                message.truncate(len);
                Ok(Some(message))
            }
            None => {
                self.return_scratch(message);
                Ok(None)
            }
        }
    }

    /// Puts the buffer back after [`write_scratch`](Self::write_scratch).
    pub(crate) fn return_scratch(&mut self, buffer: Vec<u8>) {
        self.scratch.buffer = buffer;
        self.scratch.used_at = self.messages;
        if self.pending == Pending::Nothing {
            self.pending = self.pending_between_messages();
        }
    }
}
