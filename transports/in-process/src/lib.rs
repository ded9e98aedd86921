//! `inproc://`: threads of one process, the smallest complete `anyipc` transport. Copy it to start yours.
//!
//! - `transport`: the process-wide table of names; create, open, close, inventory
//! - `rendezvous`: how an opener and the owner of a name meet
//! - `endpoint`: the handle of a name
//! - `channel`: the two halves of a channel
//! - `direction`: one direction of a channel, a bounded queue of frames with its two waiters
//!
//! A name lives exactly as long as its owner, and so does the text that `alloc_lpsz` stores. Nothing
//! survives the process; there is no other process for it to survive in, so `delivers-after-death` is not
//! claimed. A forked child starts with a private copy of everything and reaches only itself.
#![forbid(unsafe_code)]

mod channel;
mod direction;
mod endpoint;
mod rendezvous;
mod transport;

pub use channel::{InProcessReceiver, InProcessSender};
pub use endpoint::InProcessEndpoint;
pub use transport::InProcess;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// No lock here is ever held while a caller's code runs, so a poisoned one is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
