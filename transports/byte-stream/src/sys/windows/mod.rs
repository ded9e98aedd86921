//! Windows: named pipes for local streams, and sockets.

mod listener;
mod local;
mod stream;
mod tcp;

pub use listener::Listener;
pub use stream::Stream;
