//! Linux: sockets and `SCM_RIGHTS`.

mod listener;
mod stream;

pub(crate) use listener::{Listener, is_shortage};
pub(crate) use stream::Stream;

use rustix::net::SocketFlags;

/// What every socket is made with.
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
