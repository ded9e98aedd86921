//! Channels: one ring per direction in anonymous memory, and the socket over which the memory was
//! handed over. A byte on the socket wakes the peer's task, and its hang-up shows the peer's death.

mod fast_path;
mod layout;
mod receiver;
mod resize;
mod scratch;
mod sender;
mod shared_ring;
#[cfg(test)]
mod tests;

pub(crate) use layout::{Layout, MAX_CAPACITY, MIN_CAPACITY, SPARE};
pub use receiver::Receiver;
pub use sender::Sender;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyipc_core::{Armed, Interest, Role, Waiter};
use anyipc_memory::handover::{Half, Link, ReadySlot};
use anyipc_memory::{parks, sleep};
use anyipc_ring::{Consumer, Producer, Wake, state};

/// Both halves over mapped memory, with rings that may be resized to `limit` bytes. `slot` is the
/// owner's or the opener's end of a bit in the inbox's ready page.
pub(crate) fn halves(
    layout: &Layout,
    link: Arc<Link>,
    role: Role,
    slot: Option<ReadySlot>,
    in_place: bool,
    limit: usize,
) -> (Sender, Receiver) {
    let [to_owner, to_opener] = &layout.spares;
    let (to_owner, to_opener) = ((&layout.to_owner, to_owner), (&layout.to_opener, to_opener));
    let ((out, out_spare), (back, back_spare)) = match role {
        Role::Owner => (to_opener, to_owner),
        Role::Opener => (to_owner, to_opener),
    };
    let (ready, token) = match role {
        Role::Owner => (None, slot),
        Role::Opener => (slot, None),
    };
    let (sends, receives) = (Producer::new(out.clone()), Consumer::new(back.clone()));
    let sender = Sender::new(sends, out_spare.clone(), Arc::clone(&link), ready, in_place, limit);
    let receiver = Receiver::new(receives, back_spare.clone(), link, token, in_place, limit);
    (sender, receiver)
}

/// How a waiter sleeps once its half is armed.
fn asleep(waiter: Waiter<'_>) -> Armed {
    match waiter {
        Waiter::Thread => Armed::Park,
        Waiter::Task(_) => Armed::Source(Interest::Readable),
    }
}

/// The bit by which a half tells its peer how to wake it.
fn waiting(by_doorbell: bool) -> u32 {
    if by_doorbell { state::POLLING } else { state::PARKED }
}

/// Blocks the thread of a half that was armed. `word` is its state word, and had the value `parked`
/// when it was armed.
fn park(link: &Link, half: Half, word: &AtomicU32, parked: u32, timeout: Duration) {
    if !link.is_ours() {
        return;
    }
    if parks() {
        sleep(word, parked, timeout);
    } else {
        link.park(half, timeout);
    }
}

/// Wakes these sleepers of the peer. `word` is its state word.
#[cold]
fn wake_peer(link: &Link, wake: Wake, word: &AtomicU32) {
    if matches!(wake, Wake::Thread | Wake::Both) {
        anyipc_memory::wake(word);
    }
    if matches!(wake, Wake::Task | Wake::Both) {
        link.ring_doorbell();
    }
}
