//! `mailbox://`: a transport as a stranger would write it, with nothing but `anyipc-core`.
//!
//! Frames travel through `std::sync::mpsc`, counted instead of weighed (`slots=`); sleepers are woken
//! through a pair of sockets, so that a reactor can wait for them too. It claims channels, queues, and nothing else.
#![forbid(unsafe_code)]

mod bell;
mod channel;
mod office;
mod queue;

pub use channel::{Inlet, Outlet};
pub use office::{Mailbox, Office, SLOTS};
