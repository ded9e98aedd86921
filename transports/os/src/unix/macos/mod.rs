//! macOS: what of `linux` can be had by other calls. Type-checked, but not run yet.

mod place;
mod set;
mod socket;

pub(super) use place::{base, check_shared, check_user, device, make_fifo, open_to_reach};
pub use set::Set;
pub use socket::{NO_SIGNAL, no_signal, peer_of, take_descriptors};
