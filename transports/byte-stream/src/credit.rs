//! Flow control by credit, for carriers that block a writer when their buffer is full: the sender
//! counts the bytes on their way, and the receiver returns credit, in units, for what it has taken.

use crate::wire::MAX_ENCODED;

/// Bytes on their way, unless the address says otherwise.
const DEFAULT: u64 = 256 << 10;
/// The smallest and the largest limit, in bytes.
const RANGE: (usize, usize) = (UNIT, 1 << 20);
/// The bytes of one unit of credit. A receiver owes less than one unit, and so less than any limit:
/// a sender is never stuck for it.
const UNIT: usize = 4 << 10;

/// The byte that a receiver writes back for each unit. [`STOP`](crate::STOP) is another one.
pub const CREDIT: u8 = 2;
/// The most units that one read of up to [`MAX_ENCODED`] bytes completes.
pub const MOST_UNITS: usize = MAX_ENCODED / UNIT + 1;
/// The size of the carrier's buffer, in bytes, with which no write ever blocks: the largest limit,
/// a frame that found one last byte of it, and for the end another one with a goodbye.
pub const BUFFER: usize = RANGE.1 + 3 * MAX_ENCODED;

/// The sender's count.
#[derive(Debug)]
pub struct SendCredit {
    /// Bytes on their way from which on nothing more is sent.
    limit: usize,
    /// Bytes sent for which no credit has come back.
    on_the_way: usize,
}

impl SendCredit {
    /// A count with about `capacity` bytes as its limit; 0 means 256 KiB.
    pub fn new(capacity: u64) -> Self {
        let asked = if capacity == 0 { DEFAULT } else { capacity };
        let limit = usize::try_from(asked).unwrap_or(usize::MAX).clamp(RANGE.0, RANGE.1);
        Self { limit, on_the_way: 0 }
    }

    /// How many bytes may be sent now: a whole frame, or nothing.
    pub fn room(&self) -> usize {
        if self.on_the_way < self.limit { MAX_ENCODED } else { 0 }
    }

    /// Counts sent bytes.
    pub fn sent(&mut self, bytes: usize) {
        self.on_the_way += bytes;
    }

    /// Counts a unit of credit. False if fewer bytes were on their way, so that the receiver is
    /// lying.
    #[must_use]
    pub fn credit(&mut self) -> bool {
        let left = self.on_the_way.checked_sub(UNIT);
        self.on_the_way = left.unwrap_or(0);
        left.is_some()
    }

    /// Makes room for one more frame, the last one.
    pub fn raise_limit(&mut self) {
        self.limit += MAX_ENCODED;
    }
}

/// The receiver's count.
#[derive(Debug, Default)]
pub struct ReceiveCredit {
    /// Bytes taken for which no credit was returned; less than a unit.
    taken: usize,
}

impl ReceiveCredit {
    /// Counts taken bytes, at most [`MAX_ENCODED`]. Returns how many units of credit to write back.
    pub fn took(&mut self, bytes: usize) -> usize {
        self.taken += bytes;
        let units = self.taken / UNIT;
        self.taken %= UNIT;
        units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_stops_at_the_limit_and_goes_on_when_all_is_taken() {
        for capacity in [0, 1, 5000, 64 << 10, u64::MAX] {
            let (mut send_credit, mut receive_credit) =
                (SendCredit::new(capacity), ReceiveCredit::default());
            for round in 0..1000 {
                let frame = 1 + round * 7919 % MAX_ENCODED;
                let mut sent = 0;
                while send_credit.room() > 0 {
                    send_credit.sent(frame);
                    sent += frame;
                }
                assert!(sent > 0 && send_credit.on_the_way < send_credit.limit + MAX_ENCODED);
                while sent > 0 {
                    let read = sent.min(MAX_ENCODED);
                    let units = receive_credit.took(read);
                    assert!(units <= MOST_UNITS && (0..units).all(|_| send_credit.credit()));
                    sent -= read;
                }
            }
        }
    }

    #[test]
    fn the_buffer_holds_one_frame_more_at_the_highest_limit() {
        let mut send_credit = SendCredit::new(u64::MAX);
        while send_credit.room() > 0 {
            send_credit.sent(MAX_ENCODED);
        }
        send_credit.raise_limit();
        while send_credit.room() > 0 {
            send_credit.sent(MAX_ENCODED);
        }
        assert!(send_credit.on_the_way <= BUFFER);
    }

    #[test]
    fn credit_for_nothing_is_noticed() {
        let mut send_credit = SendCredit::new(0);
        send_credit.sent(10);
        assert!(!send_credit.credit());
    }
}
