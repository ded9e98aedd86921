//! A ring of records for one producer and one consumer that share memory and nothing else.
//!
//! The ring is an array of 64-byte lines. A record begins on a line: eight bytes of header, then the payload,
//! contiguous, over as many lines as it takes. The header word is also the publication: the producer stores
//! it last, the consumer polls it where it stands, so that a small message and the news of it travel in one
//! cache line. Two rules make that sound:
//!
//! - *The word after the last record is zero.* Before a record is published, the header word of the line
//!   behind it is zero, so that old payload is never taken for a header. It is cleared ahead,
//!   for another record of the same length, after the publication, where nobody waits for it.
//! - *The consumer gives lines back by its cursor* (`head`), lazily: an eighth of the ring at a time, or when
//!   it finds nothing more to do. The producer re-reads the cursor only when it has run out of lines.
//!
//! A record that would not fit before the end of the array is preceded by padding up to the end.
//!
//! A ring can move to a larger array. The producer offers it by a record, the consumer maps it and answers in
//! its state word; only then does the producer's last record in the old array say that both go on in the new
//! one, with the same control words and the same positions. Two lines are always left for such records.
//!
//! Who publishes looks whether the other side sleeps, and who is about to sleep looks whether something was published:
//! each needs a full fence between its store and its load, or both may miss the other. A fence waits until the record's
//! lines have arrived from the consumer's cache, for each record. So a consumer that keeps looking says that nobody need
//! fence for it (`UNFENCED`), takes that back when nothing has come for a while, and does not sleep before every record
//! that was published without a fence has long been visible: a store leaves its processor's buffer within a few
//! microseconds, interrupts included (Morrison and Afek, *Temporally Bounding TSO for Fence-Free Asymmetric
//! Synchronization*, ASPLOS 2015). If one ever takes longer, the sleep's slice makes it good. (`membarrier(2)`, which is
//! made for this, does not reach processors that idled in the sender's address space when that was registered.)
//!
//! A consumer at the heels of a producer that streams takes away lines that are just being written, and each has to be
//! fetched twice. So it stands still now and then until the producer is some hundred lines ahead, which it sees by a word
//! that the producer stores every few lines (`tail`): a hint for its pace, and for nothing else. Not in a conversation,
//! where each may wait for the other.
//!
//! Each side keeps its own cursor private and checks whatever the other side wrote before it is used: a
//! hostile peer can make a call fail with `Corrupt`, never reach outside the array.

mod consumer;
#[cfg(all(test, loom))]
mod loom_tests;
mod primitive;
mod producer;
pub mod robust;
#[cfg(all(test, not(loom)))]
mod sleeper;
#[cfg(all(test, not(loom)))]
mod tests;
pub mod words;

pub use consumer::Consumer;
pub use producer::{Producer, Pushed};

use crate::primitive::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

/// Bytes of a line, the unit of allocation.
pub const LINE: usize = 64;
/// Bytes of a record's header.
pub const HEADER: usize = 8;
/// A producer takes possession of so many lines at once; no array has fewer, or a part of so many.
pub const TOGETHER: u64 = 8;

/// Bits of a side's state word.
pub mod state {
    /// A thread sleeps on the word itself.
    pub const PARKED: u32 = 1;
    /// A reactor sleeps on the socket.
    pub const POLLING: u32 = 2;
    /// Either.
    pub const WAITING: u32 = PARKED | POLLING;
    /// The side has left for good.
    pub const CLOSED: u32 = 4;
    /// The consumer has the larger array that was offered.
    pub const ACCEPTED: u32 = 8;
    /// The consumer cannot have it.
    pub const DECLINED: u32 = 16;
    /// The consumer's: whoever publishes needs no fence.
    pub const UNFENCED: u32 = 32;
}

