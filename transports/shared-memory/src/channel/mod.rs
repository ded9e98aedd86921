//! Channels: one ring per direction in anonymous memory, and the socket over which it was handed over. The
//! socket is also the doorbell for reactors and the news of the peer's death.

mod layout;
mod link;
mod liveness;
mod ready;
mod receiver;
mod scratch;
mod sender;
mod shared_ring;
#[cfg(test)]
mod tests;

pub(crate) use layout::{Layout, MAX_CAPACITY, MIN_CAPACITY, SPARE};
pub use link::{Half, Link};
pub use liveness::Liveness;
pub(crate) use ready::ReadyPage;
pub use ready::ReadySlot;
pub use receiver::Receiver;
pub use sender::Sender;

use std::sync::Arc;

use anyipc_core::Role;
use anyipc_ring::{Consumer, Producer};

/// Both halves over mapped memory, whose rings may grow to `limit` bytes. `slot` is the owner's or the opener's end of the inbox's ready page.
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
    let (mark, token) = match role {
        Role::Owner => (None, slot),
        Role::Opener => (slot, None),
    };
    let (sends, receives) = (Producer::new(out.clone()), Consumer::new(back.clone()));
    let sender = Sender::new(sends, out_spare.clone(), Arc::clone(&link), mark, in_place, limit);
    let receiver = Receiver::new(receives, back_spare.clone(), link, token, in_place, limit);
    (sender, receiver)
}
