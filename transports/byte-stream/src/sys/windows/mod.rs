//! Windows: named pipes for local streams, and sockets.

mod listener;
mod local;
mod stream;
mod tcp;

pub use listener::Listener;
pub use stream::Stream;

use std::io;

/// Whether an error says that handles or memory are short at the moment.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    const TOO_MANY_FILES: i32 = 4;
    const NO_MEMORY: i32 = 8;
    const NO_RESOURCES: i32 = 1450;
    const TOO_MANY_SOCKETS: i32 = 10024;
    const NO_BUFFERS: i32 = 10055;
    const ALL: [i32; 5] = [TOO_MANY_FILES, NO_MEMORY, NO_RESOURCES, TOO_MANY_SOCKETS, NO_BUFFERS];
    error.raw_os_error().is_some_and(|code| ALL.contains(&code))
}
