//! `mailbox://`: a third party's transport, with nothing but `anyipc-core`.
//!
//! Frames travel through `std::sync::mpsc`, limited by number (`slots=`). A pair of sockets wakes
//! sleepers, so that a reactor can wait for them, too. It claims channels and queues only.
#![forbid(unsafe_code)]

mod channel;
mod doorbell;
mod endpoint;
mod queue;

pub use channel::{MailboxReceiver, MailboxSender};
pub use endpoint::{Mailbox, MailboxEndpoint, SLOTS};
