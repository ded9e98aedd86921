use std::time::Duration;

use anyipc_core::{ErrorKind, Operation, Result};
use anyipc_shared_memory::Block;

use super::waiting::Waiting;
use super::{Named, within};
use crate::address::IntoAddress;
use crate::address::settings::WaitMode;

/// A point that processes pass together: a wait ends when as many have arrived as the barrier has
/// parties. Then the next round begins.
///
/// A party is a call of `wait`, of any thread in any process. If more wait than there are parties,
/// the others are in the next round.
///
/// *Deaths.* A process that dies while it waits counts no longer, and a process that is started in
/// its place can take part. If it dies when the round is over, it has been counted, and the others
/// go on. A process that is merely stopped counts.
///
/// ```
/// use anyipc::sync::Barrier;
///
/// let barrier = Barrier::create("shm://sync.step", 2)?;
/// let other = std::thread::spawn(|| Barrier::open("shm://sync.step")?.wait());
/// let here = barrier.wait()?;
/// assert!(here.is_leader() != other.join().unwrap()?.is_leader());
/// # Ok::<(), anyipc::Error>(())
/// ```
pub struct Barrier {
    raw: anyipc_sync::Barrier,
    wait: WaitMode,
}

/// How a wait at a barrier ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierResult {
    is_leader: bool,
}

impl BarrierResult {
    /// True for one participant of each round, the one that ended it. If that one dies before its
    /// wait returns, the round has no leader.
    pub fn is_leader(self) -> bool {
        self.is_leader
    }
}

impl Barrier {
    /// The most parties.
    pub const MAX_PARTIES: u32 = anyipc_sync::Barrier::MAX_PARTIES;

    /// Bytes of a barrier with so many parties in a block, for [`at`](Self::at). The next object
    /// begins at a multiple of 64.
    pub const fn size(parties: u32) -> usize {
        anyipc_sync::Barrier::size(parties)
    }

    /// Makes a barrier, at an address of its own. It lives until its last handle is dropped.
    /// `parties`: 1 to [`MAX_PARTIES`](Self::MAX_PARTIES).
    ///
    /// # Errors
    /// `Exists` if the name is taken; `InvalidOption` for other numbers of parties; `Unsupported`
    /// for any scheme but `shm`; those of [`create`](crate::create).
    pub fn create(address: impl IntoAddress, parties: u32) -> Result<Self> {
        Self::make(&Named::new(address)?, parties, false)
    }

    /// Opens a barrier, whatever its parties.
    ///
    /// # Errors
    /// `NotFound`; `Mismatch` or `Corrupt` if there is something else; those of
    /// [`open`](crate::open).
    pub fn open(address: impl IntoAddress) -> Result<Self> {
        let named = Named::new(address)?;
        let raw = named.open(anyipc_sync::Barrier::find)?;
        Ok(Self { raw, wait: named.wait })
    }

    /// Opens a barrier with so many parties, or makes it.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open), but `Exists` and `NotFound`;
    /// `Mismatch` also if it has another number of parties.
    pub fn open_or_create(address: impl IntoAddress, parties: u32) -> Result<Self> {
        Self::make(&Named::new(address)?, parties, true)
    }

    /// The barrier at an offset of a block, a multiple of 64. Where the block's bytes are zero it
    /// is made; [`size`](Self::size) bytes belong to it from then on, and other calls of the block
    /// must not touch them.
    ///
    /// # Errors
    /// `OutOfBounds`; `InvalidOption` for no number of parties; `Mismatch` if there is something
    /// else, or it has another number of parties; `Corrupt`; `OutOfMemory` if the block has no
    /// place for another participant; `Forked`.
    pub fn at(block: &Block, offset: usize, parties: u32) -> Result<Self> {
        let raw = within(block, offset, |place| anyipc_sync::Barrier::new(place, parties))?;
        Ok(Self { raw, wait: WaitMode::Adaptive })
    }

    fn make(named: &Named, parties: u32, adopts: bool) -> Result<Self> {
        let identity = anyipc_sync::Barrier::fresh(parties).map_err(|e| e.at(&named.address))?;
        let raw = named.make(Self::size(parties), &[(0, &identity)], adopts, |place| {
            anyipc_sync::Barrier::new(place, parties)
        })?;
        Ok(Self { raw, wait: named.wait })
    }

    /// How many participants end a round.
    pub fn parties(&self) -> u32 {
        self.raw.parties()
    }

    /// Arrives, and waits until all parties have arrived. Blocks without a limit of time.
    ///
    /// # Errors
    /// `Removed` (found while waiting: the name leads to other memory, or to none); `Forked`. After
    /// an error the arrival does not count.
    pub fn wait(&self) -> Result<BarrierResult> {
        self.wait_within(None)
    }

    /// As [`wait`](Self::wait), for `timeout` at most. Then the arrival is taken back, unless the
    /// round ended meanwhile: it was counted or it was not, never half.
    ///
    /// # Errors
    /// `TimedOut`: the arrival does not count; and those of `wait`.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierResult> {
        self.wait_within(Some(timeout))
    }

    /// As [`wait`](Self::wait), for tasks. A dropped future takes its arrival back, unless its
    /// round has ended meanwhile. One that is forgotten has arrived for as long as this process has
    /// a handle of the barrier's memory.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `wait`.
    #[cfg(feature = "tokio")]
    pub async fn wait_async(&self) -> Result<BarrierResult> {
        let mut waiting = Waiting::new(self.raw.waiter(), self.wait);
        let is_leader = waiting.wait_async(Operation::Lock).await?;
        Ok(BarrierResult { is_leader })
    }

    fn wait_within(&self, timeout: Option<Duration>) -> Result<BarrierResult> {
        let mut waiting = Waiting::new(self.raw.waiter(), self.wait);
        let is_leader = match waiting.try_then_wait(Operation::Lock, timeout) {
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                if waiting.waiter.withdraw() {
                    return Err(error);
                }
                false
            }
            done => done?,
        };
        Ok(BarrierResult { is_leader })
    }
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Barrier").field("parties", &self.parties()).finish_non_exhaustive()
    }
}