/// The memory that the two sides share. Implementations hand out atomics for every word that both sides
/// touch, and payload only inside the array.
pub trait Storage {
    /// Lines in the array: a power of two, at least 8. Private, constant.
    fn lines(&self) -> u64;
    /// Lines given back by the consumer.
    fn head(&self) -> &AtomicU64;
    /// About where the producer is: a hint, for the consumer's pace.
    fn tail(&self) -> &AtomicU64;
    /// The consumer's state word, written by both sides.
    fn consumer(&self) -> &AtomicU32;
    /// The producer's state word, written by both sides.
    fn producer(&self) -> &AtomicU32;
    /// The header word of a line; positions wrap.
    fn header(&self, position: u64) -> &AtomicU64;
    /// Asks for a line's bytes, of which nothing is believed yet.
    fn prefetch(&self, _position: u64) {}
    /// Asks for the [`TOGETHER`] lines around a line, which will be written.
    fn prepare(&self, _position: u64) {}
    /// Calls `f` with `len` payload bytes of the record at `position`, which the caller has to itself. `None` if that goes
    /// beyond the array.
    fn write<R>(&self, position: u64, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> Option<R>;
    /// Calls `f` with `len` payload bytes of the record at `position`, which is published. `None` if that goes beyond the
    /// array.
    fn read<R>(&self, position: u64, len: usize, f: impl FnOnce(&[u8]) -> R) -> Option<R>;
    /// The same of the record whose header `len` finds good and takes its length from, all at once.
    #[inline]
    fn read_next<R>(
        &self,
        position: u64,
        len: impl FnOnce(u64) -> Option<usize>,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        self.read(position, len(self.header(position).load(Ordering::Acquire))?, f)
    }
}

/// Why a ring operation did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Full or empty: wait.
    WouldBlock,
    /// The other side has left, and everything it sent has been consumed.
    Closed,
    /// The other side wrote what cannot be.
    Corrupt,
    /// The caller's closure wanted nothing sent.
    Cancelled,
    /// The producer offers a larger array, see [`Consumer::answer`].
    Offered,
    /// The ring goes on in that array, see [`Consumer::follow`].
    Moved,
}

/// Whom to wake after an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The other side is awake.
    Nobody,
    /// A thread on the peer's state word.
    Thread,
    /// A reactor on the peer's socket.
    Reactor,
    /// One of the two: the peer has changed from one to the other.
    Both,
}

/// Lines that a payload of `len` bytes takes, header included.
#[inline]
pub const fn lines_for(len: usize) -> u64 {
    // No payload comes near the end of the number range.
    (len.wrapping_add(HEADER + LINE - 1) / LINE) as u64
}

/// The longest payload: a quarter of the array, so that copying in overlaps copying out.
#[inline]
pub const fn max_payload(lines: u64) -> usize {
    (lines / 4) as usize * LINE
}

/// A header word: payload length (32 bits), flags (8), kind (8), the low bits of the position (16).
#[derive(Clone, Copy)]
struct Word {
    len: usize,
    flags: u8,
    kind: u8,
    position: u16,
}

/// The record carries a payload.
const DATA: u8 = 1;
/// The rest of the array is skipped.
const PADDING: u8 = 2;
/// A larger array is offered.
const OFFER: u8 = 3;
/// The next record is in the larger array.
const MOVED: u8 = 4;

impl Word {
    #[inline]
    const fn pack(len: usize, flags: u8, kind: u8, position: u64) -> u64 {
        len as u64 | (flags as u64) << 32 | (kind as u64) << 40 | (position & 0xffff) << 48
    }

    #[inline]
    const fn unpack(word: u64) -> Self {
        Self {
            len: word as u32 as usize,
            flags: (word >> 32) as u8,
            kind: (word >> 40) as u8,
            position: (word >> 48) as u16,
        }
    }
}

/// Whether the peer sleeps: the second half of the wait protocol. The caller has published before; the fence orders
/// that against the peer's re-check.
#[inline]
fn waits(word: &AtomicU32) -> bool {
    compiler_fence(Ordering::SeqCst);
    let mut seen = word.load(Ordering::Relaxed);
    if seen & state::UNFENCED == 0 {
        fence(Ordering::SeqCst);
        seen = word.load(Ordering::Relaxed);
    }
    seen & state::WAITING != 0
}

/// Takes the waiting bits out of the peer's state word, if there are any, as in [`waits`].
#[inline]
fn wake(word: &AtomicU32) -> Wake {
    if waits(word) { take_waiter(word) } else { Wake::Nobody }
}

#[cold]
fn take_waiter(word: &AtomicU32) -> Wake {
    match word.fetch_and(!state::WAITING, Ordering::SeqCst) & state::WAITING {
        state::WAITING => Wake::Both,
        state::PARKED => Wake::Thread,
        state::POLLING => Wake::Reactor,
        _ => Wake::Nobody,
    }
}

/// Sets a waiting bit in our own state word: the first half of the wait protocol. The caller re-checks.
/// Returns the value a thread may sleep on.
fn announce(word: &AtomicU32, waiting: u32) -> u32 {
    let before = word.fetch_or(waiting, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    before | waiting
}

/// Takes our waiting bits back, if the peer has not.
fn disarm(word: &AtomicU32) {
    // Looked at first: most waits end by a wake-up, which has taken them. Only we set them.
    if word.load(Ordering::Relaxed) & state::WAITING != 0 {
        word.fetch_and(!state::WAITING, Ordering::Relaxed);
    }
}

/// Marks our side as gone.
fn leave(ours: &AtomicU32, theirs: &AtomicU32) -> Wake {
    ours.fetch_or(state::CLOSED, Ordering::SeqCst);
    wake(theirs)
}
