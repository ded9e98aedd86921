//! Flow control for carriers whose buffers block a writer instead of telling it that they are full: the sender
//! counts what is on its way, and the receiver tells, in units, what it has taken.

use crate::wire::MAX_ENCODED;

/// Bytes on their way unless the address says otherwise.
const USUAL: u64 = 64 << 10;
/// The least and the most that an address can ask for.
const RANGE: (usize, usize) = (UNIT, 1 << 20);
/// A receiver tells of so many bytes at once. What it has not told of is less than any limit, and stops nobody.
const UNIT: usize = 4 << 10;

/// What a receiver writes back for each unit that it has taken. [`STOP`](crate::STOP) is another.
pub const CREDIT: u8 = 2;
/// The most units that one read of up to [`MAX_ENCODED`] bytes brings together.
pub const MOST_UNITS: usize = MAX_ENCODED / UNIT + 1;
/// What the carrier's buffer has to hold, so that no write ever blocks: the highest limit, a frame that found a last
/// byte of it, and for closing another one, with a goodbye.
pub const BUFFER: usize = RANGE.1 + 3 * MAX_ENCODED;

/// The sender's count.
#[derive(Debug)]
pub struct SendCredit {
    limit: usize,
    on_the_way: usize,
}

impl SendCredit {
    /// Nothing is on its way. About so many bytes will be at most; 0 is the usual.
    pub fn new(capacity: u64) -> Self {
        let asked = if capacity == 0 { USUAL } else { capacity };
        let limit = usize::try_from(asked).unwrap_or(usize::MAX).clamp(RANGE.0, RANGE.1);
        Self { limit, on_the_way: 0 }
    }

    /// How many bytes may be sent now: a whole frame wherever there is any room.
    pub fn room(&self) -> usize {
        if self.on_the_way < self.limit { MAX_ENCODED } else { 0 }
    }

    /// So many were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.on_the_way += bytes;
    }

    /// The receiver says that it took another unit. False if that cannot be.
    #[must_use]
    pub fn credit(&mut self) -> bool {
        let left = self.on_the_way.checked_sub(UNIT);
        self.on_the_way = left.unwrap_or(0);
        left.is_some()
    }

    /// Makes room for one frame more, which is the last.
    pub fn enlarge(&mut self) {
        self.limit += MAX_ENCODED;
    }
}

/// The receiver's count.
#[derive(Debug, Default)]
pub struct ReceiveCredit {
    taken: usize,
}

impl ReceiveCredit {
    /// So many bytes were taken, at most [`MAX_ENCODED`]. Gives how many units are to be told.
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
        send_credit.enlarge();
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
