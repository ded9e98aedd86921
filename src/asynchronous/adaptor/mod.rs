//! Channels as the traits of the ecosystem: `Stream` and `Sink`, `AsyncRead` and `AsyncWrite`.
//!
//! `polled` makes something to poll of the async calls of a half; there is no other implementation
//! of waiting. `framed` is messages, `io` bytes, `listener` the channels of an owner.

#[cfg(feature = "futures")]
mod framed;
mod io;
#[cfg(feature = "futures")]
mod listener;
mod polled;

#[cfg(feature = "futures")]
pub use framed::Framed;
pub use io::Io;
#[cfg(feature = "futures")]
pub use listener::{Incoming, Listener};
