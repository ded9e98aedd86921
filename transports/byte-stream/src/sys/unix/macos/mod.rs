//! macOS: the buffer of a local socket does not tell what is in flight, and a socket that is on its
//! way to another process must not be closed here. So a sender counts what is on its way, and the
//! second stream comes with a join token.

mod stream;

pub use stream::Stream;
