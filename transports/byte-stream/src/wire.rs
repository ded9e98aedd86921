//! The bytes of a channel. Each direction is a stream of its own: frames, then a goodbye. The other way, that
//! stream carries one byte, [`STOP`], when the receiver closes in order. So each half has its own descriptors,
//! and neither ever has to read past what is meant for the other.

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
pub(crate) fn read(header: [u8; FRAME_HEADER]) -> Result<Next> {
    if header == BYE { Ok(Next::Bye) } else { FrameHeader::decode(header, MAX_FRAME).map(Next::Frame) }
}
