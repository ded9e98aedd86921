//! Operations of locks that several have at a time: readers and a writer, permits.

use std::thread;
use std::time::Duration;

use anyipc::ErrorKind;
use anyipc::sync::{LockResult, RwLock, RwLockWriteGuard, Semaphore};

use super::{Round, Victim, WAITS, asleep, begin, corpse, end, explore, left, number};
use crate::support::random::Random;

/// Two halves that are equal whenever nobody changes them.
type Pair = [u64; 2];
type Written<'a> = LockResult<RwLockWriteGuard<'a, Pair>>;

/// What a victim does.
pub(crate) const VICTIMS: &[(&str, Victim)] = &[
    ("rw-read", |words| {
        let lock = open(words);
        begin();
        let _guard = lock.read().unwrap();
        end();
    }),
    ("rw-unread", |words| {
        let lock = open(words);
        let guard = lock.read().unwrap();
        begin();
        drop(guard);
        end();
    }),
    ("rw-write", |words| {
        let lock = open(words);
        begin();
        let _guard = lock.write().unwrap();
        end();
    }),
    #[cfg(feature = "tokio")]
    ("rw-read-as-task", |words| {
        let lock = open(words);
        super::as_task(async {
            begin();
            let _guard = lock.read_async().await.unwrap();
            end();
        });
    }),
    #[cfg(feature = "tokio")]
    ("rw-write-as-task", |words| {
        let lock = open(words);
        super::as_task(async {
            begin();
            let _guard = lock.write_async().await.unwrap();
            end();
        });
    }),
    ("rw-unwrite", |words| {
        let lock = open(words);
        let mut guard = lock.write().unwrap().into_inner();
        *guard = [number(words[1]); 2];
        begin();
        drop(guard);
        end();
    }),
    ("rw-follow", |words| {
        let lock = open(words);
        leave_locked(words[0]);
        begin();
        let _guard = lock.write().unwrap();
        end();
    }),
    ("rw-repair", |words| {
        let lock = open(words);
        leave_locked(words[0]);
        let mut guard = lock.write().unwrap().into_inner();
        *guard = [number(words[1]); 2];
        begin();
        guard.make_consistent();
        drop(guard);
        end();
    }),
    ("rw-poison", |words| {
        let lock = open(words);
        leave_locked(words[0]);
        let guard = lock.write().unwrap();
        begin();
        drop(guard);
        end();
    }),
    ("acquire", |words| {
        let semaphore = Semaphore::open(words[0]).unwrap();
        begin();
        let _permit = semaphore.acquire_many(number(words[1]) as u32).unwrap();
        end();
    }),
    #[cfg(feature = "tokio")]
    ("acquire-as-task", |words| {
        let semaphore = Semaphore::open(words[0]).unwrap();
        super::as_task(async {
            begin();
            let _permit = semaphore.acquire_many_async(number(words[1]) as u32).await.unwrap();
            end();
        });
    }),
    ("release", |words| {
        let semaphore = Semaphore::open(words[0]).unwrap();
        let permit = semaphore.acquire_many(number(words[1]) as u32).unwrap();
        begin();
        drop(permit);
        end();
    }),
    ("add-permits", |words| {
        let semaphore = Semaphore::open(words[0]).unwrap();
        begin();
        semaphore.add_permits(1).unwrap();
        end();
    }),
];

/// For what must come; how soon, `Round::in_time` judges.
const LONG: Duration = Duration::from_secs(20);
/// How long a call tries beside a process that stands still.
const MOMENT: Duration = Duration::from_millis(15);

fn open(words: &[&str]) -> RwLock<Pair> {
    RwLock::open(words[0]).unwrap()
}

/// A process locks for writing, and dies.
fn leave_locked(url: &str) {
    corpse(|| {
        let lock = RwLock::<Pair>::open(url).unwrap();
        let _guard = lock.write().unwrap();
        begin();
    });
}

