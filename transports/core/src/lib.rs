//! The contract between `anyipc` and its transports.
//!
//! A backend implements [`Transport`], [`Endpoint`], [`SendHalf`] and [`RecvHalf`], all without blocking;
//! the facade derives the blocking, timed and async calls from them. A third party's backend has exactly
//! the rights of the ones that ship with `anyipc`: start by copying `anyipc-in-process`, and prove the
//! result with `anyipc-conformance`.
#![forbid(unsafe_code)]

mod capabilities;
mod dynamic;
mod error;
mod frame;
mod half;
mod handshake;
mod inventory;
mod memory;
mod name;
mod options;
mod queue;
mod transport;

pub use capabilities::Capabilities;
pub use dynamic::{DynEndpoint, DynHalves, DynTransport};
pub use error::{Error, ErrorKind, Operation, Result, SmCode, excerpt};
pub use frame::{FRAME_HEADER, Flags, FrameHeader};
#[cfg(windows)]
pub use half::Handles;
pub use half::{Armed, Interest, RecvHalf, SendHalf, Source, Wait, Waiter};
pub use handshake::{Hello, MAX_HELLO, MAX_TYPE_NAME, PROTOCOL_VERSION, Reply};
pub use inventory::{Object, ObjectState};
pub use memory::{KEPT, give_back};
pub use name::{MAX_NAME, Name};
pub use options::{COMMON_KEYS, Key, KeyKind, Options, Side, keys, parse_bytes, parse_span};
pub use queue::{MAX_PRIORITIES, Queue, QueueStatus};
pub use transport::{Attempt, Endpoint, Peer, Rejections, Role, Transport};
