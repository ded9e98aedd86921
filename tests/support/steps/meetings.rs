//! Operations of condition variables, barriers and onces.

use std::thread;
use std::time::Duration;

use anyipc::sync::{Barrier, Condvar, Mutex, Once};

use super::{Round, Victim, asleep, begin, end, explore, left};
use crate::support::random::Random;

const MUTEX: &str = "shm://steps.mutex?wait=block";
const CONDVAR: &str = "shm://steps.condvar?wait=block";
const URL: &str = "shm://steps?wait=block";
const LONG: Duration = Duration::from_secs(20);

/// What a victim does.
pub(crate) const VICTIMS: &[(&str, Victim)] = &[
    ("notify-one", |_| {
        let condvar = change_value();
        begin();
        condvar.notify_one().unwrap();
        end();
    }),
    ("notify-all", |_| {
        let condvar = change_value();
        begin();
        condvar.notify_all().unwrap();
        end();
    }),
    ("condvar-wait", |_| {
        let (mutex, condvar) = open();
        let guard = mutex.lock().unwrap().into_inner();
        begin();
        let _guard = condvar.wait(guard).unwrap();
        end();
    }),
    ("barrier-wait", |_| {
        let barrier = Barrier::open(URL).unwrap();
        begin();
        barrier.wait().unwrap();
        end();
    }),
    ("call-once", |_| {
        let once = Once::open(URL).unwrap();
        begin();
        once.call(|_| ()).unwrap();
        end();
    }),
    ("wait-once", |_| {
        let once = Once::open(URL).unwrap();
        begin();
        once.wait().unwrap();
        end();
    }),
];

fn open() -> (Mutex<u64>, Condvar) {
    (Mutex::open(MUTEX).unwrap(), Condvar::open(CONDVAR).unwrap())
}

fn change_value() -> Condvar {
    let (mutex, condvar) = open();
    *mutex.lock().unwrap().into_inner() = 1;
    condvar
}

/// Every operation.
pub(crate) fn survive(random: &mut Random) {
    let (mutex, condvar) = (Mutex::create(MUTEX, 0).unwrap(), Condvar::create(CONDVAR).unwrap());
    for operation in ["notify-one", "notify-all"] {
        explore(&format!("condvar, {operation}"), random, |round| {
            notify(round, &mutex, &condvar, operation);
        });
    }
    explore("condvar, wait", random, |round| wait(round, &mutex, &condvar));
    drop((mutex, condvar));
    let barrier = Barrier::create(URL, 2).unwrap();
    explore("barrier, first wait", random, |round| arrive(round, &barrier, false));
    explore("barrier, last wait", random, |round| arrive(round, &barrier, true));
    drop(barrier);
    explore("once, call", random, |round| {
        let once = Once::create(URL).unwrap();
        let ended = round.kill("call-once");
        is_done(round, &once, ended);
    });
    explore("once, call that waits", random, |round| waits_for_a_call(round, "call-once"));
    explore("once, wait", random, |round| waits_for_a_call(round, "wait-once"));
    explore("once, call for a sleeper", random, |round| {
        let once = Once::create(URL).unwrap();
        round.start("call-once");
        round.ready();
        thread::scope(|scope| {
            let sleeper = asleep(scope, || once.wait_timeout(LONG).unwrap());
            round.go();
            if !round.dead() {
                once.call(|_| ()).unwrap();
            }
            sleeper.join().unwrap();
        });
        is_done(round, &once, true);
    });
    assert_eq!(left(), [""; 0]);
}

/// Sets the value, whatever died with the lock.
fn set(mutex: &Mutex<u64>, to: u64) {
    *mutex.lock_timeout(LONG).unwrap().recover(|_| ()) = to;
}

/// Waits until the value is not 0, and takes it.
fn take(mutex: &Mutex<u64>, condvar: &Condvar) {
    loop {
        let guard = mutex.lock_timeout(LONG).unwrap().recover(|_| ());
        let mut guard = condvar.wait_while(guard, |value| *value == 0).unwrap().recover(|_| ());
        if *guard != 0 {
            *guard -= 1;
            return;
        }
    }
}

/// The survivor waits for the notification.
fn notify(round: &mut Round<'_>, mutex: &Mutex<u64>, condvar: &Condvar, operation: &str) {
    set(mutex, 0);
    thread::scope(|scope| {
        let sleeper = asleep(scope, || take(mutex, condvar));
        round.start(operation);
        round.ready();
        round.go();
        if !round.dead() {
            condvar.notify_one().unwrap();
        }
        sleeper.join().unwrap();
    });
    round.in_time();
}

/// The victim waits beside another one. If it dies with a notification, the other one wakes up.
fn wait(round: &mut Round<'_>, mutex: &Mutex<u64>, condvar: &Condvar) {
    set(mutex, 0);
    thread::scope(|scope| {
        let mut sleeper = None;
        let ended = round.kill_beside("condvar-wait", |round| {
            round.asleep_or_dead();
            sleeper = Some(asleep(scope, || take(mutex, condvar)));
            set(mutex, 1);
            condvar.notify_one().unwrap();
            if !round.is_dead() {
                // It may have gone to the other one.
                while !round.is_dead() && !sleeper.as_ref().unwrap().is_finished() {
                    thread::yield_now();
                }
                condvar.notify_all().unwrap();
            }
        });
        if ended {
            condvar.notify_one().unwrap();
        }
        sleeper.unwrap().join().unwrap();
    });
    round.in_time();
}

/// The victim is one of two parties. `last`: the other one waits already.
fn arrive(round: &mut Round<'_>, barrier: &Barrier, last: bool) {
    let pass = || _ = barrier.wait_timeout(LONG).unwrap();
    round.start("barrier-wait");
    round.ready();
    thread::scope(|scope| {
        let early = last.then(|| asleep(scope, pass));
        round.go();
        let one = early.unwrap_or_else(|| {
            round.asleep_or_dead();
            scope.spawn(pass)
        });
        if round.dead() {
            // Both parties were there.
            return one.join().unwrap();
        }
        // The victim's place is free, unless the round was over.
        let other = scope.spawn(pass);
        one.join().unwrap();
        while !other.is_finished() {
            let _ = barrier.wait_timeout(Duration::from_millis(30));
        }
    });
    round.in_time();
    // Nothing is counted twice, or left over.
    thread::scope(|scope| {
        let one = scope.spawn(pass);
        let other = scope.spawn(pass);
        one.join().unwrap();
        other.join().unwrap();
    });
    round.in_time();
}

/// It is done, or the next caller does it. `done`: it must have been done.
fn is_done(round: &Round<'_>, once: &Once, done: bool) {
    let was_done = once.is_completed().unwrap();
    let mut called = false;
    once.call(|_| called = true).unwrap();
    assert_eq!(called, !was_done);
    assert!(!called || !done, "it was done");
    assert!(once.is_completed().unwrap());
    Once::open(URL).unwrap().wait_timeout(LONG).unwrap();
    round.in_time();
}

/// The survivor does it, and the victim waits for that.
fn waits_for_a_call(round: &mut Round<'_>, victim: &str) {
    let once = Once::create(URL).unwrap();
    once.call(|_| {
        round.start(victim);
        round.ready();
        round.go();
        round.asleep_or_dead();
    })
    .unwrap();
    round.dead();
    is_done(round, &once, true);
}
