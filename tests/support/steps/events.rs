//! Operations of events.

use std::thread;
use std::time::Duration;

use anyipc::ErrorKind;
use anyipc::sync::{Event, Reset};

use super::{Round, Victim, WAITS, asleep, begin, end, explore, left};
use crate::support::random::Random;

/// What a victim does.
pub(crate) const VICTIMS: &[(&str, Victim)] = &[
    ("event-create", |words| {
        begin();
        let _event = Event::create(words[0], Reset::Auto).unwrap();
        end();
    }),
    ("event-set", |words| {
        let event = Event::open(words[0]).unwrap();
        begin();
        event.set().unwrap();
        end();
    }),
    ("event-reset", |words| {
        let event = Event::open(words[0]).unwrap();
        begin();
        event.reset().unwrap();
        end();
    }),
    ("event-wait", |words| {
        let event = Event::open(words[0]).unwrap();
        begin();
        event.wait().unwrap();
        end();
    }),
    #[cfg(feature = "tokio")]
    ("event-wait-as-task", |words| {
        let event = Event::open(words[0]).unwrap();
        super::as_task(async {
            begin();
            event.wait_async().await.unwrap();
            end();
        });
    }),
];

/// For what must come; how soon, `Round::in_time` judges.
const LONG: Duration = Duration::from_secs(20);

/// Every operation.
pub(crate) fn survive(random: &mut Random) {
    let url = "shm://steps?wait=block";
    explore("event, create", random, |round| {
        round.kill(&format!("event-create {url}"));
        let event = Event::create(url, Reset::Auto).unwrap();
        works(round, &event, Reset::Auto);
        drop(event);
        assert_eq!(left(), [""; 0]);
    });
    for (kind, reset) in [("manual", Reset::Manual), ("auto", Reset::Auto)] {
        let event = Event::create(url, reset).unwrap();
        explore(&format!("event, {kind}, set"), random, |round| {
            let ended = round.kill(&format!("event-set {url}"));
            let was_set = event.try_wait().is_ok();
            assert!(was_set || !ended, "the signal is lost");
            works(round, &event, reset);
        });
        explore(&format!("event, {kind}, set for a sleeper"), random, |round| {
            set_for_a_sleeper(round, &event, url);
            works(round, &event, reset);
        });
        explore(&format!("event, {kind}, reset"), random, |round| {
            event.set().unwrap();
            let ended = round.kill(&format!("event-reset {url}"));
            assert!(!event.is_set().unwrap() || !ended, "it was reset");
            works(round, &event, reset);
        });
        explore(&format!("event, {kind}, wait"), random, |round| {
            event.set().unwrap();
            let ended = round.kill(&format!("event-wait {url}"));
            let is_set = event.is_set().unwrap();
            match reset {
                Reset::Manual => assert!(is_set),
                Reset::Auto => assert!(!is_set || !ended, "the signal was taken"),
            }
            works(round, &event, reset);
        });
        for how in WAITS {
            explore(&format!("event, {kind}, wait{how} that sleeps"), random, |round| {
                wait_that_sleeps(round, &event, url, how);
                works(round, &event, reset);
            });
        }
        drop(event);
        assert_eq!(left(), [""; 0]);
    }
}

/// A signal comes through, once or until it is reset.
#[track_caller]
fn works(round: &Round<'_>, event: &Event, reset: Reset) {
    event.reset().unwrap();
    assert_eq!(event.try_wait().unwrap_err().kind(), ErrorKind::WouldBlock);
    event.set().unwrap();
    Event::open("shm://steps").unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(event.reset().unwrap(), reset == Reset::Manual);
    round.in_time();
}

/// The survivor sleeps when the victim sets the event. A death before the wake-up, but behind the
/// signal, costs a moment.
fn set_for_a_sleeper(round: &mut Round<'_>, event: &Event, url: &str) {
    round.start(&format!("event-set {url}"));
    round.ready();
    thread::scope(|scope| {
        let sleeper = asleep(scope, || event.wait_timeout(LONG).unwrap());
        round.go();
        if !round.dead() {
            event.set().unwrap();
        }
        sleeper.join().unwrap();
    });
    round.in_time();
}

/// The victim sleeps beside another one. It may die with the first signal, not with the second.
fn wait_that_sleeps(round: &mut Round<'_>, event: &Event, url: &str, how: &str) {
    thread::scope(|scope| {
        let mut sleeper = None;
        round.kill_beside(&format!("event-wait{how} {url}"), |round| {
            round.asleep_or_dead();
            sleeper = Some(asleep(scope, || event.wait_timeout(LONG).unwrap()));
            event.set().unwrap();
            // It gets the signal, or the other one does.
            while !round.is_dead() && !sleeper.as_ref().unwrap().is_finished() {
                thread::yield_now();
            }
            event.set().unwrap();
        });
        event.set().unwrap();
        sleeper.unwrap().join().unwrap();
    });
    round.in_time();
}
