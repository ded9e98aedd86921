//! What the kernel has room for. It takes a part of a frame when a send buffer fills up in its midst, so nothing is sent
//! that may not fit. How much memory is used says the kernel; between two questions the sender counts what it sends at
//! the most that it can cost. Nobody else fills the buffer, so what is really free is never less than what is counted.

use std::io;

use anyipc_os::{Fd, limit_unsent, segment, send_memory, unlock_send_buffer, unsent};
use rustix::net::{send, sockopt};

use super::Stream;
use crate::sys::unix::socket::SEND;
use crate::wire::{BYE, MAX_ENCODED, MAX_FRAME};
use anyipc_core::FRAME_HEADER;

/// A local stream takes a longer frame apart into pieces of 32 KiB and the rest of a page.
const PIECE: usize = 34 << 10;
/// What a TCP segment costs more than its bytes: 832 in Linux 6.18, more in older ones.
const SEGMENT: usize = 1280;
/// TCP segments are taken to be no shorter than this, in bytes.
const SHORTEST: usize = 256;

/// A sender's count of the room in a stream's send buffer, in bytes of the kernel's memory.
#[derive(Debug)]
pub(crate) struct SendRoom {
    /// A lower bound of what is free. What a goodbye costs is not counted as free.
    free: usize,
    kind: Kind,
    max_frame: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Local {
        piece: usize,
        page: usize,
        /// How much memory in use makes a sender wait. More than what the kernel calls writable.
        most: usize,
    },
    Tcp {
        segment: usize,
        /// How many unsent bytes make the kernel say that there is no room.
        unsent: usize,
    },
}

impl Kind {
    /// What a send of so many bytes costs at most.
    #[inline]
    fn cost(self, len: usize) -> usize {
        let (piece, more) = match self {
            Self::Local { piece, page, .. } => (piece, page),
            Self::Tcp { segment, .. } => (segment, SEGMENT),
        };
        // Short ones lie in memory of the next power of two, beside the kernel's own record.
        len + (len / piece + 1) * more.min(len + 1024)
    }

    /// What is free at least while the source is ready, of a buffer of this size.
    fn when_ready(self, limit: usize) -> usize {
        match self {
            Self::Local { .. } => limit - limit / 4,
            Self::Tcp { .. } => limit / 3,
        }
    }

    /// The size of a buffer in which that is enough for the longest frame and a goodbye.
    fn needs(self) -> usize {
        let longest = self.cost(MAX_ENCODED) + self.cost(BYE.len());
        match self {
            Self::Local { .. } => longest + longest / 3 + 4,
            Self::Tcp { .. } => 3 * longest,
        }
    }
}

impl SendRoom {
    /// Of a local stream that is to have about so many bytes in flight.
    pub(super) fn local(fd: &Fd, asked: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let usual = Kind::Local { piece: PIECE, page, most: 0 };
        // The kernel doubles what it is told, and makes it less if it is over its limit.
        sockopt::set_socket_send_buffer_size(fd, asked.max(usual.needs() / 2))?;
        let limit = sockopt::socket_send_buffer_size(fd)?;
        let (piece, most) = (PIECE.min(limit / 2 - 64), (2 * asked).max(limit / 4 + 1));
        Self::new(Kind::Local { piece, page, most }, limit)
    }

    /// Of a TCP connection that stands and is to hold about so many bytes unsent.
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
                        "the system grants a send buffer of {limit} bytes only; raise net.core.wmem_max"
                    ),
                ));
            }
        }
        Ok(Self { free: 0, kind, max_frame })
    }

    pub(crate) fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// Whether so many bytes have room as far as is known; counts them if so.
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

    /// As [`suffices`](Self::suffices), after asking the kernel. An error is what a send would give.
    #[cold]
    pub(crate) fn ask(&mut self, stream: &Stream, len: usize) -> io::Result<bool> {
        let fd = stream.fd();
        let memory = send_memory(fd)?;
        let free = match self.kind {
            Kind::Local { most, .. } => match most.checked_sub(memory.allocated + 1) {
                // One frame more than that, as everywhere.
                Some(left) => memory
                    .limit
                    .saturating_sub(memory.allocated)
                    .min(left + self.kind.cost(len + BYE.len())),
                None => 0,
            },
            Kind::Tcp { unsent: most, .. } => {
                // Short of memory, the kernel takes from a buffer that it has sized itself.
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
        // Nothing is sent, but an end of the connection is told.
        send(fd, &[], SEND)?;
        Ok(false)
    }

    /// The next send is to ask.
    pub(crate) fn is_used_up(&mut self) {
        self.free = 0;
    }
}

/// Makes a TCP connection's send buffer this large, and lets the kernel enlarge it further, where it can do that for one
/// whose size was set. Gives what it is.
fn raise(fd: &Fd, limit: usize) -> io::Result<usize> {
    sockopt::set_socket_send_buffer_size(fd, limit / 2 + 1)?;
    let _ = unlock_send_buffer(fd);
    Ok(sockopt::socket_send_buffer_size(fd)?)
}
