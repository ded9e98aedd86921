//! How the owner of a name hands a channel's memory over to a connector, and what both sides keep
//! of the handshake: the socket, which reports the peer's death and wakes its reactor.
//!
//! The opener sends its hello, the owner a welcome with the memory, the opener the byte `MAPPED`.

mod accept;
mod channel_factory;
mod connect;
mod link;
mod liveness;
mod meeting;
mod owner_handshake;
mod ready;
mod rendezvous;

pub use channel_factory::{ChannelFactory, Side};
pub use link::{Half, Link};
pub use liveness::Liveness;
pub use meeting::Meeting;
pub use ready::ReadySlot;

use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation};

/// The time in which a hello, or an answer to it, that has begun must be complete.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// By this byte the opener says that it has mapped the memory and opened all that came with it:
/// from now on the owner may leave. No doorbell byte has this value.
const MAPPED: u8 = b'M';

fn out_of_range(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::InvalidOption).because("no channel has this capacity")
}
