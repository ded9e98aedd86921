//! The bytes of a channel. Each direction is frames, then a goodbye. When the receiver closes in order, it says so by one
//! byte, [`STOP`], which never stands among frames: it travels back over a stream that carries frames in one direction
//! only, or over one that carries nothing else.

use anyipc_core::{FRAME_HEADER, Flags, FrameHeader, Result};

/// The longest frame, in bytes of payload.
pub const MAX_FRAME: usize = 64 << 10;
/// What a frame takes at most.
pub const MAX_ENCODED: usize = FRAME_HEADER + MAX_FRAME;
/// Says that the sender closed in order: a header that is none, as no frame is that long.
pub const BYE: [u8; FRAME_HEADER] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Asks the receiver to say [`TAKEN`] when it has come to this: also no header. Only over carriers whose readiness does
/// not tell whether a frame has room.
pub const MARK: [u8; FRAME_HEADER] = [0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Says that the receiver has come to a [`MARK`].
pub const TAKEN: u8 = 2;
/// Says that the receiver closed in order.
pub const STOP: u8 = 1;

/// The flags and the payload of the frame that begins here, if it is all there. What is longer than a frame may be never
/// is, in a buffer of [`MAX_ENCODED`].
#[inline]
pub(crate) fn whole(bytes: &[u8]) -> Option<(Flags, &[u8])> {
    let (header, rest) = bytes.split_first_chunk()?;
    let header = FrameHeader::decode_any(*header)?;
    Some((header.flags, rest.get(..header.len as usize)?))
}

/// What stands where a frame may begin.
pub(crate) enum Word {
    Frame,
    Bye,
    Mark,
}

/// What these bytes say; `Corrupt` if nothing.
pub(crate) fn word(header: [u8; FRAME_HEADER]) -> Result<Word> {
    Ok(match header {
        BYE => Word::Bye,
        MARK => Word::Mark,
        _ => FrameHeader::decode(header, MAX_FRAME).map(|_| Word::Frame)?,
    })
}
