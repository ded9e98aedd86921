use std::io;

use anyipc_core::Handles;

/// What a [`Set`](super::Set) watches.
pub trait Watched: Handles {}

impl<T: Handles> Watched for T {}

/// Nothing: a process has room for millions of handles.
#[derive(Debug)]
pub struct Spare;

/// True if handles or memory are short at the moment.
pub fn is_shortage(error: &io::Error) -> bool {
    const NO_MEMORY: i32 = 8;
    const NO_RESOURCES: i32 = 1450;
    const NO_BUFFERS: i32 = 10055;
    lacks_descriptors(error)
        || matches!(error.raw_os_error(), Some(NO_MEMORY | NO_RESOURCES | NO_BUFFERS))
}

/// True if handles are short at the moment.
pub fn lacks_descriptors(error: &io::Error) -> bool {
    const TOO_MANY_FILES: i32 = 4;
    const TOO_MANY_SOCKETS: i32 = 10024;
    matches!(error.raw_os_error(), Some(TOO_MANY_FILES | TOO_MANY_SOCKETS))
}
