//! Memory that processes share: named memory and its inventory, participant slots that show which
//! participants live, and the handshake that hands a channel's memory over.
//!
//! An internal crate: it follows no semantic versioning. Use a transport.

mod attach;
mod attachment;
pub mod bytes;
pub mod handover;
mod header;
mod inventory;
mod kind;
pub mod named_queue;
mod participant_slots;
mod participants;
mod region;
mod segment;
mod sys;
mod wait_set;
mod waiter;
mod words;

pub use anyipc_os::check_generation;
pub use attach::{Path, Plan, Repair};
pub use inventory::{inspect, list, remove, sweep};
pub use kind::{CLEAN, Kind};
pub use participant_slots::{ParticipantSlot, ParticipantSlots, SLOT_HEADER};
pub use participants::{MAX_PARTICIPANTS, Participants, WaitPlace, WaitPlaces};
pub use region::{Extent, Line, Region, sleep, wake, wake_most};
pub use segment::Segment;
pub use sys::{
    Anonymous, Map, Second, anonymous, boot_nanos, check_anonymous, check_platform, coarse_ticks,
    parks, sealed_len, second,
};
pub use wait_set::{WAIT_SET, WaitSet};
pub use waiter::SetWaiter;
pub use words::Words;
