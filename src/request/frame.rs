//! The head of each message of a request channel, and what follows it.

use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::failure::Cause;

/// Bytes of a head; the payload follows.
pub const HEAD: usize = 16;

/// The most calls of one channel that may be in flight, and the most that a server accepts of one
/// peer.
pub const MAX_CALLS: usize = 1024;

/// What a message of a request channel is. [The format][format] is that of its head.
///
/// [format]: https://github.com/anyipc/anyipc/blob/main/docs/design/requests.md
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// From the client: a request; its value follows.
    Request {
        /// The call. No other call of the channel that is in flight has it.
        id: u32,
        /// How much time is left for the call, to the microsecond; `None` without a limit.
        left: Option<Duration>,
        /// How many items of a stream the client has room for; 0 asks for one response.
        window: u16,
    },
    /// From the client: nobody waits for this call any more. The server answers it all the same.
    Cancel {
        /// The call.
        id: u32,
    },
    /// From the client: there is room for more items of a stream.
    Credit {
        /// The call.
        id: u32,
        /// How many more, at least 1.
        items: u16,
    },
    /// From the server: the response, which ends the call; its value follows.
    Response {
        /// The call.
        id: u32,
    },
    /// From the server: an item of a stream; its value follows.
    Item {
        /// The call.
        id: u32,
    },
    /// From the server: the stream, and with it the call, has ended.
    End {
        /// The call.
        id: u32,
    },
    /// From the server: the call has failed, which ends it; the reason follows, as text.
    Failure {
        /// The call.
        id: u32,
        /// What kind of failure.
        cause: Cause,
        /// The service's number for it.
        code: i64,
    },
    /// From the server: the client broke the protocol. What it did follows, as text, and then the
    /// end of the channel.
    Fault,
}

impl Frame {
    /// The head.
    pub fn encode(self) -> [u8; HEAD] {
        let (kind, detail, short, id, long) = match self {
            Self::Request { id, left, window } => {
                // 0 says that there is no limit.
                let left = left.map_or(0, |left| micros(left).max(1));
                (1, 0, window, id, left)
            }
            Self::Cancel { id } => (2, 0, 0, id, 0),
            Self::Credit { id, items } => (3, 0, items, id, 0),
            Self::Response { id } => (4, 0, 0, id, 0),
            Self::Item { id } => (5, 0, 0, id, 0),
            Self::End { id } => (6, 0, 0, id, 0),
            Self::Failure { id, cause, code } => (7, cause as u8, 0, id, code.cast_unsigned()),
            Self::Fault => (8, 0, 0, 0, 0),
        };
        let mut head = [0; HEAD];
        head[0] = kind;
        head[1] = detail;
        head[2..4].copy_from_slice(&u16::to_le_bytes(short));
        head[4..8].copy_from_slice(&u32::to_le_bytes(id));
        head[8..].copy_from_slice(&u64::to_le_bytes(long));
        head
    }

    /// Reads the head of a message, and returns it with the payload.
    ///
    /// # Errors
    /// `Corrupt` for anything that [`encode`](Self::encode) does not write, and for a payload where
    /// none belongs.
    #[inline]
    pub fn decode(message: &[u8]) -> Result<(Self, &[u8])> {
        let Some((head, payload)) = message.split_first_chunk::<HEAD>() else {
            return Err(broken(&format!(
                "a message of {} bytes is shorter than its head of {HEAD}",
                message.len()
            )));
        };
        let [kind, detail, s0, s1, i0, i1, i2, i3, long @ ..] = *head;
        let short = u16::from_le_bytes([s0, s1]);
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let long = u64::from_le_bytes(long);
        // Per kind: the frame, and whether detail, short and long must be zero.
        let frame = match (kind, detail, short, long) {
            (1, 0, window, left) => {
                Self::Request { id, left: (left > 0).then(|| Duration::from_micros(left)), window }
            }
            (2, 0, 0, 0) if payload.is_empty() => Self::Cancel { id },
            (3, 0, items @ 1.., 0) if payload.is_empty() => Self::Credit { id, items },
            (4, 0, 0, 0) => Self::Response { id },
            (5, 0, 0, 0) => Self::Item { id },
            (6, 0, 0, 0) if payload.is_empty() => Self::End { id },
            (7, cause, 0, code) => match Cause::from_number(cause) {
                Some(cause) => Self::Failure { id, cause, code: code.cast_signed() },
                None => return Err(broken(&format!("a failure has the unknown cause {cause}"))),
            },
            (8, 0, 0, 0) if id == 0 => Self::Fault,
            _ => {
                return Err(broken(&format!(
                    "a message of {} bytes has the head {head:02x?}",
                    message.len()
                )));
            }
        };
        Ok((frame, payload))
    }
}

