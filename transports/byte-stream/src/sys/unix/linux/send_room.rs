//! The room in a send buffer of the kernel's. The kernel takes a part of a frame when the buffer
//! fills up inside it, so nothing is sent that may not fit.
//!
//! The kernel tells how much memory is used. Between two such questions the sender counts each send
//! at the most that it can cost. It is the only one that fills the buffer, so the real room is
//! never less than what is counted.

use std::io;

use anyipc_os::{Fd, limit_unsent, segment, send_memory, unlock_send_buffer, unsent};
use rustix::net::{send, sockopt};

use super::Stream;
use crate::sys::unix::socket::SEND;
use crate::wire::{BYE, MAX_ENCODED, MAX_FRAME};
use anyipc_core::FRAME_HEADER;

/// A local stream splits a longer frame into pieces of 32 KiB and the rest of a page.
const PIECE: usize = 34 << 10;
/// What a TCP segment costs beside its bytes, in bytes: 832 in Linux 6.18, more in older kernels.
const SEGMENT: usize = 1280;
/// The assumed length of the shortest TCP segment, in bytes.
const SHORTEST: usize = 256;

/// A sender's count of the room in a stream's send buffer, in bytes of the kernel's memory.
#[derive(Debug)]
pub(crate) struct SendRoom {
    /// A lower bound of what is free, without what a goodbye costs.
    free: usize,
    kind: Kind,
    max_frame: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Local {
        piece: usize,
        page: usize,
        /// The memory in use at which a sender waits. More than where the kernel stops to call the
        /// socket writable.
        most: usize,
    },
    Tcp {
        segment: usize,
        /// The unsent bytes at which the kernel says that there is no room.
        unsent: usize,
    },
}

impl Kind {
    /// The most that a send of `len` bytes costs, in bytes of the kernel's memory.
    #[inline]
    fn cost(self, len: usize) -> usize {
        let (piece, more) = match self {
            Self::Local { piece, page, .. } => (piece, page),
            Self::Tcp { segment, .. } => (segment, SEGMENT),
        };
        // Short sends take memory of the next power of two, beside the kernel's own record.
        len + (len / piece + 1) * more.min(len + 1024)
    }

    /// What is free at least while the source is ready, in a buffer of this size.
    fn when_ready(self, limit: usize) -> usize {
        match self {
            Self::Local { .. } => limit - limit / 4,
            Self::Tcp { .. } => limit / 3,
        }
    }

    /// The size of a buffer in which that suffices for the longest frame and a goodbye.
    fn needs(self) -> usize {
        let longest = self.cost(MAX_ENCODED) + self.cost(BYE.len());
        match self {
            Self::Local { .. } => longest + longest / 3 + 4,
            Self::Tcp { .. } => 3 * longest,
        }
    }
}

impl SendRoom {
    /// The room of a local stream with about `asked` bytes in flight.
    pub(super) fn local(fd: &Fd, asked: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let usual = Kind::Local { piece: PIECE, page, most: 0 };
        // The kernel doubles the value that it is given, and lowers it to its own limit.
        sockopt::set_socket_send_buffer_size(fd, asked.max(usual.needs() / 2))?;
        let limit = sockopt::socket_send_buffer_size(fd)?;
        let (piece, most) = (PIECE.min(limit / 2 - 64), (2 * asked).max(limit / 4 + 1));
        Self::new(Kind::Local { piece, page, most }, limit)
    }

    /// The room of an established TCP connection that holds about `asked` bytes unsent.
    pub(super) fn tcp(fd: &Fd, asked: usize) -> io::Result<Self> {
        let segment = segment(fd)?.max(SHORTEST);
        let mut kind = Kind::Tcp { segment, unsent: 0 };
        // The kernel says that there is room while less than half of the limit is unsent.
        let unsent = asked.max(2 * (kind.cost(MAX_ENCODED) + kind.cost(BYE.len())));
        limit_unsent(fd, unsent)?;
        kind = Kind::Tcp { segment, unsent };
        let limit = match send_memory(fd)?.limit {
            limit if limit < kind.needs() => raise(fd, kind.needs())?,
            limit => limit,
        };
        Self::new(kind, limit)
    }

    fn new(kind: Kind, limit: usize) -> io::Result<Self> {
        let free = kind.when_ready(limit).saturating_sub(kind.cost(BYE.len()));
        let mut max_frame = MAX_FRAME;
        while kind.cost(FRAME_HEADER + max_frame) > free {
            max_frame -= max_frame / 8;
            if max_frame < 8 {
                return Err(io::Error::new(
                    io::ErrorKind::OutOfMemory,
                    format!(
                        "the system grants a send buffer of {limit} bytes only; raise \
                         net.core.wmem_max"
                    ),
                ));
            }
        }
        Ok(Self { free: 0, kind, max_frame })
    }

    pub(crate) fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// True if `len` bytes have room as far as is known. Then counts them.
    #[inline]
    pub(crate) fn suffices(&mut self, len: usize) -> bool {
        match self.free.checked_sub(self.kind.cost(len)) {
            Some(left) => {
                self.free = left;
                true
            }
            None => false,
        }
    }

    /// As [`suffices`](Self::suffices), after asking the kernel. Fails as a send would.
    #[cold]
    pub(crate) fn ask(&mut self, stream: &Stream, len: usize) -> io::Result<bool> {
        let fd = stream.fd();
        let memory = send_memory(fd)?;
        let free = match self.kind {
            Kind::Local { most, .. } => match most.checked_sub(memory.allocated + 1) {
                // The frame that reaches the limit may exceed it, as on every platform.
                Some(left) => memory
                    .limit
                    .saturating_sub(memory.allocated)
                    .min(left + self.kind.cost(len + BYE.len())),
                None => 0,
            },
            Kind::Tcp { unsent: most, .. } => {
                // When memory is short, the kernel shrinks a buffer that it has sized itself.
                let needs =
                    self.kind.cost(FRAME_HEADER + self.max_frame) + self.kind.cost(BYE.len());
                let limit =
                    if memory.limit < 3 * needs { raise(fd, 3 * needs)? } else { memory.limit };
                limit.saturating_sub(memory.queued).min(most.saturating_sub(unsent(fd)?))
            }
        };
        self.free = free.saturating_sub(self.kind.cost(BYE.len()));
        if self.suffices(len) {
            return Ok(true);
        }
        // A send of nothing: it fails if the connection has ended.
        send(fd, &[], SEND)?;
        Ok(false)
    }

    /// Makes the next send ask.
    pub(crate) fn is_used_up(&mut self) {
        self.free = 0;
    }
}

/// Sets the send buffer of a TCP connection to this size, and lets the kernel raise it further,
/// where it can do that for a buffer of a set size. Returns the resulting size.
fn raise(fd: &Fd, limit: usize) -> io::Result<usize> {
    sockopt::set_socket_send_buffer_size(fd, limit / 2 + 1)?;
    let _ = unlock_send_buffer(fd);
    Ok(sockopt::socket_send_buffer_size(fd)?)
}
