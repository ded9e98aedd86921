use std::fmt;
use std::ops::BitOr;

/// What a transport can do. What it claims must work, and what it does not claim must answer
/// `Unsupported`: the conformance suite checks both ways.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Two processes can talk, not only two threads.
    pub const CROSS_PROCESS: Self = Self(1);
    /// `size=` makes a block of memory that every holder sees.
    pub const BLOCK: Self = Self(1 << 1);
    /// The contents of a block stay when its creator leaves or dies, as long as a process holds it.
    pub const OUTLIVES_CREATOR: Self = Self(1 << 2);
    /// `alloc_lpsz` and `read_lpsz` work.
    pub const LPSZ: Self = Self(1 << 3);
    /// `connect` and `accept` give duplex channels.
    pub const CHANNEL: Self = Self(1 << 4);
    /// What was sent with `Ok` is delivered, even if the sender is killed at once.
    pub const DELIVERS_AFTER_DEATH: Self = Self(1 << 5);
    /// [`Peer`](crate::Peer) knows the other side's process, and its user where users have numbers.
    pub const PEER_CREDENTIALS: Self = Self(1 << 6);
    /// Messages can stay in a queue while no process is attached.
    pub const PERSISTS: Self = Self(1 << 7);
    /// Messages carry priorities.
    pub const PRIORITIES: Self = Self(1 << 8);
    /// `Endpoint::queue` works.
    pub const QUEUE: Self = Self(1 << 9);
    /// `list`, `inspect`, `remove` and `sweep` work.
    pub const INVENTORY: Self = Self(1 << 10);

    /// Messages of a queue can be leased, and sent with a delay.
    pub const LEASES: Self = Self(1 << 11);
    /// Both sides of a channel run this library: they exchange hellos, so that a mismatch is
    /// refused and [`Peer::hello`](crate::Peer::hello) is the other side's; an opener waits until
    /// its owner accepts; frames carry [`Flags`](crate::Flags); and a death is told from an orderly
    /// close. Without it a death is `Closed` as well, types cannot be compared, and a message of
    /// several frames cannot be called off.
    pub const HANDSHAKE: Self = Self(1 << 12);

    const NAMES: [(Self, &'static str); 13] = [
        (Self::CROSS_PROCESS, "cross-process"),
        (Self::BLOCK, "block"),
        (Self::OUTLIVES_CREATOR, "outlives-creator"),
        (Self::LPSZ, "lpsz"),
        (Self::CHANNEL, "channel"),
        (Self::DELIVERS_AFTER_DEATH, "delivers-after-death"),
        (Self::PEER_CREDENTIALS, "peer-credentials"),
        (Self::PERSISTS, "persists"),
        (Self::PRIORITIES, "priorities"),
        (Self::QUEUE, "queue"),
        (Self::INVENTORY, "inventory"),
        (Self::LEASES, "leases"),
        (Self::HANDSHAKE, "handshake"),
    ];

    /// The union of both sets, in constant context.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if this set contains all of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the capabilities in this set, in lower case.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(c, _)| self.contains(*c)).map(|(_, name)| name)
    }
}

impl BitOr for Capabilities {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
