//! What the two sides of a connection do: both make the same of its number and the seed.

use std::time::Duration;

use super::kind::Kind;
use super::random::Random;

/// The side that sends, and the side that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The connector streams and closes.
    In,
    /// The owner streams and closes.
    Out,
    /// Both stream, and each closes its half.
    Both,
    /// The connector asks and closes.
    Ask,
    /// The owner sleeps in a receive; the connector closes after a time.
    OwnerIdle,
    /// The connector sleeps in a receive; the owner closes after a time.
    ConnectorIdle,
    /// The owner streams, sleeps on a full channel, and closes; the connector receives late.
    Full,
    /// The owner of an inbox sends a few messages; the connector closes.
    Few,
}

impl Pattern {
    const OF_CHANNELS: [Self; 7] = [
        Self::In,
        Self::Out,
        Self::Both,
        Self::Ask,
        Self::OwnerIdle,
        Self::ConnectorIdle,
        Self::Full,
    ];
    /// An inbox waits for no peer.
    const OF_INBOXES: [Self; 4] = [Self::In, Self::Ask, Self::OwnerIdle, Self::Few];
}

/// A connection's work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) pattern: Pattern,
    /// Messages of a stream.
    pub(super) count: u64,
    /// A time without messages.
    pub(super) pause: Duration,
}

impl Plan {
    pub(super) fn new(kind: Kind, seed: u64, stream: u64) -> Self {
        let mut random = Random::new(seed ^ stream);
        let patterns: &[Pattern] =
            if kind == Kind::Inbox { &Pattern::OF_INBOXES } else { &Pattern::OF_CHANNELS };
        let pattern = patterns[random.below(patterns.len() as u64) as usize];
        let most = 1 << random.below(13);
        let count = if pattern == Pattern::Few { 3 } else { 1 + random.below(most) };
        Self { pattern, count, pause: random.instant(16) }
    }
}
