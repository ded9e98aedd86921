//! The reservation of the next room for one sender. Short messages take each chunk as it comes
//! free, so that a long message beside them would never find room. Therefore a sender that has
//! waited for 20 ms reserves the next room, and the other senders wait until its message is in.
//!
//! The reservation is one word beside the authoritative state: the sender's owner id, and the time
//! at which it was last renewed. It changes by compare-and-swap without a lock; a sender that reads
//! it too early delays the reserving sender by one message. It ends with the sender's message,
//! wait, handle or death, and [`EXPIRES`] after it was last renewed: a stopped process holds the
//! others up for no longer.

use std::sync::atomic::Ordering::SeqCst;

use anyipc_memory::coarse_ticks;
use anyipc_ring::robust::OwnerId;

use crate::layout::hot;
use crate::store::Store;

/// How long a reservation lasts after it was renewed, in ticks of the coarse clock (about 1 ms). A
/// waiting sender renews it every 100 ms.
const EXPIRES: u32 = 500;

/// The clock as the word holds it: 32 bits, which wrap around after seven weeks.
fn now() -> u32 {
    coarse_ticks() as u32
}

fn reservation_of(sender: OwnerId, at: u32) -> u64 {
    u64::from(sender.bits()) << 32 | u64::from(at)
}

fn holder_of(reservation: u64) -> Option<OwnerId> {
    OwnerId::from_bits((reservation >> 32) as u32)
}

impl Store {
    /// True if there may be a reservation.
    #[inline]
    pub(crate) fn has_reservation(&self) -> bool {
        self.get_wide(hot::RESERVATION) != 0
    }

    /// The sender that has the next room, if any. Cancels an expired reservation.
    pub(crate) fn reserved_for(&self) -> Option<OwnerId> {
        let reservation = self.get_wide(hot::RESERVATION);
        let sender = holder_of(reservation)?;
        // A time in the future was written by no sender. The subtraction wraps, and it has expired.
        if now().wrapping_sub(reservation as u32) < EXPIRES {
            return Some(sender);
        }
        let word = self.region().u64(hot::RESERVATION);
        let _ = word.compare_exchange(reservation, 0, SeqCst, SeqCst);
        None
    }

    /// Reserves the next room for this sender, or renews its reservation. False while another
    /// sender has it.
    pub(crate) fn reserve(&self, sender: OwnerId) -> bool {
        let is_free = |holder: Option<OwnerId>| holder.is_none_or(|holder| holder == sender);
        if !is_free(self.reserved_for()) {
            return false;
        }
        let word = self.region().u64(hot::RESERVATION);
        let old = word.load(SeqCst);
        is_free(holder_of(old))
            && word.compare_exchange(old, reservation_of(sender, now()), SeqCst, SeqCst).is_ok()
    }

    /// Cancels the reservation of this sender, if it has one.
    pub(crate) fn cancel_reservation(&self, sender: OwnerId) {
        let word = self.region().u64(hot::RESERVATION);
        let reservation = word.load(SeqCst);
        if holder_of(reservation) == Some(sender) {
            let _ = word.compare_exchange(reservation, 0, SeqCst, SeqCst);
        }
    }
}
