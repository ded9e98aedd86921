use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use anyipc_core::{Hello, Role};

use super::link::Link;
use super::ready::ReadySlot;
use crate::region::{Extent, Region};
use crate::sys::Fd;

/// How a transport's channels lie in the memory that the owner hands over in the handshake.
pub trait ChannelFactory: Debug {
    /// The sending half.
    type Sender;
    /// The receiving half.
    type Receiver;

    /// Bytes of a direction, as the owner decides: a capacity that has an [`extent`](Self::extent).
    fn capacity(&self) -> usize;

    /// The capacity that an opener with this hello insists on, rounded as the owner rounds it; 0 is
    /// any.
    fn insists(&self, hello: &Hello) -> u64;

    /// The memory of a channel with this `extra` in the owner's welcome. `None` for a capacity that
    /// no channel has.
    fn extent(&self, capacity: usize, extra: u64) -> Option<Extent>;

    /// How many further descriptors the owner hands over.
    const EXTRAS: usize = 0;

    /// Makes those descriptors for a channel.
    ///
    /// # Errors
    /// What the system says.
    fn extras(&self) -> io::Result<Vec<Fd>> {
        Ok(Vec::new())
    }

    /// A number that the owner's welcome carries for the opener.
    fn extra(&self) -> u64 {
        0
    }

    /// Makes the halves. The memory has the right size; the owner's is zero, the opener's may hold
    /// anything.
    ///
    /// # Errors
    /// `InvalidData` if the memory is not what it should be.
    fn halves(
        &self,
        region: Region,
        capacity: usize,
        side: Side,
    ) -> io::Result<(Self::Sender, Self::Receiver)>;
}

/// One side of a fresh channel.
#[derive(Debug)]
pub struct Side {
    /// The socket between the sides.
    pub link: Arc<Link>,
    /// The side: the owner's or the opener's.
    pub role: Role,
    /// The owner's end or the opener's of the inbox's ready page, if the channel belongs to an
    /// inbox.
    pub ready: Option<ReadySlot>,
    /// The user on the other side.
    pub uid: u32,
    /// The number from the owner's [`ChannelFactory::extra`].
    pub extra: u64,
    /// The descriptors that [`ChannelFactory::extras`] made. At the opener they are unchecked: any
    /// descriptors.
    pub extras: Vec<Fd>,
}
