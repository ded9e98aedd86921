//! Named shared memory and channels over it (`shm://`).
#![cfg_attr(
    loom,
    allow(dead_code, unreachable_pub, reason = "loom builds the ring and the lock alone")
)]

#[cfg(not(loom))]
mod block;
#[cfg(not(loom))]
mod bytes;
#[cfg(not(loom))]
mod channel;
#[cfg(not(loom))]
mod endpoint;
#[cfg(not(loom))]
mod header;
#[cfg(not(loom))]
mod inventory;
#[cfg(not(loom))]
mod kind;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod participant_slots;
#[cfg(not(loom))]
pub mod parts;
mod primitive;
#[cfg(not(loom))]
mod region;
#[cfg(not(loom))]
mod rendezvous;
mod ring;
mod robust;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod snapshot;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod transport;
mod words;

#[cfg(not(loom))]
pub use block::Block;
#[cfg(not(loom))]
pub use channel::{Receiver, Sender};
#[cfg(not(loom))]
pub use endpoint::Endpoint;
#[cfg(not(loom))]
pub use transport::SharedMemory;
#[cfg(not(loom))]
pub use words::Atomic32;
