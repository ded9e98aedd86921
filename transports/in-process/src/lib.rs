//! `inproc://`: channels between the threads of one process, the smallest complete `anyipc`
//! transport. To write a transport of your own, start with a copy of this crate.
//!
//! Read the files in this order:
//!
//! | file | contents |
//! |---|---|
//! | `transport.rs` | [`InProcess`]: the table of live names; create, open, close, inventory |
//! | `endpoint.rs` | [`InProcessEndpoint`]: the handle of a name, an owner's or an opener's |
//! | `rendezvous.rs` | how openers and the owner of a name meet: half-open handshakes |
//! | `channel.rs` | [`InProcessSender`] and [`InProcessReceiver`]: the two halves of a channel |
//! | `direction.rs` | one direction of a channel: a bounded queue of frames and its two waiters |
//! | `lock.rs` | locking a mutex that nothing can poison |
//!
//! A name lives as long as its owner, and so does the text that `alloc_lpsz` stores. All state is
//! in the memory of the process and ends with it, so the transport does not claim
//! [`DELIVERS_AFTER_DEATH`](anyipc_core::Capabilities::DELIVERS_AFTER_DEATH). A forked child has a
//! private copy of that memory and reaches only itself.
#![forbid(unsafe_code)]

mod channel;
mod direction;
mod endpoint;
mod lock;
mod rendezvous;
mod transport;

pub use channel::{InProcessReceiver, InProcessSender};
pub use endpoint::InProcessEndpoint;
pub use transport::InProcess;
