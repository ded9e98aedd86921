//! Linux: sockets, `SCM_RIGHTS`, `epoll` and `timerfd`.

mod listener;
mod set;
mod stream;

pub(crate) use listener::{Listener, is_shortage};
pub(crate) use set::Set;
pub(crate) use stream::Stream;

use rustix::net::SocketFlags;

/// What every socket is made with.
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
