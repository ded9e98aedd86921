//! What other transports over shared memory are built from: named memory and its inventory, a lock that survives
//! its owner, seats that show who lives, and the handshake that hands a channel's memory over.
//!
//! These follow no semantic versioning: use a transport.

pub use crate::channel::{Half, Link, Liveness, ReadySlot};
pub use crate::endpoint::{Acceptor, ChannelFactory, Side, arm, source, try_connect};
pub use crate::inventory::{inspect, list, remove, sweep};
pub use crate::kind::{CLEAN, Kind};
pub use crate::memory::{Memory, Path, Plan};
pub use crate::participant_slots::{ParticipantSlot, ParticipantSlots, SLOT_HEADER};
pub use crate::region::{Extent, Region, sleep, wake};
pub use crate::rendezvous::Rendezvous;
pub use crate::sys::{check_platform, coarse_ticks};
