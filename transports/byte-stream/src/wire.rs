//! The bytes of a channel. Each direction is frames, then a goodbye. When the receiver closes in order, it says so by one
//! byte, [`STOP`], which never stands among frames: it travels back over a stream that carries frames in one direction
//! only, or over one that carries nothing else.

use anyipc_core::{FRAME_HEADER, FrameHeader, Result};

/// The longest frame, in bytes of payload.
pub const MAX_FRAME: usize = 64 << 10;
/// What a frame takes at most.
pub const ROOM: usize = FRAME_HEADER + MAX_FRAME;
/// Says that the sender closed in order: a header that is none, as no frame is that long.
pub const BYE: [u8; FRAME_HEADER] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Says that the receiver closed in order.
pub const STOP: u8 = 1;

/// What a header announces.
pub(crate) enum Next {
    Frame(FrameHeader),
    Bye,
}

/// Reads a header; the length is checked before anyone believes it.
#[inline]
pub(crate) fn read(header: [u8; FRAME_HEADER]) -> Result<Next> {
    if header == BYE { Ok(Next::Bye) } else { FrameHeader::decode(header, MAX_FRAME).map(Next::Frame) }
}
