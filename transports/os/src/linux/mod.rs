//! Linux: `flock`, open-file locks, `O_TMPFILE`, FIFOs, `pthread_atfork`.

mod bell;
mod dir;
mod fd;
mod fork;
mod lock;
mod set;
mod tcp;
mod text;

pub use bell::Bell;
pub use dir::{Dir, same_file};
pub use fd::Fd;
pub use fork::{Quiet, generation, register};
pub use lock::{
    holders, is_held, is_number_locked, try_lock, try_lock_number, try_write_lock, unlock, unlock_number,
    write_unlock,
};
pub use set::{Set, sleep};
pub use tcp::limit_unsent;
pub use text::{overwrite, read_text};

/// Opens a file of the user's choice for reading. Waits for nothing: a FIFO opens at once.
pub fn open_read(path: &std::path::Path) -> std::io::Result<Fd> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Fd::make(|| Ok(open(path, flags, Mode::empty())?))
}

/// This process's effective user.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}
