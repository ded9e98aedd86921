//! Operations of locks.

use std::thread;
use std::time::Duration;

use anyipc::ErrorKind;
use anyipc::sync::{LockResult, Mutex, MutexGuard};

use super::{Round, Victim, WAITS, asleep, begin, corpse, end, explore, left, number};
use crate::support::random::Random;

/// Two halves that are equal whenever nobody changes them.
type Pair = [u64; 2];

/// What a victim does.
pub(crate) const VICTIMS: &[(&str, Victim)] = &[
    ("mutex-create", |words| {
        begin();
        let _mutex = Mutex::create(words[0], [0; 2]).unwrap();
        end();
    }),
    ("mutex-open", |words| {
        begin();
        let _mutex = open(words);
        end();
    }),
    ("mutex-drop", |words| {
        let mutex = open(words);
        begin();
        drop(mutex);
        end();
    }),
    ("mutex-lock", |words| {
        let mutex = open(words);
        begin();
        let _guard = mutex.lock().unwrap();
        end();
    }),
    #[cfg(feature = "tokio")]
    ("mutex-lock-as-task", |words| {
        let mutex = open(words);
        super::as_task(async {
            begin();
            let _guard = mutex.lock_async().await.unwrap();
            end();
        });
    }),
    ("mutex-unlock", |words| {
        let mutex = open(words);
        let mut guard = mutex.lock().unwrap().into_inner();
        *guard = [number(words[1]); 2];
        begin();
        drop(guard);
        end();
    }),
    ("mutex-follow", |words| {
        let mutex = open(words);
        leave_locked(words[0]);
        begin();
        let _guard = mutex.lock().unwrap();
        end();
    }),
    ("mutex-repair", |words| {
        let mutex = open(words);
        leave_locked(words[0]);
        let mut guard = mutex.lock().unwrap().into_inner();
        *guard = [number(words[1]); 2];
        begin();
        guard.make_consistent();
        drop(guard);
        end();
    }),
    ("mutex-poison", |words| {
        let mutex = open(words);
        leave_locked(words[0]);
        let guard = mutex.lock().unwrap();
        begin();
        drop(guard);
        end();
    }),
];

/// For what must come; how soon, `Round::in_time` judges.
const LONG: Duration = Duration::from_secs(20);

fn open(words: &[&str]) -> Mutex<Pair> {
    Mutex::open(words[0]).unwrap()
}

/// A process locks the mutex, and dies.
fn leave_locked(url: &str) {
    corpse(|| {
        let mutex = Mutex::<Pair>::open(url).unwrap();
        let _guard = mutex.lock().unwrap();
        begin();
    });
}

/// Every operation.
pub(crate) fn survive(random: &mut Random) {
    let url = "shm://steps?wait=block";
    explore("mutex, create", random, |round| {
        round.kill(&format!("mutex-create {url}"));
        let mutex = Mutex::create(url, [7; 2]).unwrap();
        assert_eq!(*locked(&mutex).recover(|_| panic!("a new mutex")), [7; 2]);
        drop(mutex);
        round.in_time();
        assert_eq!(left(), [""; 0]);
    });
    let mutex = Mutex::create(url, [0; 2]).unwrap();
    for operation in ["open", "drop"] {
        explore(&format!("mutex, {operation}"), random, |round| {
            round.kill(&format!("mutex-{operation} {url}"));
            is_free(round, &mutex);
        });
    }
    explore("mutex, lock", random, |round| {
        let ended = round.kill(&format!("mutex-lock {url}"));
        assert!(locked(&mutex).recover_quietly() || !ended, "nothing said of the death");
        is_free(round, &mutex);
    });
    for how in WAITS {
        explore(&format!("mutex, lock{how} that waits"), random, |round| {
            lock_that_waits(round, &mutex, url, how);
        });
    }
    explore("mutex, unlock", random, |round| unlock(round, &mutex, url, false));
    explore("mutex, unlock for a sleeper", random, |round| unlock(round, &mutex, url, true));
    explore("mutex, lock that stands still", random, |round| {
        round.start(&format!("mutex-lock {url}"));
        round.ready();
        // It is held, or it was free: no owner is dead.
        round.stand(|| not_dead(mutex.try_lock()));
        assert!(locked(&mutex).recover_quietly(), "nothing said of the death");
        is_free(round, &mutex);
    });
    explore("mutex, unlock that stands still", random, |round| {
        round.start(&format!("mutex-unlock {url} 1"));
        round.ready();
        round.stand(|| not_dead(mutex.lock_timeout(Duration::from_millis(15))));
        is_free(round, &mutex);
    });
    explore("mutex, lock after a death", random, |round| {
        round.kill(&format!("mutex-follow {url}"));
        assert!(locked(&mutex).recover_quietly(), "two deaths, and nothing said");
        is_free(round, &mutex);
    });
    explore("mutex, repair", random, |round| {
        let ended = round.kill(&format!("mutex-repair {url} {}", round.number));
        match locked(&mutex) {
            LockResult::Locked(guard) => assert_eq!(*guard, [u64::from(round.number); 2]),
            died => drop((!ended).then(|| died.recover_quietly()).expect("it was repaired")),
        }
        is_free(round, &mutex);
    });
    explore("mutex, poisoning", random, |round| {
        let ended = round.kill(&format!("mutex-poison {url}"));
        match mutex.lock_timeout(LONG) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Poisoned);
                mutex.clear_poison().unwrap();
            }
            Ok(died) => assert!(died.recover_quietly() && !ended, "the death before is forgotten"),
        }
        is_free(round, &mutex);
    });
    drop(mutex);
    assert_eq!(left(), [""; 0]);
}

