//! One trait, every local transport, chosen by an address: inter-process communication that is
//! fast, and clean after any crash.
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
//! The word before `://` chooses the transport; nothing else in a program changes. [`create`] makes
//! a named object and its owner, [`open`] an opener of it. Owners [`accept`](Endpoint::accept)
//! channels, openers [`connect`](Endpoint::connect) them; [`connect()`] opens and connects.
//!
//! # Main types
//! | type | what it is | from |
//! |---|---|---|
//! | [`Endpoint`] | a handle of a named object, of its owner or an opener | [`create`], [`open`] |
//! | [`Channel`] | a duplex connection to one peer: whole messages, in order | [`connect()`] |
//! | [`Instance`] | an owner's endpoint, or a channel to the owner there is | [`first()`] |
//! | [`SingleInstance`] | the first instance of a program, or a later one | its `start` |
//! | [`Sender`], [`Receiver`] | its halves, for two threads | [`Channel::split`] |
//! | [`TypedChannel`] | a channel of serde values | [`connect_typed`] |
//! | [`Message`] | a type with a name that both programs write alike | `#[derive(Message)]` |
//! | [`Inbox`], [`TypedInbox`] | an owner's connections to many peers | [`Inbox::new`] |
//! | [`Client`], [`serve`] | calls of a server, many at once; [`request`] | [`Client::connect`] |
//! | [`Queue`] | a bounded queue with many senders and receivers | [`Endpoint::queue`] |
//! | [`Job`] | a message that is leased, until it is acknowledged | [`Queue::lease`] |
//! | [`Block`] | a named block of shared memory | [`Endpoint::block`] |
//! | [`BlockExt`] | the value that a block stores, and waits for its change | a `use` of it |
//! | [`sync`] | locks and events that processes share | `create`, `open`, `at` |
//! | [`Select`] | waits for channels, inboxes, queues, events, blocks, … | [`Select::new`] |
//! | [`InboxSender`] | answers the peers of an inbox from other threads | [`Inbox::split`] |
//! | [`AsyncChannel`], [`AsyncInbox`], [`AsyncQueue`] | the same for tokio | [`connect_async`] |
//! | [`AsyncTypedChannel`], [`AsyncTypedInbox`] | values, for tokio | [`connect_typed_async`] |
//! | [`Framed`], [`Io`] | a channel as stream and sink of messages or bytes | [`AsyncChannel`] |
//! | [`Registry`] | the transports that addresses can name; takes your own | [`Registry::new`] |
//! | [`Error`] | kind, operation, address and reason; a number from -1 to -5 | every call |
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `shared-memory` | yes | `shm://`; [`Block`] |
//! | `message-queue` | yes | `mq://`; queues |
//! | `posix-queue` | yes | `posix-mq://`; queues |
//! | `named-pipe` | yes | `pipe://` |
//! | `socket` | yes | `local://`, `tcp://` |
//! | `plain-socket` | yes | `plain://` |
//! | `in-process` | yes | `inproc://` |
//! | `sync` | yes | [`sync`]: locks and events in shared memory |
//! | `postcard` | yes | typed channels, the codec `postcard`; `serde` |
//! | `bincode`, `json` | no | the codec of that name; `serde` |
//! | `serde` | with a codec | [`TypedChannel`], [`request`], [`BlockExt`], [`Address`] as a text |
//! | `derive` | yes | `#[derive(Message)]` |
//! | `config` | no | [`Config`]: addresses by name, from a TOML file and the environment |
//! | `single-instance` | no | [`SingleInstance`]: later instances hand over their arguments |
//! | `tokio` | no | the async calls |
//! | `tokio-util` | no | [`Io`]: a channel as tokio's `AsyncRead` and `AsyncWrite`; `tokio` |
//! | `futures` | no | [`Framed`]: `Stream` and `Sink`; [`Listener`]; `futures-io`; `tokio-util` |
//! | `tower` | no | clients and servers as services of tower; `serde`, `tokio` |
//!
//! # Errors and blocking
//! A call that can fail returns [`Result`]. `try_*` calls never block and return `WouldBlock`
//! instead; calls with a `timeout` block that long at most; the documentation of all others says
//! whether they have a limit. After the death of a peer, every call to it returns `PeerGone` within
//! a second, once everything that the peer sent was received.
#![forbid(unsafe_code)]
// The tables name types of all features.
#![cfg_attr(
    not(all(
        feature = "config",
        feature = "futures",
        feature = "message-queue",
        feature = "serde",
        feature = "shared-memory",
        feature = "single-instance",
        feature = "tokio"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

// The modules, each with those that it uses. All use `anyipc_core`; none uses the names below.
//
//   codec         -
//   address       codec (only `settings`)
//   wait          address::settings
//   channel       address, wait, codec
//   endpoint      address, wait, channel, asynchronous::reactor (which uses none of these)
//   registry      address, wait, channel, endpoint; the backends
//   queue         address, wait, endpoint
//   inbox         wait, channel, endpoint
//   request       wait, channel, codec, endpoint, registry, inbox
//   single_instance  address, wait, channel, endpoint, registry, inbox
//   block         codec, endpoint; a backend
//   sync          address, wait, registry, asynchronous; backends
//   asynchronous  address, wait, channel, endpoint, registry, queue, inbox, single_instance; tokio
mod address;
#[cfg(feature = "tokio")]
mod asynchronous;
#[cfg(feature = "shared-memory")]
mod block;
mod channel;
pub mod codec;
mod endpoint;
mod inbox;
mod queue;
mod registry;
#[cfg(feature = "serde")]
pub mod request;
#[cfg(feature = "single-instance")]
mod single_instance;
#[cfg(feature = "sync")]
pub mod sync;
mod wait;

use std::time::Duration;

#[cfg(feature = "config")]
pub use address::config::Config;
pub use address::{Address, IntoAddress};
#[cfg(feature = "derive")]
pub use anyipc_derive::Message;
/// The attribute to implement [`Service`] with.
#[cfg(feature = "tokio")]
pub use async_trait::async_trait;
#[cfg(feature = "tokio-util")]
pub use asynchronous::Io;
#[cfg(feature = "tokio")]
pub use asynchronous::{
    AsyncChannel, AsyncInbox, AsyncInboxSender, AsyncQueue, AsyncReceiver, AsyncSender,
    connect_async, first_async, open_async, open_timeout_async,
};
#[cfg(all(feature = "serde", feature = "tokio"))]
pub use asynchronous::{
    AsyncTypedChannel, AsyncTypedInbox, AsyncTypedInboxSender, AsyncTypedReceiver,
    AsyncTypedSender, connect_typed_async, first_typed_async,
};
#[cfg(feature = "futures")]
pub use asynchronous::{Framed, Incoming, Listener};
#[cfg(all(feature = "serde", feature = "tokio"))]
pub use asynchronous::{Service, serve_async, serve_stream_async};
#[cfg(feature = "shared-memory")]
pub use block::{BlockExt, BlockWatch};
pub use channel::message::{Message, MessageName};
pub use channel::receiver::Receiver;
pub use channel::sender::Sender;
#[cfg(feature = "serde")]
pub use channel::typed::{TypedChannel, TypedReceiver, TypedSender};
pub use channel::{Channel, Stats};
pub use endpoint::Endpoint;
pub use endpoint::acceptor::Acceptor;
#[cfg(feature = "serde")]
pub use endpoint::typed::TypedAcceptor;
pub use inbox::sender::InboxSender;
#[cfg(feature = "serde")]
pub use inbox::typed::{TypedInbox, TypedInboxSender};
pub use inbox::{Event, Inbox, PeerId};
pub use queue::{Job, Queue};
pub use registry::Registry;
pub use registry::first::Instance;
#[cfg(feature = "serde")]
pub use request::{Client, Failure, serve, serve_stream};
#[cfg(feature = "single-instance")]
pub use single_instance::{
    SingleInstance,
    first::{FirstInstance, Handover},
    later::LaterInstance,
    launch::Launch,
};
pub use wait::readiness::Readiness;
pub use wait::select::{Select, Selectable};
pub use wait::stop::{Stop, stop};

/// The contract with transports: what a backend of your own implements.
pub use anyipc_core as transport;
pub use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, LeaseId, Name, Object, ObjectState, Operation, Options,
    Peer, QueueStatus, Rejections, Result, Role, Settle, SmCode,
};
#[cfg(feature = "shared-memory")]
pub use anyipc_shared_memory::Block;

/// Compiles and runs the examples of the README.
#[cfg(all(
    doctest,
    feature = "config",
    feature = "derive",
    feature = "message-queue",
    feature = "postcard",
    feature = "shared-memory"
))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Compiles and runs the recipes.
#[cfg(all(
    doctest,
    feature = "derive",
    feature = "message-queue",
    feature = "postcard",
    feature = "shared-memory",
    feature = "sync"
))]
#[doc = include_str!("../docs/cookbook.md")]
struct Cookbook;

