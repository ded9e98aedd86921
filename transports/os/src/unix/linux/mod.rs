//! Linux: `O_TMPFILE`, epoll, `/proc`.

mod place;
mod set;
mod socket;
mod tcp;

pub(super) use place::{
    allocate, base, check_shared, check_user, device, make_fifo, open_to_reach,
};
pub use set::Set;
pub(super) use socket::{HANG_UP, MAX_FDS, TAKE_FDS, keep_from_children};
pub use socket::{NO_SIGNAL, accept_stream, no_signal, peer_of, stream_socket, take_descriptors};
pub use tcp::{
    SendMemory, limit_unsent, refuse_data, segment, send_memory, unlock_send_buffer, unsent,
};