/// Every operation.
pub(crate) fn survive(random: &mut Random) {
    let url = "shm://steps?wait=block";
    let lock = RwLock::create(url, [0; 2]).unwrap();
    let mut run = |operation: &str, round: &mut dyn FnMut(&mut Round<'_>)| {
        explore(&format!("rwlock, {operation}"), random, round);
    };
    for operation in ["read", "unread"] {
        run(operation, &mut |round| {
            round.kill(&format!("rw-{operation} {url}"));
            is_free(round, &lock);
        });
    }
    run("write", &mut |round| {
        let ended = round.kill(&format!("rw-write {url}"));
        assert!(repaired(&lock) || !ended, "nothing said of the death");
        is_free(round, &lock);
    });
    run("unwrite", &mut |round| unwrite(round, &lock, url));
    run("unwrite for a sleeping reader", &mut |round| {
        wakes_a_reader(round, &lock, &format!("rw-unwrite {url} 3"));
    });
    run("unread for a sleeping writer", &mut |round| {
        round.start(&format!("rw-unread {url}"));
        round.ready();
        thread::scope(|scope| {
            let write = || assert!(!lock.write_timeout(LONG).unwrap().owner_died());
            let writer = asleep(scope, write);
            round.go();
            round.dead();
            writer.join().unwrap();
        });
        is_free(round, &lock);
    });
    for how in WAITS {
        run(&format!("read{how} that waits"), &mut |round| {
            let guard = lock.write_timeout(LONG).unwrap().into_inner();
            round.kill_beside(&format!("rw-read{how} {url}"), |round| {
                round.asleep_or_dead();
                drop(guard);
            });
            is_free(round, &lock);
        });
        run(&format!("write{how} that waits"), &mut |round| write_waits(round, &lock, url, how));
    }
    run("write after a death", &mut |round| {
        round.kill(&format!("rw-follow {url}"));
        assert!(repaired(&lock), "two deaths, and nothing said");
        is_free(round, &lock);
    });
    run("repair", &mut |round| {
        let ended = round.kill(&format!("rw-repair {url} {}", round.number));
        match lock.write_timeout(LONG).unwrap() {
            LockResult::Locked(guard) => assert_eq!(*guard, [u64::from(round.number); 2]),
            died => {
                assert!(!ended, "it was repaired");
                drop(died.recover(|pair| *pair = [0; 2]));
            }
        }
        is_free(round, &lock);
    });
    run("poisoning", &mut |round| {
        let ended = round.kill(&format!("rw-poison {url}"));
        match lock.write_timeout(LONG) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Poisoned);
                lock.clear_poison().unwrap();
            }
            Ok(result) => {
                assert!(result.owner_died() && !ended, "the death before is forgotten");
                drop(result.recover(|_| ()));
            }
        }
        is_free(round, &lock);
    });
    for operation in ["read", "unread", "write", "unwrite"] {
        run(&format!("{operation} that stands still"), &mut |round| {
            round.start(&format!("rw-{operation} {url} 5"));
            round.ready();
            round.stand(|| {
                not_dead(lock.read_timeout(MOMENT).map(|result| result.owner_died()));
                not_dead(lock.write_timeout(MOMENT).map(|result| result.owner_died()));
            });
            assert_eq!(repaired(&lock), operation == "write");
            is_free(round, &lock);
        });
    }
    drop(lock);
    assert_eq!(left(), [""; 0]);
    permits(random);
}

/// Repairs the value if a writer died. True if one did.
#[track_caller]
fn repaired(lock: &RwLock<Pair>) -> bool {
    let result: Written<'_> = lock.write_timeout(LONG).unwrap();
    let died = result.owner_died();
    drop(result.recover(|pair| *pair = [0; 2]));
    died
}

