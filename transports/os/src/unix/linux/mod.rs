//! Linux: `O_TMPFILE`, epoll, `/proc`.

mod place;
mod set;
mod socket;
mod tcp;

pub(super) use place::{base, check_shared, check_user, device, make_fifo, open_to_reach};
pub use set::Set;
pub use socket::{NO_SIGNAL, no_signal, peer_of, recv_descriptors, take_descriptors};
pub use tcp::{
    SendMemory, limit_unsent, refuse_data, segment, send_memory, unlock_send_buffer, unsent,
};
