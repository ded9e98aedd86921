//! The claim of a sender on the next room. A message that needs much room would never get in beside short ones, which
//! take each chunk as it comes free. So a sender that has waited for a while reserves what comes free next, and the other
//! senders wait until its message is in.
//!
//! The claim is one word beside the truth: the reserved_for's owner_id, and when it was last seen waiting. It changes by
//! compare-and-swap, under no lock; a sender that misses it by an instant only delays the reserved_for by one message. It
//! ends with the reserved_for's message, with its wait, with its death, and [`EXPIRES`] after it was last seen: a stopped
//! process holds others up no longer than that.

use std::sync::atomic::Ordering::SeqCst;

use anyipc_memory::coarse_ticks;
use anyipc_ring::robust::OwnerId;

use crate::layout::hot;
use crate::store::Store;

/// How long a claim lasts without being renewed, in ticks of the coarse clock (about a millisecond). A waiting sender
/// renews it every 100 ms.
const EXPIRES: u32 = 500;

/// The clock as a claim holds it. Its 32 bits begin anew after seven weeks.
fn now() -> u32 {
    coarse_ticks() as u32
}

fn reservation_of(reserved_for: OwnerId, at: u32) -> u64 {
    u64::from(reserved_for.bits()) << 32 | u64::from(at)
}

fn holder_of(claim: u64) -> Option<OwnerId> {
    OwnerId::from_bits((claim >> 32) as u32)
}

impl Store {
    /// Whether there may be a claim.
    #[inline]
    pub(crate) fn has_reservation(&self) -> bool {
        self.get_wide(hot::RESERVATION) != 0
    }

    /// The sender whose message goes next, if one has claimed that. An expired claim is taken away.
    pub(crate) fn reserved_for(&self) -> Option<OwnerId> {
        let claim = self.get_wide(hot::RESERVATION);
        let reserved_for = holder_of(claim)?;
        // A time that is still to come was written by nobody honest, and is as good as one long past.
        if now().wrapping_sub(claim as u32) < EXPIRES {
            return Some(reserved_for);
        }
        let _ = self.region().u64(hot::RESERVATION).compare_exchange(claim, 0, SeqCst, SeqCst);
        None
    }

    /// Claims the next room, or renews the claim. False while another sender has it.
    pub(crate) fn reserve(&self, me: OwnerId) -> bool {
        let is_free = |reserved_for: Option<OwnerId>| {
            reserved_for.is_none_or(|reserved_for| reserved_for == me)
        };
        if !is_free(self.reserved_for()) {
            return false;
        }
        let word = self.region().u64(hot::RESERVATION);
        let claim = word.load(SeqCst);
        is_free(holder_of(claim))
            && word.compare_exchange(claim, reservation_of(me, now()), SeqCst, SeqCst).is_ok()
    }

    /// Takes the claim of this sender away, if it has one.
    pub(crate) fn cancel_reservation(&self, reserved_for: OwnerId) {
        let word = self.region().u64(hot::RESERVATION);
        let claim = word.load(SeqCst);
        if holder_of(claim) == Some(reserved_for) {
            let _ = word.compare_exchange(claim, 0, SeqCst, SeqCst);
        }
    }
}
