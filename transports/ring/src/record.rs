use crate::storage::{HEADER, LINE};

/// The record carries a payload.
pub(crate) const DATA: u8 = 1;
/// The rest of the array is skipped.
pub(crate) const PADDING: u8 = 2;
/// A larger array is offered.
pub(crate) const OFFER: u8 = 3;
/// The next record is in the larger array.
pub(crate) const MOVED: u8 = 4;

/// A record's header word, from the lowest bit: payload length (32 bits), flags (8), kind (8), the
/// low bits of the position (16). Zero is no header: its kind is none of the above.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) len: usize,
    pub(crate) flags: u8,
    pub(crate) kind: u8,
    pub(crate) position: u16,
}

impl Header {
    #[inline]
    pub(crate) const fn pack(len: usize, flags: u8, kind: u8, position: u64) -> u64 {
        len as u64 | (flags as u64) << 32 | (kind as u64) << 40 | (position & 0xffff) << 48
    }

    /// The header of a record without a payload.
    #[inline]
    pub(crate) const fn control(kind: u8, position: u64) -> u64 {
        Self::pack(0, 0, kind, position)
    }

    #[inline]
    pub(crate) const fn unpack(word: u64) -> Self {
        Self {
            len: word as u32 as usize,
            flags: (word >> 32) as u8,
            kind: (word >> 40) as u8,
            position: (word >> 48) as u16,
        }
    }

    /// The header, if an honest producer can have written it at this position of an array with this
    /// many lines.
    #[inline]
    pub(crate) fn check(word: u64, position: u64, lines: u64) -> Option<Self> {
        let header = Self::unpack(word);
        let room = lines - (position & (lines - 1));
        let fits = header.len <= max_payload(lines) && lines_for(header.len) <= room;
        let is_known = matches!(header.kind, DATA | PADDING | OFFER | MOVED);
        (fits && is_known && header.position == position as u16).then_some(header)
    }
}

/// Lines of a record with a payload of `len` bytes.
#[inline]
pub(crate) const fn lines_for(len: usize) -> u64 {
    // No payload comes near the end of the number range.
    (len.wrapping_add(HEADER + LINE - 1) / LINE) as u64
}

/// The longest payload in bytes: a quarter of the array, so that copying in overlaps copying out.
#[inline]
pub(crate) const fn max_payload(lines: u64) -> usize {
    (lines / 4) as usize * LINE
}
