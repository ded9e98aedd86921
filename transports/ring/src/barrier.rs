//! A barrier: a round ends when as many participants have arrived as it has parties. What waits
//! for that waits in a [wait set](crate::wait_set).
//!
//! One word has the number of the round and a count of changes in it. Each party has a cell with a
//! round and an owner id. A cell of an earlier round, or of a dead owner, is free. Lock-free: no
//! death, and no stopped process, keeps another one from arriving or leaving.
//!
//! ```text
//! arrive                          withdraw                       end the round
//!   free cell → ours, UNCOUNTED     cell → UNCOUNTED               read the word
//!   word: a change                  word: a change                 all cells count, owners live?
//!   cell → counts                   cell → free                    word: next round, if unchanged
//! ```
//! *One counts or does not.* A round ends by a compare-and-swap of the word that was read before
//! the cells. While a cell is `UNCOUNTED` no look at the cells that begins then ends the round; the
//! change of the word makes those fail that began before. So if a participant makes its change in
//! its round, its cell is its own to set free or to let count; and if it finds the round over, a
//! cell that counted before was counted.
//!
//! *Cells are not mistaken.* A cell is taken by a compare-and-swap from what was read, after the
//! round was read. If it succeeds for a cell of an earlier round, that cell has not counted in this
//! one, and the round is not over. A cell of a later round is left alone.
//!
//! *Deaths.* A dead participant's cell counts no longer as soon as one looks; the next arrival
//! takes it. The participant that arrives last ends the round. If it dies or stops before it does,
//! each waiter looks at the end of its slice, and ends the round if all the others live.
//!
//! All orderings are `SeqCst`: of two arrivals at once, the later one sees both.

use crate::primitive::{AtomicU64, Ordering::SeqCst};
use crate::robust::{LockBackend, OwnerId};
use crate::wait_set::{WaitWords, Wakers, wake_all};

/// The cell's holder is arriving or leaving.
const UNCOUNTED: u32 = 1 << 31;
/// Tries of a compare-and-swap that others may make fail. Each failure is another one's progress.
const TRIES: u32 = 10_000;

/// The words of a barrier. All start as zero.
pub trait BarrierWords {
    /// Parties; 1 or more.
    fn parties(&self) -> u32;
    /// The round in the upper half, changes in the lower.
    fn round(&self) -> &AtomicU64;
    /// A party's cell; `index` is below [`parties`](Self::parties). The round is in the upper half,
    /// the owner id in the lower.
    fn cell(&self, index: u32) -> &AtomicU64;
}

/// One that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    own_id: OwnerId,
    round: u32,
    cell: u32,
}

/// What has become of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Others are missing.
    Waits,
    /// The round is over. `leads` is true for one at most.
    Over {
        /// This participant ended the round.
        leads: bool,
    },
}

const fn pack(round: u32, low: u32) -> u64 {
    (round as u64) << 32 | low as u64
}

const fn round_of(word: u64) -> u32 {
    (word >> 32) as u32
}

fn current(words: &impl BarrierWords) -> u32 {
    round_of(words.round().load(SeqCst))
}

/// Arrives. `None` if there is no free cell in this round: all parties are there, and one more has
/// to wait for the next one. `looks` is whether to ask for deaths, which costs system calls.
pub fn arrive(
    words: &impl BarrierWords,
    own_id: OwnerId,
    looks: bool,
    backend: &impl LockBackend,
) -> Option<Arrival> {
    let passes: &[bool] = if looks { &[false, true] } else { &[false] };
    // If a round ends meanwhile, the next one has free cells.
    (0..2).find_map(|_| {
        let round = current(words);
        passes.iter().find_map(|looks| arrive_in(words, round, own_id, *looks, backend))
    })
}