/// What a locker may see beside a process that stands still.
#[track_caller]
fn not_dead(told: anyipc::Result<bool>) {
    match told {
        Ok(died) => assert!(!died, "a stopped writer is taken for dead"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
    }
}

/// Free and consistent, for this handle and for a new one: for readers, and for a writer.
#[track_caller]
fn is_free(round: &Round<'_>, lock: &RwLock<Pair>) {
    for lock in [lock, &RwLock::open("shm://steps").unwrap()] {
        let LockResult::Locked(guard) = lock.read_timeout(LONG).unwrap() else { panic!("news") };
        assert_eq!(guard[0], guard[1]);
        assert!(!lock.read_timeout(LONG).unwrap().owner_died());
        drop(guard);
        assert!(!lock.write_timeout(LONG).unwrap().owner_died());
    }
    round.in_time();
}

fn unwrite(round: &mut Round<'_>, lock: &RwLock<Pair>, url: &str) {
    *lock.write_timeout(LONG).unwrap().into_inner() = [1000; 2];
    let new = u64::from(round.number);
    let ended = round.kill(&format!("rw-unwrite {url} {new}"));
    match lock.write_timeout(LONG).unwrap() {
        LockResult::Locked(guard) => assert_eq!(*guard, [new; 2]),
        died => {
            assert!(!ended, "it was given back");
            drop(died.recover(|pair| *pair = [0; 2]));
        }
    }
    is_free(round, lock);
}

/// A reader of the survivor waits for the victim.
fn wakes_a_reader(round: &mut Round<'_>, lock: &RwLock<Pair>, victim: &str) {
    round.start(victim);
    round.ready();
    let died = thread::scope(|scope| {
        let read = || lock.read_timeout(LONG).unwrap().owner_died();
        let reader = asleep(scope, read);
        round.go();
        round.dead();
        reader.join().unwrap()
    });
    round.in_time();
    assert!(!died || !round.dead(), "it was given back");
    repaired(lock);
    is_free(round, lock);
}

/// The survivor reads, and the victim waits for it to end. A dead writer keeps no reader out.
fn write_waits(round: &mut Round<'_>, lock: &RwLock<Pair>, url: &str, how: &str) {
    let guard = lock.read_timeout(LONG).unwrap();
    let ended = round.kill_beside(&format!("rw-write{how} {url}"), |round| {
        round.asleep_or_dead();
        if round.is_dead() {
            assert!(!lock.read_timeout(LONG).unwrap().owner_died());
        }
        drop(guard);
    });
    assert!(repaired(lock) || !ended, "nothing said of the death");
    is_free(round, lock);
}

/// The operations of a semaphore of three permits.
fn permits(random: &mut Random) {
    let url = "shm://steps?wait=block";
    let semaphore = Semaphore::create(url, 3).unwrap();
    let mut run = |operation: &str, round: &mut dyn FnMut(&mut Round<'_>)| {
        explore(&format!("semaphore, {operation}"), random, round);
    };
    for operation in ["acquire", "release"] {
        for count in [1, 3] {
            run(&format!("{operation} {count}"), &mut |round| {
                round.kill(&format!("{operation} {url} {count}"));
                has_all(round, &semaphore, 3);
            });
        }
    }
    for how in WAITS {
        run(&format!("acquire{how} that waits"), &mut |round| {
            let permits = semaphore.acquire_many_timeout(3, LONG).unwrap();
            round.kill_beside(&format!("acquire{how} {url} 2"), |round| {
                round.asleep_or_dead();
                drop(permits);
            });
            has_all(round, &semaphore, 3);
        });
    }
    run("release for a sleeper", &mut |round| {
        round.start(&format!("release {url} 2"));
        round.ready();
        thread::scope(|scope| {
            let take = || drop(semaphore.acquire_many_timeout(2, LONG).unwrap());
            let sleeper = asleep(scope, take);
            round.go();
            round.dead();
            sleeper.join().unwrap();
        });
        has_all(round, &semaphore, 3);
    });
    for operation in ["acquire", "release"] {
        run(&format!("{operation} that stands still"), &mut |round| {
            round.start(&format!("{operation} {url} 2"));
            round.ready();
            // One is free all the time.
            round.stand(|| drop(semaphore.acquire_timeout(LONG).unwrap()));
            has_all(round, &semaphore, 3);
        });
    }
    drop(semaphore);
    run("add permits", &mut |round| {
        let semaphore = Semaphore::create(url, 3).unwrap();
        let ended = round.kill(&format!("add-permits {url}"));
        let now = semaphore.available().unwrap();
        assert!(now == 4 || now == 3 && !ended, "{now} permits");
        has_all(round, &semaphore, now);
    });
    assert_eq!(left(), [""; 0]);
}

/// All permits can be had, and no more.
#[track_caller]
fn has_all(round: &Round<'_>, semaphore: &Semaphore, all: u32) {
    let other = Semaphore::open("shm://steps").unwrap();
    let permits = other.acquire_many_timeout(all, LONG).unwrap();
    assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(permits);
    assert_eq!(semaphore.available().unwrap(), all);
    round.in_time();
}
