//! Looking again before a task arms: an answer that is near costs no reactor then, and no system call.

use std::future::poll_fn;
use std::hint::spin_loop;
use std::task::Poll;
use std::time::Instant;

use anyipc_core::Result;

use crate::wait::Waitable;

/// Pauses of a turn between two looks at the clock. The runtime's other tasks run after each turn: whoever is to
/// answer may be one of them.
const PAUSES: u32 = 16;

/// Tries for as long as it may pay, or until the deadline; `None` if it did not. Learns as a spinning thread does.
pub(super) async fn spin<W: Waitable + ?Sized, R>(
    on: &mut W,
    deadline: Option<Instant>,
    attempt: &mut impl FnMut(&mut W) -> Result<R>,
) -> Option<Result<R>> {
    let budget = on.spinner().begin();
    if budget.is_zero() {
        return None;
    }
    let started = Instant::now();
    let mut pauses = 1;
    loop {
        others_first().await;
        for _ in 0..PAUSES / pauses {
            match attempt(on) {
                Err(error) if error.is_would_block() => (0..pauses).for_each(|_| spin_loop()),
                done => {
                    on.spinner().end(started.elapsed() < budget);
                    return Some(done);
                }
            }
        }
        pauses = (pauses * 2).min(PAUSES);
        let now = Instant::now();
        if now - started >= budget || deadline.is_some_and(|deadline| now >= deadline) {
            on.spinner().end(false);
            return None;
        }
    }
}

/// Lets the runtime's other tasks run, without a look at its reactor.
async fn others_first() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
