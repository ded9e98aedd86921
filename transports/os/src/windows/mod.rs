//! Windows: events and pools of waiting threads, locks on bytes of files, security descriptors,
//! named pipes.

mod dir;
mod event;
mod fd;
mod lock;
mod numbered;
mod overlapped;
mod page;
mod pipe;
mod pipe_listener;
mod security;
mod set;
mod short;
mod socket;
mod source_set;
mod wait;
mod wake_fifo;

pub use dir::Dir;
pub use event::Event;
pub use fd::{Fd, overwrite, read_text};
pub use lock::{
    hold, holders, is_held, is_number_locked, is_stopped, try_lock, try_lock_number,
    try_write_lock, unlock, unlock_number, write_unlock,
};
pub use page::page_size;
pub use pipe::Pipe;
pub use pipe_listener::PipeListener;
pub use set::Set;
pub use short::{Spare, Watched, is_shortage, lacks_descriptors};
pub use socket::{SocketEvent, ask_once, claim_port, is_writable};
pub use source_set::SourceSet;
pub use wait::{Readiness, sleep, sleep_on};
pub use wake_fifo::WakeFifo;

/// Opens a file of the user's choice for reading.
pub fn open_read(path: &std::path::Path) -> std::io::Result<Fd> {
    std::fs::File::open(path).map(Fd::new)
}

/// There are no forks here.
pub fn generation() -> u32 {
    0
}

/// There are no numbers of users here.
pub fn user() -> u32 {
    0
}

/// True if users have numbers, and [`user`] tells this process's.
pub const USERS_HAVE_NUMBERS: bool = false;
