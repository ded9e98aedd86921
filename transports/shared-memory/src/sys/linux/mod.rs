//! Linux: `flock`, `O_TMPFILE`, `memfd`, shared futexes.

mod clock;
mod dir;
mod fd;
mod fork;
mod futex;
mod lock;
mod map;
mod memory;
mod socket;
mod text;

pub(crate) use clock::coarse_millis;
pub(crate) use dir::{Dir, same_file};
pub(crate) use fd::Fd;
pub(crate) use fork::generation;
pub(crate) use futex::{futex_wait, futex_wake};
pub(crate) use lock::{holders, is_held, try_lock, try_write_lock, write_unlock};
pub(crate) use map::Map;
pub(crate) use memory::{anonymous, check_anonymous};
pub(crate) use socket::{Listener, Socket, user};
pub(crate) use text::{overwrite, read_text};

pub(crate) use rustix::param::page_size;
