//! Linux and macOS: locks, `pthread_atfork`, descriptors. What differs between them is in `linux`
//! and `macos`, under the same names.

mod dir;
mod fd;
mod fork;
#[cfg(target_os = "linux")]
mod linux;
mod lock;
#[cfg(target_os = "macos")]
mod macos;
mod short;
mod socket;
mod source_set;
mod text;
mod wake_fifo;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

pub use dir::Dir;
pub use fd::Fd;
pub use fork::{NoFork, generation, register};
pub use lock::{
    hold, holders, is_held, is_number_locked, is_stopped, try_lock, try_lock_number,
    try_write_lock, unlock, unlock_number, write_unlock,
};
pub use rustix::param::page_size;
pub use short::{Spare, Watched, is_shortage, lacks_descriptors};
pub use socket::{discard, hung_up, recv_descriptors, stream_pair};
pub use source_set::SourceSet;
pub use system::{
    NO_SIGNAL, Set, accept_stream, no_signal, peer_of, stream_socket, take_descriptors,
};
#[cfg(target_os = "linux")]
pub use system::{
    SendMemory, limit_unsent, refuse_data, segment, send_memory, unlock_send_buffer, unsent,
};
pub use text::{overwrite, read_text};
pub use wake_fifo::WakeFifo;

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

/// True if users have numbers, and [`user`] tells this process's.
pub const USERS_HAVE_NUMBERS: bool = true;