fn arrive_in(
    words: &impl BarrierWords,
    round: u32,
    own_id: OwnerId,
    looks: bool,
    backend: &impl LockBackend,
) -> Option<Arrival> {
    let parties = words.parties();
    for step in 0..parties {
        // Each begins at a place of its own.
        let index = own_id.slot().wrapping_add(step) % parties;
        let cell = words.cell(index);
        let now = cell.load(SeqCst);
        let coming = pack(round, own_id.bits() | UNCOUNTED);
        if !is_free(now, round, looks, backend)
            || cell.compare_exchange(now, coming, SeqCst, SeqCst).is_err()
        {
            continue;
        }
        if !change(words, round) {
            let _ = cell.compare_exchange(coming, pack(round, 0), SeqCst, SeqCst);
            return None;
        }
        cell.swap(pack(round, own_id.bits()), SeqCst);
        return Some(Arrival { own_id, round, cell: index });
    }
    None
}

fn is_free(cell: u64, round: u32, looks: bool, backend: &impl LockBackend) -> bool {
    match round.wrapping_sub(round_of(cell)) as i32 {
        0 => match OwnerId::from_bits(cell as u32 & !UNCOUNTED) {
            None => true,
            Some(owner) => looks && backend.is_dead(owner),
        },
        // Negative: the caller's round is over.
        age => age > 0,
    }
}

/// True if a cell is free, as far as is known without asking for deaths.
pub fn has_room(words: &impl BarrierWords, backend: &impl LockBackend) -> bool {
    let round = current(words);
    (0..words.parties()).any(|i| is_free(words.cell(i).load(SeqCst), round, false, backend))
}

