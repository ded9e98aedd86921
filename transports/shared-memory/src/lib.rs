//! Named shared memory and channels over it (`shm://`).

mod block;
mod bytes;
mod channel;
mod endpoint;
mod header;
mod inventory;
mod kind;
mod memory;
mod participant_slots;
pub mod parts;
mod region;
mod rendezvous;
mod segment;
mod snapshot;
mod sys;
mod transport;
mod words;

pub use anyipc_ring::words::Atomic32;
pub use block::Block;
pub use channel::{Receiver, Sender};
pub use endpoint::Endpoint;
pub use transport::SharedMemory;
