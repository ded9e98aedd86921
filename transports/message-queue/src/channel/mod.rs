//! Channels: a queue of one priority per direction, in anonymous memory that the owner hands over
//! in the handshake. The socket of the handshake wakes tasks and tells of the peer's death.

mod receiver;
mod sender;

pub use receiver::QueueReceiver;
pub use sender::QueueSender;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Full, Hello, Operation, Result, Role, Waiter};
use anyipc_memory::handover::{ChannelFactory, Half, Link, Side};
use anyipc_memory::{Extent, Region, parks, sleep, wake};
use anyipc_ring::robust::{LockBackend, OwnerId};

use crate::client::{PeerWakers, QueueClient};
use crate::layout::{CHUNK, Geometry, MAX_CHUNKS, MIN_CHUNKS, longest_in};
use crate::settings::{Settings, chunks_of};
use crate::store::Store;

/// The participants of a direction.
const SENDER: OwnerId = OwnerId::new(0, 1);
const RECEIVER: OwnerId = OwnerId::new(1, 1);
/// The longest frame is 1/4 of a direction, so that copying in overlaps copying out.
const FRAMES: u32 = 4;

/// The geometry of a direction of this capacity.
fn direction(capacity: usize) -> Option<Geometry> {
    let chunks = u32::try_from(capacity / CHUNK).ok()?;
    let fits = capacity.is_multiple_of(CHUNK) && (MIN_CHUNKS..=MAX_CHUNKS).contains(&chunks);
    fits.then(|| Geometry {
        priorities: 1,
        full: Full::Block,
        slots: 2,
        chunks,
        longest: longest_in(chunks / FRAMES),
        text: 0,
        leases: false,
        attempts: 0,
        dead: None,
    })
}

impl ChannelFactory for Settings {
    type Sender = QueueSender;
    type Receiver = QueueReceiver;

    fn capacity(&self) -> usize {
        self.channel_capacity()
    }

    fn insists(&self, hello: &Hello) -> u64 {
        match hello.capacity {
            0 => self.insisted_capacity().unwrap_or(0) as u64,
            asked => chunks_of(asked).map_or(asked, |chunks| u64::from(chunks) * CHUNK as u64),
        }
    }

    fn extent(&self, capacity: usize, _extra: u64) -> Option<Extent> {
        direction(capacity)?.size()?.checked_mul(2).map(Extent::whole)
    }

    fn halves(
        &self,
        region: Region,
        capacity: usize,
        side: Side,
    ) -> io::Result<(QueueSender, QueueReceiver)> {
        let unfit = || io::Error::from(io::ErrorKind::InvalidData);
        let geometry = direction(capacity).ok_or_else(unfit)?;
        let bytes = geometry.size().ok_or_else(unfit)?;
        let to_owner = region.part(0, bytes).ok_or_else(unfit)?;
        let to_opener = region.part(bytes, bytes).ok_or_else(unfit)?;
        let ((out, back), (ready, token)) = match side.role {
            Role::Owner => ((to_opener, to_owner), (None, side.ready)),
            Role::Opener => ((to_owner, to_opener), (side.ready, None)),
        };
        let client = |region, us, them| {
            let peers = PeerHalf { link: Arc::clone(&side.link), owner_id: them };
            QueueClient::new(Store::new(region, geometry), us, peers)
        };
        let sender = QueueSender::new(client(out, SENDER, RECEIVER), ready);
        Ok((sender, QueueReceiver::new(client(back, RECEIVER, SENDER), token)))
    }
}

/// Registers a half for a message, or for room.
fn arm(
    client: &mut QueueClient<PeerHalf>,
    kind: usize,
    half: Half,
    waiter: Waiter<'_>,
    operation: Operation,
) -> Result<Armed> {
    let by_doorbell = client.peers.link.arm(half, waiter, operation)?;
    let armed = arm_unless_gone(client, kind, by_doorbell, operation)?;
    // A thread sleeps on its own event beside the source: see `park`.
    let parks = matches!((armed, waiter), (Armed::Source(_), Waiter::Thread));
    Ok(if parks { Armed::Park } else { armed })
}

/// Blocks the thread of a half that was armed.
fn park(client: &QueueClient<PeerHalf>, half: Half, timeout: Duration) {
    let link = &client.peers.link;
    if !link.is_ours() {
        return;
    }
    if parks() {
        client.park(timeout);
    } else {
        link.park(half, timeout);
    }
}

/// The same for a task that polls with another waker, while its old one may still be in use.
fn rearm(
    client: &mut QueueClient<PeerHalf>,
    kind: usize,
    half: Half,
    waker: &Waker,
    operation: Operation,
) -> Result<Armed> {
    let link = &client.peers.link;
    link.check_generation(operation)?;
    link.register_again(half, waker);
    arm_unless_gone(client, kind, true, operation)
}

fn arm_unless_gone(
    client: &mut QueueClient<PeerHalf>,
    kind: usize,
    by_doorbell: bool,
    operation: Operation,
) -> Result<Armed> {
    if client.peers.link.is_gone() {
        return Ok(Armed::Ready);
    }
    client.arm(kind, by_doorbell, operation).map_err(explain)
}

/// In a channel only the peer can have done the damage.
fn explain(error: Error) -> Error {
    if error.kind() == ErrorKind::Corrupt {
        error.because("the peer broke the format of the channel")
    } else {
        error
    }
}

/// The peer's half of a direction.
#[derive(Debug)]
pub(crate) struct PeerHalf {
    link: Arc<Link>,
    owner_id: OwnerId,
}

impl LockBackend for PeerHalf {
    /// Only the peer is ever alive: a lock that names another owner was scribbled on.
    fn is_dead(&self, owner_id: OwnerId) -> bool {
        owner_id != self.owner_id || self.link.check_gone()
    }
    fn sleep(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
        sleep(word, expected, timeout);
    }
    fn wake(&self, word: &AtomicU32) {
        wake(word);
    }
}

impl PeerWakers for PeerHalf {
    fn wake_source(&mut self, _slot: u32) {
        self.link.ring_doorbell();
    }
}