/// Counts a change of this round. False if the round is over.
fn change(words: &impl BarrierWords, round: u32) -> bool {
    let mut now = words.round().load(SeqCst);
    for _ in 0..TRIES {
        if round_of(now) != round {
            return false;
        }
        let changed = pack(round, (now as u32).wrapping_add(1));
        match words.round().compare_exchange(now, changed, SeqCst, SeqCst) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
    false
}

/// True if the round of the arrival is over.
pub fn is_over(words: &impl BarrierWords, arrival: &Arrival) -> bool {
    current(words) != arrival.round
}

/// Looks whether the round is over, and ends it if all parties have arrived and live. Wakes all
/// waiters then. Asks for the deaths of the others only if all are there.
pub fn try_end(
    words: &impl BarrierWords,
    arrival: &Arrival,
    waiters: &impl WaitWords,
    backend: &(impl LockBackend + Wakers),
) -> Progress {
    let round = arrival.round;
    for _ in 0..TRIES {
        let now = words.round().load(SeqCst);
        if round_of(now) != round {
            return Progress::Over { leads: false };
        }
        let owner = |index| {
            let cell = words.cell(index).load(SeqCst);
            // None for an uncounted one, too.
            OwnerId::from_bits(cell as u32).filter(|_| round_of(cell) == round)
        };
        let all = 0..words.parties();
        let lives = |owner| owner == arrival.own_id || !backend.is_dead(owner);
        if !all.clone().all(|index| owner(index).is_some())
            || !all.clone().all(|index| owner(index).is_some_and(lives))
        {
            return Progress::Waits;
        }
        let next = pack(round.wrapping_add(1), 0);
        if words.round().compare_exchange(now, next, SeqCst, SeqCst).is_ok() {
            wake_all(waiters, backend);
            return Progress::Over { leads: true };
        }
    }
    Progress::Waits
}

/// Takes the arrival back. False if the round is over: the arrival was counted.
pub fn withdraw(
    words: &impl BarrierWords,
    arrival: &Arrival,
    waiters: &impl WaitWords,
    wakers: &impl Wakers,
) -> bool {
    let Arrival { own_id, round, cell } = *arrival;
    let cell = words.cell(cell);
    let [here, leaving, free] =
        [own_id.bits(), own_id.bits() | UNCOUNTED, 0].map(|low| pack(round, low));
    if cell.compare_exchange(here, leaving, SeqCst, SeqCst).is_err() {
        // It is another's only in a later round, unless another process wrote over it.
        return !is_over(words, arrival);
    }
    if !change(words, round) {
        return false;
    }
    let _ = cell.compare_exchange(leaving, free, SeqCst, SeqCst);
    // One more participant than parties may wait for room.
    wake_all(waiters, wakers);
    true
}

/// Arrivals, withdrawals and deaths, in every order.
#[cfg(all(test, loom))]
mod loom_tests {
    use std::time::Duration;

    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::modelled::{Waiters, explore};
    use crate::primitive::AtomicU32;

    /// The slot of a participant that is dead from the start.
    const DEAD: u32 = 7;

    #[derive(Default)]
    struct Shared {
        round: AtomicU64,
        cells: [AtomicU64; 2],
        waiters: Waiters,
    }

    impl BarrierWords for Shared {
        fn parties(&self) -> u32 {
            2
        }
        fn round(&self) -> &AtomicU64 {
            &self.round
        }
        fn cell(&self, index: u32) -> &AtomicU64 {
            &self.cells[index as usize]
        }
    }

    impl LockBackend for Shared {
        fn is_dead(&self, owner_id: OwnerId) -> bool {
            owner_id.slot() == DEAD
        }
        fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout: Duration) {}
        fn wake(&self, _word: &AtomicU32) {}
    }

    impl Wakers for Shared {
        fn wake(&self, word: &AtomicU32, most: u32) -> u32 {
            Wakers::wake(&self.waiters, word, most)
        }
        fn ring(&self, slot: u32) -> bool {
            self.waiters.ring(slot)
        }
    }

    impl Shared {
        /// Passes the barrier. True if it led.
        fn pass(&self, slot: u32) -> bool {
            let mut arrival = None;
            self.waiters.wait(|| {
                arrival = arrival.or_else(|| arrive(self, OwnerId::new(slot, 1), true, self));
                match try_end(self, &arrival?, &self.waiters, self) {
                    Progress::Over { leads } => Some(leads),
                    Progress::Waits => None,
                }
            })
        }

        /// Arrives and does not wait. What the round says, if it was counted.
        fn try_pass(&self, slot: u32) -> Option<bool> {
            let arrival = arrive(self, OwnerId::new(slot, 1), true, self)?;
            match try_end(self, &arrival, &self.waiters, self) {
                Progress::Over { leads } => Some(leads),
                Progress::Waits if withdraw(self, &arrival, &self.waiters, self) => None,
                Progress::Waits => Some(false),
            }
        }
    }

    /// Two participants at once.
    fn both<R: Send + 'static>(
        start: impl Fn(&Shared),
        run: impl Fn(&Shared, u32) -> R + Copy + Send + Sync + 'static,
    ) -> [R; 2] {
        let shared = Arc::new(Shared::default());
        start(&shared);
        let other = Arc::clone(&shared);
        let there = thread::spawn(move || run(&other, 1));
        let here = run(&shared, 0);
        [here, there.join().unwrap()]
    }

    #[test]
    fn barrier_has_one_leader() {
        explore(|| {
            let [here, there] = both(|_| {}, Shared::pass);
            assert!(here != there);
        });
    }

    #[test]
    fn barrier_counts_both_or_none() {
        explore(|| {
            let [here, there] = both(|_| {}, Shared::try_pass);
            match [here, there] {
                [Some(here), Some(there)] => assert!(here != there),
                counted => assert_eq!(counted, [None, None]),
            }
        });
    }

    #[test]
    fn barrier_waits_for_one_that_comes_again() {
        explore(|| {
            let [here, there] = both(
                |_| {},
                |shared, slot| {
                    let tried = if slot == 0 { shared.try_pass(0) } else { None };
                    tried.unwrap_or_else(|| shared.pass(slot))
                },
            );
            assert!(here != there);
        });
    }

    #[test]
    fn barrier_gives_the_place_of_the_dead_to_one() {
        explore(|| {
            let dead = |shared: &Shared| {
                assert!(arrive(shared, OwnerId::new(DEAD, 1), false, shared).is_some());
            };
            let [here, there] = both(dead, Shared::pass);
            assert!(here != there);
        });
    }
}
