//! Looking again before a task arms: an answer that is near costs no reactor then, and no system call.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use anyipc_core::Result;

use crate::wait::Waitable;

/// How long a turn takes at first and later; then everybody else in the runtime has one.
const TURN: Duration = Duration::from_nanos(800);
const LATER_TURN: Duration = Duration::from_nanos(1600);
/// Turns of a single try, where whoever is to answer needs this very thread.
const SINGLE: u32 = 4;
/// So many spins take it that who answers needs this thread, after one in which that was so.
const NEAR: u32 = 32;

/// Tries for as long as it may pay, or until the deadline; `None` if it did not. Learns as a spinning thread does.
/// `near`: for so many spins more whoever is to answer needs this thread, as far as is known.
pub(super) async fn spin<W: Waitable + ?Sized, R>(
    on: &mut W,
    deadline: Option<Instant>,
    near: &mut u32,
    attempt: &mut impl FnMut(&mut W) -> Result<R>,
) -> Option<Result<R>> {
    let budget = on.spinner().begin();
    if budget.is_zero() {
        return None;
    }
    let started = Instant::now();
    let waits = *near > 0;
    *near = near.saturating_sub(1);
    for round in 0u32.. {
        let others_first = waits || round > 0;
        if others_first {
            // A wake-up of our own would not do: it may be repeated many times before the runtime's reactor and the
            // future that it was started for have their turn.
            tokio::task::yield_now().await;
        }
        let length = match round {
            ..SINGLE if waits => Duration::ZERO,
            0 => TURN,
            _ => LATER_TURN,
        };
        let turn = Instant::now();
        let mut now = turn;
        loop {
            match attempt(on) {
                Err(error) if error.is_would_block() => spin_loop(),
                done => {
                    if !others_first || now != turn {
                        *near = 0;
                    } else if !waits {
                        *near = NEAR;
                    }
                    on.spinner().end(now - started < budget);
                    return Some(done);
                }
            }
            now = Instant::now();
            if now - turn >= length {
                break;
            }
        }
        if now - started >= budget || deadline.is_some_and(|deadline| now >= deadline) {
            break;
        }
    }
    on.spinner().end(false);
    None
}
