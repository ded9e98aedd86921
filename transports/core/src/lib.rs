//! The contract between `anyipc` and its transports.
//!
//! A backend implements four traits. None of its calls waits for a peer: what cannot be done now is
//! `WouldBlock`, and [`Wait`] says how to wait for it. The facade derives the blocking, timed and
//! async calls from that, once for all backends.
//!
//! | type | what it is |
//! |---|---|
//! | [`Transport`] | a value that creates and opens named objects |
//! | [`Endpoint`] | a handle of a named object: its owner accepts, openers connect |
//! | [`SendHalf`], [`RecvHalf`] | the halves of a channel: frames of at most `max_frame` bytes |
//! | [`Wait`], [`Waiter`], [`Armed`], [`Source`] | how a half waits, for threads and tasks alike |
//! | [`Attempt`], [`Hello`], [`Reply`] | an attempt to connect, and what both sides send in it |
//! | [`Queue`] | a queue with many senders and receivers, for transports that have some |
//! | [`Leases`], [`Settle`], [`LeaseId`] | messages that come back unless they are acknowledged |
//! | [`Error`], [`ErrorKind`], [`SmCode`] | errors by kind, and the classic values −1 to −5 |
//! | [`Name`], [`Options`], [`Key`] | names and options, checked before a backend gets them |
//! | [`Capabilities`] | what a transport can do; the conformance suite checks it both ways |
//! | [`DynTransport`], [`DynEndpoint`] | the object-safe forms, implemented for every backend |
//!
//! A third party's backend has exactly the rights of the ones that ship with `anyipc`. Start with a
//! copy of `anyipc-in-process`, and prove the result with `anyipc-conformance`.
#![forbid(unsafe_code)]

mod capabilities;
mod dynamic;
mod endpoint;
mod error;
mod frame;
mod half;
mod handshake;
mod inventory;
mod lease;
mod memory;
mod name;
mod options;
mod queue;
mod transport;
mod wait;

pub use capabilities::Capabilities;
pub use dynamic::{DynEndpoint, DynHalves, DynTransport};
pub use endpoint::{Attempt, Endpoint, Peer, Rejections, Role};
pub use error::{Error, ErrorKind, Operation, Result, SmCode, excerpt};
pub use frame::{FRAME_HEADER, Flags, FrameHeader};
pub use half::{RecvHalf, SendHalf};
pub use handshake::{Hello, MAX_HELLO, MAX_TYPE_NAME, PROTOCOL_VERSION, Reply};
pub use inventory::{Object, ObjectState};
pub use lease::{LeaseId, Leased, Leases, MAX_ATTEMPTS, Settle};
pub use memory::{KEPT, give_back};
pub use name::{MAX_NAME, Name};
pub use options::{COMMON_KEYS, Key, KeyKind, Options, Side, keys, parse_bytes, parse_span};
pub use queue::{Full, MAX_PRIORITIES, Queue, QueueOptions, QueueStatus};
pub use transport::Transport;
#[cfg(windows)]
pub use wait::Handles;
pub use wait::{Armed, Interest, Source, Wait, Waiter};
