//! Named shared memory and channels over it (`shm://`).
#![cfg_attr(loom, allow(dead_code, reason = "loom builds the ring alone"))]

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
mod primitive;
#[cfg(not(loom))]
mod rendezvous;
mod ring;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod snapshot;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod transport;

#[cfg(not(loom))]
pub use block::Block;
#[cfg(not(loom))]
pub use channel::{Receiver, Sender};
#[cfg(not(loom))]
pub use endpoint::Endpoint;
#[cfg(not(loom))]
pub use transport::SharedMemory;
