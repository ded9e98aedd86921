//! What one client has asked for and not got yet: ids, bytes, credit. Knows the protocol, and
//! neither channels nor waiting.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use anyipc_core::Result;

use crate::request::failure::Cause;
use crate::request::frame::{Frame, MAX_CALLS, broken};
use crate::request::max_bytes;

/// Numbers as their own hashes: a peer that chooses them to collide makes a search of at most
/// [`MAX_CALLS`] steps.
#[derive(Default)]
pub(crate) struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }
    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }
    fn write_u64(&mut self, number: u64) {
        // Spread over the upper bits, which the table looks at first.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(crate) type ById<K, V> = HashMap<K, V, BuildHasherDefault<Plain>>;

/// What a message of a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// A call with this request. Its id is in use until [`Intake::finish`].
    Call {
        id: u32,
        until: Option<Instant>,
        window: u16,
        request: &'a [u8],
    },
    /// A call that cannot be taken; it is to be answered with this.
    Refused {
        id: u32,
        cause: Cause,
        why: &'static str,
    },
    /// Nobody waits for this call any more.
    Cancel {
        id: u32,
    },
    /// There is room for more items of this call.
    Credit {
        id: u32,
        items: u16,
    },
    Nothing,
}

/// The calls of one client that are in flight. `T` is what the server keeps for each.
#[derive(Debug)]
pub(crate) struct Intake<T> {
    calls: ById<u32, (usize, T)>,
    /// Bytes of their requests.
    bytes: usize,
    max_bytes: usize,
}

impl<T> Intake<T> {
    /// For a channel with this limit of a message's length.
    pub(crate) fn new(max_message: usize) -> Self {
        Self { calls: ById::default(), bytes: 0, max_bytes: max_bytes(max_message) }
    }

    /// Reads a message. A call is added with what `keep` makes.
    ///
    /// # Errors
    /// `Corrupt` if the client broke the protocol.
    #[inline]
    pub(crate) fn take<'a>(
        &mut self,
        message: &'a [u8],
        keep: impl FnOnce(u16) -> T,
    ) -> Result<Asked<'a>> {
        let (frame, request) = Frame::decode(message)?;
        let (id, left, window) = match frame {
            Frame::Request { id, left, window } => (id, left, window),
            // The answer may be on its way.
            Frame::Cancel { id } if self.calls.contains_key(&id) => {
                return Ok(Asked::Cancel { id });
            }
            Frame::Credit { id, items } if self.calls.contains_key(&id) => {
                return Ok(Asked::Credit { id, items });
            }
            Frame::Cancel { .. } | Frame::Credit { .. } => return Ok(Asked::Nothing),
            _ => return Err(broken("a client sent what servers send")),
        };
        if self.calls.contains_key(&id) {
            return Err(broken(&format!("call {id} was begun twice")));
        }
        let full = self.calls.len() >= MAX_CALLS || self.bytes + message.len() > self.max_bytes;
        if full && !self.calls.is_empty() {
            let why = "more calls, or bytes of requests, are in flight than a server keeps";
            return Ok(Asked::Refused { id, cause: Cause::Busy, why });
        }
        self.bytes += message.len();
        self.calls.insert(id, (message.len(), keep(window)));
        // What cannot be added to the clock is no limit.
        let until = left.and_then(|left| Instant::now().checked_add(left));
        Ok(Asked::Call { id, until, window, request })
    }

    pub(crate) fn get(&mut self, id: u32) -> Option<&mut T> {
        self.calls.get_mut(&id).map(|(_, kept)| kept)
    }

    /// Ends a call: its answer goes out now. `None` if it is over already.
    pub(crate) fn finish(&mut self, id: u32) -> Option<T> {
        let (len, kept) = self.calls.remove(&id)?;
        self.bytes -= len;
        Some(kept)
    }

    /// Everything kept for the calls in flight.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.calls.values().map(|(_, kept)| kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyipc_core::ErrorKind;

    fn request(id: u32, len: usize) -> Vec<u8> {
        let mut bytes = Frame::Request { id, left: None, window: 0 }.encode().to_vec();
        bytes.resize(bytes.len() + len, 7);
        bytes
    }

    #[test]
    fn an_id_is_used_once_until_it_is_answered() {
        let mut intake = Intake::new(1000);
        assert!(matches!(intake.take(&request(5, 1), |_| ()), Ok(Asked::Call { id: 5, .. })));
        let error = intake.take(&request(5, 1), |_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("call 5 was begun twice"), "{error}");
        assert_eq!(intake.finish(5), Some(()));
        assert!(matches!(intake.take(&request(5, 1), |_| ()), Ok(Asked::Call { id: 5, .. })));
    }

    #[test]
    fn calls_and_bytes_have_limits_and_one_call_always_fits() {
        let mut intake = Intake::new(10);
        assert!(matches!(intake.take(&request(1, 50), |_| ()), Ok(Asked::Call { .. })));
        let second = request(2, 0);
        let refused = intake.take(&second, |_| ());
        assert!(matches!(refused, Ok(Asked::Refused { id: 2, cause: Cause::Busy, .. })));
        let mut intake = Intake::new(1 << 20);
        for id in 0..MAX_CALLS as u32 {
            assert!(matches!(intake.take(&request(id, 0), |_| ()), Ok(Asked::Call { .. })));
        }
        let last = request(9999, 0);
        let refused = intake.take(&last, |_| ());
        assert!(matches!(refused, Ok(Asked::Refused { id: 9999, cause: Cause::Busy, .. })));
        intake.finish(3);
        assert!(matches!(intake.take(&request(9999, 0), |_| ()), Ok(Asked::Call { .. })));
    }

    #[test]
    fn late_cancels_and_credits_are_no_fault() {
        let mut intake: Intake<()> = Intake::new(100);
        for frame in [Frame::Cancel { id: 3 }, Frame::Credit { id: 3, items: 9 }] {
            assert_eq!(intake.take(&frame.encode(), |_| ()).unwrap(), Asked::Nothing);
        }
        for frame in [Frame::Response { id: 3 }, Frame::Fault, Frame::End { id: 3 }] {
            assert!(intake.take(&frame.encode(), |_| ()).is_err());
        }
    }
}
