//! macOS: what of `linux` can be had by other calls. Type-checked, but not run yet.

mod lock;
mod place;
mod set;
mod socket;

pub use lock::{
    hold, holders, is_held, is_number_locked, try_lock, try_lock_number, try_write_lock, unlock,
    unlock_number, write_unlock,
};
pub(super) use place::{base, check_shared, check_user, device, make_fifo, open_to_reach};
pub use set::Set;
pub use socket::{NO_SIGNAL, no_signal, peer_of, take_descriptors};