/// Creates the named object and becomes its owner.
///
/// With `create=open_or_create` and a live owner the result is an opener's handle, as [`open`]
/// returns it; [`Endpoint::role`] says which. After a crash of the owner the name is free again:
/// its files are reclaimed.
///
/// Blocks only while another process creates or reclaims the same name, as long as the address's
/// `timeout` (5 s by default) at most.
///
/// # Errors
/// `Exists` (−1) if the name is alive, `OutOfMemory` (−4). All others are −2: a bad address,
/// an unknown option, no permission.
pub fn create(address: impl IntoAddress) -> Result<Endpoint> {
    Registry::global().create(address)
}

/// Opens a live object. Does not wait for one; [`open_timeout`] and [`connect()`] do.
///
/// # Errors
/// `NotFound` (its text names another scheme under which the name is alive), `Mismatch`, a bad
/// address, and others: all −3, except `OutOfMemory` (−4).
pub fn open(address: impl IntoAddress) -> Result<Endpoint> {
    Registry::global().open(address)
}

/// Opens an object. Blocks until it is there, as long as `timeout` at most; its owner need not be
/// there.
///
/// # Errors
/// `NotFound` (−3) if it did not come; `Mismatch` (−3) if nothing is there after half a second and
/// the name is alive under another scheme; and those of [`open`].
pub fn open_timeout(address: impl IntoAddress, timeout: Duration) -> Result<Endpoint> {
    Registry::global().open_timeout(address, timeout)
}

