//! Linux: sockets and `SCM_RIGHTS`.

mod listener;
mod stream;

pub use listener::Listener;
pub(crate) use listener::is_shortage;
pub use stream::Stream;

use rustix::net::SocketFlags;

/// What every socket is made with.
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