/// Replaces the id in the head of an encoded request.
pub(crate) fn set_id(request: &mut [u8], id: u32) {
    if let Some(place) = request.get_mut(4..8) {
        place.copy_from_slice(&id.to_le_bytes());
    }
}

/// Replaces the time that is left in the head of an encoded request.
pub(crate) fn set_left(request: &mut [u8], left: Option<Duration>) {
    if let Some(place) = request.get_mut(8..HEAD) {
        let left = left.map_or(0, |left| micros(left).max(1));
        place.copy_from_slice(&left.to_le_bytes());
    }
}

fn micros(left: Duration) -> u64 {
    u64::try_from(left.as_micros()).unwrap_or(u64::MAX)
}

/// The other side broke the protocol of requests.
#[cold]
pub(crate) fn broken(what: &str) -> Error {
    Error::new(Operation::Receive, ErrorKind::Corrupt)
        .because(format!("the other side broke the protocol of requests: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame() -> impl Strategy<Value = Frame> {
        let left = proptest::option::of((1..=u64::MAX).prop_map(Duration::from_micros));
        prop_oneof![
            (any::<u32>(), left, any::<u16>()).prop_map(|(id, left, window)| Frame::Request {
                id,
                left,
                window
            }),
            any::<u32>().prop_map(|id| Frame::Cancel { id }),
            (any::<u32>(), 1..=u16::MAX).prop_map(|(id, items)| Frame::Credit { id, items }),
            any::<u32>().prop_map(|id| Frame::Response { id }),
            any::<u32>().prop_map(|id| Frame::Item { id }),
            any::<u32>().prop_map(|id| Frame::End { id }),
            (any::<u32>(), 0..8u8, any::<i64>()).prop_map(|(id, cause, code)| Frame::Failure {
                id,
                cause: Cause::from_number(cause).unwrap(),
                code
            }),
            Just(Frame::Fault),
        ]
    }

    proptest! {
        #[test]
        fn heads_survive_the_wire_and_no_cut_is_read(frame in frame(), payload: Vec<u8>) {
            let mut message = frame.encode().to_vec();
            for cut in 0..HEAD {
                prop_assert!(Frame::decode(&message[..cut]).is_err());
            }
            prop_assert_eq!(Frame::decode(&message).unwrap(), (frame, &[][..]));
            message.extend(&payload);
            match (Frame::decode(&message), frame) {
                (Ok(read), _) => prop_assert_eq!(read, (frame, &payload[..])),
                (Err(_), Frame::Cancel { .. } | Frame::Credit { .. } | Frame::End { .. }) => {
                    prop_assert!(!payload.is_empty());
                }
                (Err(error), _) => prop_assert!(false, "{error}"),
            }
        }

        #[test]
        fn what_is_read_is_what_would_be_written(
            kind in 0..10u8,
            detail in 0..10u8,
            short: [u8; 2],
            id: [u8; 4],
            long: [u8; 8],
            zeros: [bool; 4],
        ) {
            let mut message = [0; HEAD];
            message[0] = kind;
            message[1] = detail * u8::from(zeros[0]);
            message[2..4].copy_from_slice(&short.map(|byte| byte * u8::from(zeros[1])));
            message[4..8].copy_from_slice(&id.map(|byte| byte * u8::from(zeros[2])));
            message[8..].copy_from_slice(&long.map(|byte| byte * u8::from(zeros[3])));
            if let Ok((frame, _)) = Frame::decode(&message) {
                prop_assert_eq!(frame.encode(), message);
            }
        }
    }

    #[test]
    fn the_time_left_is_replaced_and_never_reads_as_no_limit() {
        let request = Frame::Request { id: 7, left: None, window: 3 };
        let mut message = request.encode();
        for (left, read) in [
            (Some(Duration::ZERO), Some(Duration::from_micros(1))),
            (Some(Duration::from_secs(9)), Some(Duration::from_secs(9))),
            (Some(Duration::MAX), Some(Duration::from_micros(u64::MAX))),
            (None, None),
        ] {
            set_left(&mut message, left);
            let expected = Frame::Request { id: 7, left: read, window: 3 };
            assert_eq!(Frame::decode(&message).unwrap().0, expected);
        }
    }
}
