//! Memory that processes share: named memory and its inventory, participant slots that show who lives, and the
//! handshake that hands a channel's memory over.
//!
//! An internal crate: it follows no semantic versioning. Use a transport.

pub mod bytes;
pub mod handover;
mod header;
mod inventory;
mod kind;
mod memory;
pub mod named_queue;
mod participant_slots;
mod region;
mod segment;
mod sys;
mod words;

pub use header::{Header, LPSZ, PERSIST, SNAPSHOT};
pub use inventory::{inspect, list, remove, sweep};
pub use kind::{BLOCK, CLEAN, Kind};
pub use memory::{Memory, Path, Plan};
pub use participant_slots::{ParticipantSlot, ParticipantSlots, SLOT_HEADER};
pub use region::{Extent, Region, sleep, wake};
pub use segment::{New, Segment};
pub use sys::{
    Anonymous, Map, Second, anonymous, check_anonymous, check_platform, coarse_ticks, page_size,
    sealed_len, second,
};
pub use words::Words;
