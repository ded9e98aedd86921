//! Room for frames where the system, or the flow control above it, takes all or nothing, or can
//! make room for the rest of a frame by a raised send buffer.

use std::io;

use super::Stream;
use crate::wire::MAX_FRAME;

/// What a sender knows of the room in its stream.
#[derive(Debug, Default)]
pub(crate) struct SendRoom {
    /// True if the last send found no room, or only in a raised send buffer.
    full: bool,
}

impl SendRoom {
    pub(crate) fn max_frame(&self) -> usize {
        MAX_FRAME
    }

    /// True if a send has room as far as is known.
    #[inline]
    pub(crate) fn suffices(&mut self, _len: usize) -> bool {
        !self.full
    }

    /// As [`suffices`](Self::suffices), after asking the stream.
    #[cold]
    pub(crate) fn ask(&mut self, stream: &Stream, _len: usize) -> io::Result<bool> {
        stream.reset_send_buffer();
        self.full = !stream.writable();
        Ok(!self.full)
    }

    /// Makes the next send ask.
    pub(crate) fn is_used_up(&mut self) {
        self.full = true;
    }
}
