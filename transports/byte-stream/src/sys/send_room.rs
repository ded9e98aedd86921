//! What there is room for where the system, or the flow control above it, takes all or nothing, or can make room for the
//! rest of a frame by enlarging its buffer.

use std::io;

use super::Stream;
use crate::wire::MAX_FRAME;

/// What a sender knows of the room in its stream.
#[derive(Debug, Default)]
pub(crate) struct SendRoom {
    /// The last send found no room, or only some in a buffer that was enlarged for it.
    full: bool,
}

impl SendRoom {
    pub(crate) fn max_frame(&self) -> usize {
        MAX_FRAME
    }

    /// Whether a send has room as far as is known.
    #[inline]
    pub(crate) fn suffices(&mut self, _len: usize) -> bool {
        !self.full
    }

    /// The same after asking the stream.
    #[cold]
    pub(crate) fn ask(&mut self, stream: &Stream, _len: usize) -> io::Result<bool> {
        stream.shrink();
        self.full = !stream.writable();
        Ok(!self.full)
    }

    /// The next send is to ask.
    pub(crate) fn is_used_up(&mut self) {
        self.full = true;
    }
}