/// Creates an object of `text.len() + 1` bytes that holds the text and a NUL; [`Endpoint::lpsz`]
/// reads it.
///
/// # Errors
/// Those of [`create`]; `InvalidOption` (−2) if the text contains a NUL.
pub fn alloc_lpsz(address: impl IntoAddress, text: impl AsRef<[u8]>) -> Result<Endpoint> {
    Registry::global().alloc_lpsz(address, text)
}

/// Opens and connects. Blocks until the object and its owner are there, both together as long as
/// the address's `timeout` (5 s by default) at most.
///
/// # Errors
/// `NoOwner` (−3) if neither came; `Mismatch` (−3) if nothing is there after half a second and
/// the name is alive under another scheme; and those of [`Endpoint::connect`].
pub fn connect(address: impl IntoAddress) -> Result<Channel> {
    Registry::global().connect(address)
}

/// Both ends of a new channel, connected: for two threads, or for tests.
///
/// `pair("shm://")` needs no name; the options are those of both ends. The object has a name that
/// nobody else knows, and is gone when this returns. A child process inherits neither end: for that
/// `create` an address such as `shm://?unique`, and pass on what [`Endpoint::address`] says.
///
/// Blocks for the handshake: well below a millisecond, and as long as the address's `timeout` (5 s
/// by default) at most.
///
/// ```
/// # #[cfg(feature = "in-process")]
/// # fn main() -> anyipc::Result<()> {
/// let (mut here, mut there) = anyipc::pair("inproc://")?;
/// let worker = std::thread::spawn(move || there.send(b"done"));
/// assert_eq!(here.recv()?, b"done");
/// # worker.join().unwrap()
/// # }
/// # #[cfg(not(feature = "in-process"))]
/// # fn main() {}
/// ```
///
/// # Errors
/// Those of [`create`] and [`connect()`]; `Unsupported` for a transport without channels.
pub fn pair(address: impl IntoAddress) -> Result<(Channel, Channel)> {
    Registry::global().pair(address)
}

