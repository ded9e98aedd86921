//! A side's state word, and the wait protocol over it.
//!
//! ```text
//! waiting side                              other side
//!   set PARKED or POLLING                     publish
//!   fence(SeqCst)                             fence(SeqCst), but for UNFENCED
//!   re-check: published? → do not sleep       WAITING set? → take the bits and wake
//!   sleep
//! ```
//!
//! Of two SeqCst fences one comes first, and the side behind the second sees the other's store:
//! they cannot miss each other.

use crate::primitive::{AtomicU32, Ordering, compiler_fence, fence, is_x86};

/// A thread of this side sleeps on the word itself.
pub const PARKED: u32 = 1;
/// A waiter of this side sleeps on a descriptor: a task, or a thread where processes cannot share
/// a futex.
pub const POLLING: u32 = 2;
/// Either of the two.
pub const WAITING: u32 = PARKED | POLLING;
/// This side has left for good.
pub const CLOSED: u32 = 4;
/// The consumer has mapped the larger array that was offered.
pub const ACCEPTED: u32 = 8;
/// The consumer refuses the larger array that was offered.
pub const DECLINED: u32 = 16;
/// Set by the consumer while it polls, on x86: the producer needs no fence before it checks
/// [`WAITING`].
pub const UNFENCED: u32 = 32;

/// Which sleepers of the other side to wake after an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// No sleeper.
    None,
    /// A thread on the other side's state word.
    Thread,
    /// A task on the other side's descriptor.
    Task,
    /// Both: the other side has changed from one to the other.
    Both,
}

/// True if the peer sleeps. The caller has published before.
#[inline]
pub(crate) fn is_waiting(peer: &AtomicU32) -> bool {
    if is_x86() {
        // The publication must not move below the load. The compiler fence forbids that to the
        // compiler. To the processor only a real fence does; UNFENCED means that the consumer makes
        // up for it (`Fences`).
        compiler_fence(Ordering::SeqCst);
        let seen = peer.load(Ordering::Relaxed);
        if seen & UNFENCED != 0 {
            return seen & WAITING != 0;
        }
    }
    fence(Ordering::SeqCst);
    peer.load(Ordering::Relaxed) & WAITING != 0
}

/// Takes the waiting bits out of the peer's state word, if there are any. The caller has published
/// before.
#[inline]
pub(crate) fn take_wake(peer: &AtomicU32) -> Wake {
    if is_waiting(peer) { take_waiting(peer) } else { Wake::None }
}

/// Takes the waiting bits, so that only one publication wakes.
#[cold]
pub(crate) fn take_waiting(peer: &AtomicU32) -> Wake {
    match peer.fetch_and(!WAITING, Ordering::SeqCst) & WAITING {
        WAITING => Wake::Both,
        PARKED => Wake::Thread,
        POLLING => Wake::Task,
        _ => Wake::None,
    }
}

/// Sets a waiting bit in our own state word. The caller re-checks before it sleeps. Returns the
/// value on which a thread may sleep: the word has another one as soon as the peer takes the bit.
pub(crate) fn set_waiting(own: &AtomicU32, waiting: u32) -> u32 {
    let before = own.fetch_or(waiting, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    before | waiting
}

/// Takes our own waiting bits back, unless the peer has taken them.
pub(crate) fn clear_waiting(own: &AtomicU32) {
    // The load is cheaper, and most waits end by a wake-up, which has taken the bits. Only this
    // side sets them, so they cannot appear in between. Relaxed: a peer that still sees them
    // makes one wake-up too many.
    if own.load(Ordering::Relaxed) & WAITING != 0 {
        own.fetch_and(!WAITING, Ordering::Relaxed);
    }
}

/// Sets `CLOSED` for our own side, and returns which sleepers to wake.
pub(crate) fn close(own: &AtomicU32, peer: &AtomicU32) -> Wake {
    // Release (in SeqCst): a consumer that sees CLOSED also sees every record that was published
    // before.
    own.fetch_or(CLOSED, Ordering::SeqCst);
    take_wake(peer)
}
