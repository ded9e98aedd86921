//! Events, condition variables, onces and barriers: a process dies after any single store.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::cell::RefCell;
use std::time::Duration;

use crate::barrier::{Arrival, BarrierWords, Progress, arrive, try_end, withdraw};
use crate::condvar;
use crate::event::{self, Reset};
use crate::lock_tests::Set;
use crate::mortal::with_stores;
use crate::once::{self, Begun};
use crate::primitive::{AtomicU32, AtomicU64};
use crate::robust::{LockBackend, OwnerId};
use crate::wait_set::{Wakers, announce_poller, announce_thread};

const PARTIES: u32 = 3;

/// All words of all objects, and the participants that are dead.
#[derive(Default)]
struct Memory {
    word: AtomicU32,
    count: AtomicU64,
    round: AtomicU64,
    cells: [AtomicU64; PARTIES as usize],
    set: Set,
    system: System,
}

#[derive(Default)]
struct System {
    dead: RefCell<Vec<u32>>,
}

impl System {
    fn bury(&self, slot: u32) {
        self.dead.borrow_mut().push(slot);
    }
}

/// Waiters of both kinds, so that waking takes as many stores as it can.
fn awaited() -> Set {
    let set = Set::default();
    announce_thread(&set);
    announce_poller(&set, 5);
    announce_poller(&set, 70);
    set
}

impl Wakers for System {
    fn wake(&self, _word: &AtomicU32, _most: u32) -> u32 {
        1
    }
    fn ring(&self, _slot: u32) -> bool {
        true
    }
}

impl LockBackend for System {
    fn is_dead(&self, owner_id: OwnerId) -> bool {
        self.dead.borrow().contains(&owner_id.slot())
    }
    fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout: Duration) {}
    fn wake(&self, _word: &AtomicU32) {}
}

impl BarrierWords for Memory {
    fn parties(&self) -> u32 {
        PARTIES
    }
    fn round(&self) -> &AtomicU64 {
        &self.round
    }
    fn cell(&self, index: u32) -> &AtomicU64 {
        &self.cells[index as usize]
    }
}

impl Memory {
    fn new() -> Self {
        Self { set: awaited(), ..Self::default() }
    }

    fn arrive(&self, slot: u32) -> Option<Arrival> {
        arrive(self, OwnerId::new(slot, 1), true, &self.system)
    }
    fn try_end(&self, arrival: &Arrival) -> Progress {
        try_end(self, arrival, &self.set, &self.system)
    }
    fn withdraw(&self, arrival: &Arrival) -> bool {
        withdraw(self, arrival, &self.set, &self.system)
    }
    fn begin(&self, slot: u32) -> Begun {
        once::begin(&self.word, OwnerId::new(slot, 1), true, &self.system)
    }
    fn complete(&self) {
        once::complete(&self.word, &self.set, &self.system);
    }

    /// Participants that have not arrived pass the barrier together.
    #[track_caller]
    fn pass_all(&self, slots: [u32; PARTIES as usize]) {
        let arrivals = slots.map(|slot| self.arrive(slot).unwrap());
        let over = arrivals.map(|arrival| self.try_end(&arrival));
        assert_eq!(
            over,
            [
                Progress::Over { leads: true },
                Progress::Over { leads: false },
                Progress::Over { leads: false }
            ]
        );
    }
}

/// Runs `act` with 0, 1, … stores until it survives, each time after `before`. `after` looks at
/// what a death left. Returns how many deaths there were.
fn die_at_each_store<S>(
    before: impl Fn(&Memory) -> S,
    act: impl Fn(&Memory),
    after: impl Fn(&Memory, S, u32),
) -> u32 {
    for stores in 0..1000 {
        let memory = Memory::new();
        let state = before(&memory);
        if with_stores(stores, || act(&memory)).is_some() {
            return stores;
        }
        after(&memory, state, stores);
    }
    panic!("it never ends");
}

#[test]
fn a_death_in_set_leaves_the_signal_or_none() {
    for how in [Reset::Manual, Reset::Auto] {
        let deaths = die_at_each_store(
            |_| {},
            |memory| event::set(&memory.word, how, &memory.set, &memory.system),
            |memory, (), stores| {
                assert_eq!(event::is_set(&memory.word), stores > 0);
                event::set(&memory.word, how, &memory.set, &memory.system);
                assert!(event::try_wait(&memory.word, how));
                assert_eq!(event::is_set(&memory.word), how == Reset::Manual);
            },
        );
        assert!(deaths > 2, "{deaths}");
    }
}

#[test]
fn a_death_in_notify_is_seen_by_all_or_has_not_begun() {
    let notify: [fn(&AtomicU64, &Set, &System); 2] = [condvar::notify_one, condvar::notify_all];
    for notify in notify {
        let deaths = die_at_each_store(
            |_| {},
            |memory| notify(&memory.count, &memory.set, &memory.system),
            |memory, (), stores| assert_eq!(condvar::count(&memory.count), u64::from(stores > 0)),
        );
        assert!(deaths > 2, "{deaths}");
    }
}

