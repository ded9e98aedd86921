//! The bytes of a channel.
//!
//! Each direction is frames, each a header and its payload, then a goodbye. A receiver that closes
//! in order says so by one byte, [`STOP`], which is never sent among frames: it travels back over a
//! stream that carries frames in one direction only, or over a control stream.

use anyipc_core::{FRAME_HEADER, Flags, FrameHeader, Result};

/// The longest frame, in bytes of payload.
pub const MAX_FRAME: usize = 64 << 10;
/// The longest frame with its header, in bytes.
pub const MAX_ENCODED: usize = FRAME_HEADER + MAX_FRAME;
/// The goodbye: the sender closed in order. A header that no frame has, as none is that long.
pub const BYE: [u8; FRAME_HEADER] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// A mark: asks the receiver to say [`TAKEN`] once it has received everything before. Also a header
/// that no frame has. Only over carriers that are ready although a frame has no room.
pub const MARK: [u8; FRAME_HEADER] = [0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// The receiver's byte: everything before a [`MARK`] is received.
pub const TAKEN: u8 = 2;
/// The receiver's byte: it closed in order.
pub const STOP: u8 = 1;

/// The flags and the payload of the frame at the beginning of `bytes`, if it is there whole. One
/// that claims more than [`MAX_FRAME`] never is, in a buffer of [`MAX_ENCODED`].
#[inline]
pub(crate) fn whole(bytes: &[u8]) -> Option<(Flags, &[u8])> {
    let (header, rest) = bytes.split_first_chunk()?;
    let header = FrameHeader::decode_any(*header)?;
    Some((header.flags, rest.get(..header.len as usize)?))
}

/// What a header is.
pub(crate) enum Word {
    Frame,
    Bye,
    Mark,
}

/// Reads a header; `Corrupt` if it is none of these.
pub(crate) fn word(header: [u8; FRAME_HEADER]) -> Result<Word> {
    Ok(match header {
        BYE => Word::Bye,
        MARK => Word::Mark,
        _ => FrameHeader::decode(header, MAX_FRAME).map(|_| Word::Frame)?,
    })
}
