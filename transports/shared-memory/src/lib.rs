//! Named shared memory and channels over it (`shm://`).

mod block;
mod change;
mod channel;
mod endpoint;
mod kind;
mod snapshot;
mod transport;

pub use anyipc_ring::words::Atomic32;
pub use block::Block;
pub use change::{ValueWaiter, WordWaiter};
pub use channel::{Receiver, Sender};
pub use endpoint::Endpoint;
pub use transport::SharedMemory;
