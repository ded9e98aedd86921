//! Spinning of a task before it registers: a result that is near then costs no reactor and no
//! system call.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use anyipc_core::Result;

use crate::wait::Waitable;

/// The longest first turn; then the runtime's other tasks have theirs.
const TURN: Duration = Duration::from_nanos(800);
/// The longest later turn.
const LATER_TURN: Duration = Duration::from_nanos(1600);
/// First turns that are a single try, where the peer needs this thread.
const SINGLE: u32 = 4;
/// Spins that yield before their first try, after one that found that the peer needs this thread.
const YIELDING_SPINS: u32 = 32;

/// Tries for as long as the spinner of `on` allows, or until the deadline. `None` if that was in
/// vain. Learns as a spinning thread does.
///
/// It spins in turns and yields between them, since the peer may be a task of the same runtime.
/// `yielding_spins` is the number of spins that still begin with a yield because that was found to
/// be so.
pub(super) async fn spin<W: Waitable + ?Sized, R>(
    on: &mut W,
    deadline: Option<Instant>,
    yielding_spins: &mut u32,
    attempt: &mut impl FnMut(&mut W) -> Option<Result<R>>,
) -> Option<Result<R>> {
    let budget = on.spinner().begin();
    if budget.is_zero() {
        return None;
    }
    let started = Instant::now();
    let yields_first = *yielding_spins > 0;
    *yielding_spins = yielding_spins.saturating_sub(1);
    for round in 0u32.. {
        let yields = yields_first || round > 0;
        if yields {
            // Waking this task ourselves is not enough: that may be repeated many times before the
            // runtime's reactor and the future that it was started for have their turn.
            tokio::task::yield_now().await;
        }
        let length = match round {
            ..SINGLE if yields_first => Duration::ZERO,
            0 => TURN,
            _ => LATER_TURN,
        };
        let turn = Instant::now();
        let mut now = turn;
        loop {
            if let Some(done) = attempt(on) {
                // Found by the first try after a yield: it came while other tasks ran.
                let came_in_yield = yields && now == turn;
                if !came_in_yield {
                    *yielding_spins = 0;
                } else if !yields_first {
                    *yielding_spins = YIELDING_SPINS;
                }
                on.spinner().end(now - started < budget);
                return Some(done);
            }
            spin_loop();
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
