//! Linux: open-file locks, `O_TMPFILE`, epoll, `/proc`.

mod lock;
mod place;
mod set;
mod socket;
mod tcp;

pub use lock::{
    hold, holders, is_held, is_number_locked, try_lock, try_lock_number, try_write_lock, unlock,
    unlock_number, write_unlock,
};
pub(super) use place::{base, check_shared, check_user, device, make_fifo, open_to_reach};
pub use set::Set;
pub use socket::{NO_SIGNAL, no_signal, peer_of, recv_descriptors, take_descriptors};
pub use tcp::{
    SendMemory, limit_unsent, refuse_data, segment, send_memory, unlock_send_buffer, unsent,
};