fn locked(mutex: &Mutex<Pair>) -> LockResult<MutexGuard<'_, Pair>> {
    mutex.lock_timeout(LONG).unwrap()
}

/// What a locker may see beside a process that stands still.
#[track_caller]
fn not_dead(result: anyipc::Result<LockResult<MutexGuard<'_, Pair>>>) {
    match result {
        Ok(locked) => assert!(!locked.recover_quietly(), "a stopped owner is taken for dead"),
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        }
    }
}

trait Recover {
    /// Repairs the value if an owner died, and unlocks. True if one did.
    fn recover_quietly(self) -> bool;
}

impl Recover for LockResult<MutexGuard<'_, Pair>> {
    fn recover_quietly(self) -> bool {
        let died = self.owner_died();
        drop(self.recover(|pair| *pair = [0; 2]));
        died
    }
}

/// Free and consistent, for this handle and for a new one.
#[track_caller]
fn is_free(round: &Round<'_>, mutex: &Mutex<Pair>) {
    for mutex in [mutex, &Mutex::open("shm://steps").unwrap()] {
        let guard = locked(mutex).recover(|_| panic!("no owner died since"));
        assert_eq!(guard[0], guard[1]);
    }
    round.in_time();
}

/// The survivor has the lock, and gives it back when the victim waits for it.
fn lock_that_waits(round: &mut Round<'_>, mutex: &Mutex<Pair>, url: &str, how: &str) {
    let guard = locked(mutex);
    let ended = round.kill_beside(&format!("mutex-lock{how} {url}"), |round| {
        round.asleep_or_dead();
        drop(guard);
    });
    assert!(locked(mutex).recover_quietly() || !ended, "nothing said of the death");
    is_free(round, mutex);
}

/// `sleeps`: a thread of the survivor waits for the lock meanwhile.
fn unlock(round: &mut Round<'_>, mutex: &Mutex<Pair>, url: &str, sleeps: bool) {
    *locked(mutex).recover(|_| ()) = [1000; 2];
    let new = u64::from(round.number);
    round.start(&format!("mutex-unlock {url} {new}"));
    round.ready();
    let check = |result: LockResult<MutexGuard<'_, Pair>>| match result {
        LockResult::Locked(guard) => {
            assert_eq!(*guard, [new; 2]);
            false
        }
        died => died.recover_quietly(),
    };
    let died = if sleeps {
        thread::scope(|scope| {
            let sleeper = asleep(scope, || check(mutex.lock_timeout(LONG).unwrap()));
            round.go();
            round.dead();
            sleeper.join().unwrap()
        })
    } else {
        round.go();
        round.dead();
        check(locked(mutex))
    };
    assert!(!died || !round.dead(), "it was given back");
    is_free(round, mutex);
}