/// Becomes the owner of the name, or connects to the owner that it has: for programs of which one
/// serves the others.
///
/// Of all processes that call this at once, exactly one is first. An owner that leaves or is killed
/// meanwhile is in no one's way: a later process takes its place, or connects to the one that did.
/// So this never fails because of a race, and needs no loop.
///
/// An address of `first` is one of [`create`] with `create=open_or_create`: a block that outlived
/// its owner is taken over with its contents. Owners of other users are not looked for: each user
/// has a first process of its own, and so has each `ANYIPC_DIR`.
///
/// Blocks until the owner accepts, as long as the address's `timeout` (5 s by default) at most.
///
/// ```
/// # #[cfg(feature = "in-process")]
/// # fn main() -> anyipc::Result<()> {
/// use anyipc::Instance;
///
/// // In each program:
/// match anyipc::first("inproc://first.editor")? {
///     Instance::First(owner) => {
///         // ... the editor: serves all others.
/// #       let later = std::thread::spawn(|| match anyipc::first("inproc://first.editor") {
/// #           Ok(Instance::Later(mut editor)) => editor.send(b"open main.rs"),
/// #           other => panic!("{other:?}"),
/// #       });
///         let (_, request) = anyipc::Inbox::new(owner)?.recv()?;
/// #       later.join().unwrap()?;
///     }
///     Instance::Later(mut editor) => editor.send(b"open main.rs")?,
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "in-process"))]
/// # fn main() {}
/// ```
///
/// # Errors
/// `TimedOut` if there is an owner that does not accept, because it is stopped or busy; its process
/// id is in the text, where the transport knows it (not `tcp`). Those of [`create`] except for
/// `Exists`, and those of [`connect()`] except for `NotFound`.
pub fn first(address: impl IntoAddress) -> Result<Instance> {
    Registry::global().first(address)
}

/// As [`first()`], for values: a later process sends `Out` and receives `In`. The first one accepts
/// them by [`Endpoint::accept_typed`] or a [`TypedInbox`].
///
/// # Errors
/// Those of [`first()`]; `Mismatch` (−3) if the owner's types or codec differ; `Unsupported` if the
/// codec was not compiled in.
#[cfg(feature = "serde")]
pub fn first_typed<Out, In>(address: impl IntoAddress) -> Result<Instance<TypedChannel<Out, In>>>
where
    Out: Message + serde::Serialize + ?Sized,
    In: Message + serde::de::DeserializeOwned,
{
    Registry::global().first_typed(address)
}

/// As [`connect()`], for values: waits for the owner, which must have the same types and codec.
///
/// `Out` is what this side sends, `In` what it receives; [`Message`] gives both their names. Take
/// `()` for a direction without values.
///
/// ```
/// # #[cfg(all(feature = "derive", feature = "in-process", feature = "postcard"))]
/// # fn main() -> anyipc::Result<()> {
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, anyipc::Message)]
/// #[message(name = "edix.Diagnostic/1")]
/// struct Diagnostic {
///     line: u32,
/// }
///
/// let editor = anyipc::create("inproc://connect.typed")?;
/// let compiler = std::thread::spawn(|| -> anyipc::Result<()> {
///     let mut channel = anyipc::connect_typed::<Diagnostic, ()>("inproc://connect.typed")?;
///     channel.send(&Diagnostic { line: 7 })
/// });
/// let mut channel = editor.accept_typed::<(), Diagnostic>()?;
/// assert_eq!(channel.recv()?, Diagnostic { line: 7 });
/// # compiler.join().unwrap()
/// # }
/// # #[cfg(not(all(feature = "derive", feature = "in-process", feature = "postcard")))]
/// # fn main() {}
/// ```
///
/// # Errors
/// Those of [`connect()`]; `Mismatch` (−3) if the owner's types or codec differ; `Unsupported` if
/// the codec was not compiled in.
#[cfg(feature = "serde")]
pub fn connect_typed<Out, In>(address: impl IntoAddress) -> Result<TypedChannel<Out, In>>
where
    Out: Message + serde::Serialize + ?Sized,
    In: Message + serde::de::DeserializeOwned,
{
    Registry::global().connect_typed(address)
}
