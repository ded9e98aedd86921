//! Linux: the kernel's buffers limit what is in flight, and streams are handed over by
//! `SCM_RIGHTS`.

mod send_room;
mod stream;

pub(crate) use send_room::SendRoom;
pub use stream::Stream;