#[test]
fn a_death_in_once_is_told_to_the_next() {
    let call = |memory: &Memory, slot| {
        if let Begun::Ours { .. } = memory.begin(slot) {
            memory.complete();
        }
    };
    for second in 0..8 {
        let deaths = die_at_each_store(
            |_| {},
            |memory| call(memory, 0),
            |memory, (), first| {
                // It is not known to be dead: it is merely stopped.
                let expected = match first {
                    0 => None,
                    1 => Some(Begun::Others),
                    _ => Some(Begun::Complete),
                };
                if let Some(expected) = expected {
                    assert_eq!(memory.begin(1), expected);
                }
                memory.system.bury(0);
                // The next one dies as well.
                with_stores(second, || call(memory, 1));
                memory.system.bury(1);
                let begun = memory.begin(2);
                match (first, second) {
                    (0, 0) => assert_eq!(begun, Begun::Ours { after_death: false }),
                    (0, 1) | (1, 0 | 1) => assert_eq!(begun, Begun::Ours { after_death: true }),
                    _ => assert_eq!(begun, Begun::Complete),
                }
                call(memory, 2);
            },
        );
        assert!(deaths > 3, "{deaths}");
    }
}

#[test]
fn a_once_that_is_given_up_is_told_to_the_next() {
    let deaths = die_at_each_store(
        |_| {},
        |memory| {
            assert_eq!(memory.begin(0), Begun::Ours { after_death: false });
            once::give_up(&memory.word, &memory.set, &memory.system);
        },
        |memory, (), stores| {
            memory.system.bury(0);
            assert_eq!(memory.begin(1), Begun::Ours { after_death: stores > 0 });
        },
    );
    assert!(deaths > 3, "{deaths}");
}

/// Arrives, looks, and withdraws if the round is not over.
fn visit(memory: &Memory, slot: u32) {
    let arrival = memory.arrive(slot).unwrap();
    if memory.try_end(&arrival) == Progress::Waits {
        assert!(memory.withdraw(&arrival));
    }
}

/// `earlier`: how many had arrived before the one that dies. A second one dies after it.
#[test]
fn a_death_at_a_barrier_leaves_its_place_to_another() {
    for earlier in 0..PARTIES {
        for second in 0..12 {
            let deaths = die_at_each_store(
                |memory| (1..=earlier).map(|slot| memory.arrive(slot).unwrap()).collect(),
                |memory| visit(memory, 0),
                |memory, arrivals: Vec<Arrival>, _| {
                    memory.system.bury(0);
                    if !is_over(memory, &arrivals, earlier) {
                        with_stores(second, || visit(memory, 9));
                        memory.system.bury(9);
                        if !is_over(memory, &arrivals, earlier) {
                            fill_up(memory, arrivals);
                        }
                    }
                    memory.pass_all([1, 2, 3]);
                },
            );
            assert!(deaths > 3, "{deaths}");
        }
    }
}

/// True if the one that died had ended the round. Then all of them were counted.
fn is_over(memory: &Memory, arrivals: &[Arrival], earlier: u32) -> bool {
    let over: Vec<_> = arrivals.iter().map(|arrival| memory.try_end(arrival)).collect();
    if over.iter().all(|over| *over == Progress::Waits) {
        return false;
    }
    assert_eq!(earlier, PARTIES - 1);
    assert!(over.iter().all(|over| *over == Progress::Over { leads: false }), "{over:?}");
    true
}

/// The dead do not count, and their places are free: the living end the round.
fn fill_up(memory: &Memory, mut arrivals: Vec<Arrival>) {
    for slot in arrivals.len() as u32 + 1..=PARTIES {
        for arrival in &arrivals {
            assert_eq!(memory.try_end(arrival), Progress::Waits);
        }
        arrivals.push(memory.arrive(slot).unwrap());
    }
    assert_eq!(memory.arrive(4), None, "one more than parties");
    let over: Vec<_> = arrivals.iter().map(|arrival| memory.try_end(arrival)).collect();
    assert!(!over.contains(&Progress::Waits), "a place is lost: {over:?}");
    let leaders = over.iter().filter(|over| **over == Progress::Over { leads: true }).count();
    assert_eq!(leaders, 1);
}

#[test]
fn an_arrival_is_counted_or_taken_back() {
    let memory = Memory::new();
    let [one, two] = [1, 2].map(|slot| memory.arrive(slot).unwrap());
    assert!(memory.withdraw(&one));
    let three = memory.arrive(3).unwrap();
    assert_eq!(memory.try_end(&three), Progress::Waits);
    let one = memory.arrive(1).unwrap();
    assert_eq!(memory.try_end(&one), Progress::Over { leads: true });
    assert!(!memory.withdraw(&two) && !memory.withdraw(&three));
    // The places of a round that is over are free, and a late look at them harms nothing.
    let again = [1, 2, 3].map(|slot| memory.arrive(slot).unwrap());
    assert!(!memory.withdraw(&two));
    assert_eq!(memory.try_end(&two), Progress::Over { leads: false });
    assert_eq!(memory.try_end(&again[0]), Progress::Over { leads: true });
}
