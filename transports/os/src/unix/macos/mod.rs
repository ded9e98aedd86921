//! macOS: what of `linux` can be had by other calls. Type-checked, but not run yet.

mod place;
mod set;
mod socket;

pub(super) use place::{
    allocate, base, check_shared, check_user, device, make_fifo, open_to_reach,
};
pub use set::Set;
pub(super) use socket::{HANG_UP, MAX_FDS, TAKE_FDS, keep_from_children};
pub use socket::{NO_SIGNAL, accept_stream, no_signal, peer_of, stream_socket, take_descriptors};
