//! One trait, every local transport, chosen by an address: inter-process communication that is fast, and
//! clean after any crash.
//!
//! ```
//! # #[cfg(feature = "in-process")]
//! # fn main() -> anyipc::Result<()> {
//! let owner = anyipc::create("inproc://readme.hello")?;
//! let client = std::thread::spawn(|| -> anyipc::Result<Vec<u8>> {
//!     let mut channel = anyipc::connect("inproc://readme.hello")?;
//!     channel.send(b"hello")?;
//!     channel.recv()
//! });
//! let mut channel = owner.accept()?;
//! assert_eq!(channel.recv()?, b"hello");
//! channel.send(b"welcome")?;
//! assert_eq!(client.join().unwrap()?, b"welcome");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "in-process"))]
//! # fn main() {}
//! ```
//!
//! The word before `://` chooses the transport; nothing else in a program changes. [`create`] makes a named
//! object and its owner, [`open`] an opener of it. Owners [`accept`](Endpoint::accept) channels, openers
//! [`connect`](Endpoint::connect) them; [`connect()`] does both steps. An [`Inbox`] serves many openers at
//! once.
#![forbid(unsafe_code)]

mod address;
#[cfg(feature = "tokio")]
mod asynchronous;
#[cfg(all(feature = "shared-memory", feature = "serde"))]
mod block;
mod channel;
pub mod codec;
mod endpoint;
mod inbox;
mod queue;
mod registry;
mod wait;

#[cfg(feature = "config")]
pub use address::config::Config;
pub use address::{Address, IntoAddress};
#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncChannel, AsyncQueue, AsyncReceiver, AsyncSender, connect_async};
#[cfg(all(feature = "shared-memory", feature = "serde"))]
pub use block::BlockExt;
pub use channel::message::Message;
pub use channel::receiver::Receiver;
pub use channel::sender::Sender;
#[cfg(feature = "serde")]
pub use channel::typed::{TypedChannel, TypedReceiver, TypedSender};
pub use channel::{Channel, Stats};
pub use endpoint::Endpoint;
pub use endpoint::acceptor::Acceptor;
pub use inbox::{Event, Inbox, PeerId};
pub use queue::Queue;
pub use registry::Registry;
pub use wait::select::{Select, Selectable};

/// The contract with transports: what a backend of one's own implements.
pub use anyipc_core as transport;
pub use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, Name, Object, ObjectState, Operation, Options, Peer,
    QueueStatus, Rejections, Result, Role, SmCode,
};
#[cfg(feature = "shared-memory")]
pub use anyipc_shared_memory::Block;

/// The examples of the README are tests.
#[cfg(all(
    doctest,
    target_os = "linux",
    feature = "config",
    feature = "message-queue",
    feature = "postcard",
    feature = "shared-memory"
))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Creates the named object and becomes its owner. With `create=open_or_create` and a live owner the result is an
/// opener's handle, as [`open`] gives it: [`Endpoint::role`] tells.
///
/// # Errors
/// `Exists` (−1) if the name is alive, `OutOfMemory` (−4), anything else −2: a bad address, an unknown
/// option, no permission.
pub fn create(address: impl IntoAddress) -> Result<Endpoint> {
    Registry::global().create(address)
}

/// Opens a live object.
///
/// # Errors
/// `NotFound` (which tells if something of this name is alive under another scheme), `Mismatch`, a bad address, …: all −3, but for `OutOfMemory` (−4).
pub fn open(address: impl IntoAddress) -> Result<Endpoint> {
    Registry::global().open(address)
}

/// Creates an object of `text.len() + 1` bytes that holds the text and a NUL; read it with
/// [`Endpoint::lpsz`].
///
/// # Errors
/// As [`create`]; `InvalidOption` (−2) if the text has a NUL in it.
pub fn alloc_lpsz(address: impl IntoAddress, text: impl AsRef<[u8]>) -> Result<Endpoint> {
    Registry::global().alloc_lpsz(address, text)
}

/// Opens and connects. Waits for the object and for its owner, both together as long as the address's
/// `timeout` (5 s) says.
///
/// # Errors
/// `NoOwner` (−3) if nobody came; `Mismatch` (−3) if after half a second there is nothing, but something of this name
/// is alive under another scheme; and those of [`Endpoint::connect`].
pub fn connect(address: impl IntoAddress) -> Result<Channel> {
    Registry::global().connect(address)
}
