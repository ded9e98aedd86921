//! A waiter that has left its wait takes no wake-up from another one. A half that changes threads
//! is woken in its new thread.
#![cfg(all(feature = "in-process", feature = "message-queue", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Endpoint, Queue, Select};
use support::channels::alone;
use support::schemes::{self, url};
use support::watchdog::watched;
use tokio::time::timeout;

/// Longer than a wake-up takes on a busy machine, shorter than the 100 ms after which every sleeper
/// looks again.
const LATE: Duration = Duration::from_millis(50);
const SHORT: Duration = Duration::from_millis(2);
const ROUNDS: usize = 20;

/// A wait that lost its wake-up looks again some 70 ms late. Waiters are woken in turn, so a
/// swallowed wake-up delays every second wait; a busy machine delays one now and then.
fn assert_woken(what: &str, took: Vec<Duration>) {
    let late = took.iter().filter(|took| **took > LATE).count();
    assert!(late <= took.len() / 4, "{what}: {took:?}");
}

/// Runs `wait` in a thread, and `event` when that most likely sleeps. How long after the event the
/// wait ended.
fn woken_after(wait: impl FnOnce() + Send + 'static, event: impl FnOnce()) -> Duration {
    let waits = thread::spawn(move || {
        wait();
        Instant::now()
    });
    thread::sleep(Duration::from_millis(25));
    let begun = Instant::now();
    event();
    waits.join().unwrap().saturating_duration_since(begun)
}

/// Another receiver is woken although `leave` has left a wait on a first handle.
fn others_are_woken(what: &'static str, leave: impl Fn(Queue) -> Box<dyn Send> + Send + 'static) {
    watched(what, move || {
        let owner = anyipc::create(format!("{}?wait=block", url("mq", "leaving"))).unwrap();
        let took = (0..ROUNDS).map(|_| {
            // The second handle has the participant slot behind the first.
            let (first, mut second, mut out) =
                (owner.queue().unwrap(), owner.queue().unwrap(), owner.queue().unwrap());
            let left = leave(first);
            let took =
                woken_after(move || drop(second.recv().unwrap()), || out.send(0, b"job").unwrap());
            drop(left);
            took
        });
        assert_woken(what, took.collect());
    });
}

#[test]
fn a_dropped_receive_takes_no_wakeup() {
    others_are_woken("a dropped receive", |queue| {
        Box::new(alone().block_on(async {
            let mut queue = queue.into_async().unwrap();
            assert!(timeout(SHORT, queue.recv()).await.is_err());
            queue
        }))
    });
}

#[test]
fn a_select_that_found_another_member_takes_no_wakeup() {
    others_are_woken("a select", |mut queue| {
        let owner = anyipc::create(url("inproc", "leaving")).unwrap();
        let (mut near, mut far) = connected(&owner);
        let tick = thread::spawn(move || {
            thread::sleep(SHORT);
            far.send(b"tick").unwrap();
            far
        });
        let mut select = Select::new().unwrap();
        assert_eq!(select.wait(&mut [&mut queue, &mut near]).unwrap(), 1);
        Box::new((tick.join().unwrap(), queue, near))
    });
}

#[test]
fn a_dropped_send_takes_no_wakeup() {
    watched("a dropped send", || {
        let owner =
            anyipc::create(format!("{}?wait=block&capacity=1KiB", url("mq", "leaving"))).unwrap();
        let took = (0..ROUNDS).map(|_| {
            let (first, mut second, mut out) =
                (owner.queue().unwrap(), owner.queue().unwrap(), owner.queue().unwrap());
            while out.try_send(0, &[0; 100]).is_ok() {}
            let left = alone().block_on(async {
                let mut first = first.into_async().unwrap();
                assert!(timeout(SHORT, first.send(0, b"never")).await.is_err());
                first
            });
            let drain = || while out.try_recv().is_ok() {};
            let took = woken_after(move || second.send(0, b"job").unwrap(), drain);
            drop(left);
            out.purge().unwrap();
            took
        });
        assert_woken("a dropped send", took.collect());
    });
}

fn connected(owner: &Endpoint) -> (anyipc::Channel, anyipc::Channel) {
    let address = owner.address().clone();
    let far = thread::spawn(move || anyipc::connect(address).unwrap());
    (owner.accept().unwrap(), far.join().unwrap())
}

#[test]
fn an_acceptor_is_woken_in_the_thread_that_waits() {
    for scheme in schemes::all() {
        watched(scheme, move || {
            let owner = anyipc::create(url(scheme, "moved")).unwrap();
            let address = owner.address().clone();
            let mut acceptor = owner.acceptor().unwrap();
            assert!(acceptor.accept_timeout(SHORT).is_err());
            let took = (0..ROUNDS).map(|_| {
                let address = address.clone();
                thread::scope(|scope| {
                    let accepting = scope.spawn(|| (acceptor.accept().unwrap(), Instant::now()));
                    thread::sleep(Duration::from_millis(25));
                    let begun = Instant::now();
                    let far = anyipc::connect(address).unwrap();
                    let (near, at) = accepting.join().unwrap();
                    drop((near, far));
                    at.saturating_duration_since(begun)
                })
            });
            assert_woken(scheme, took.collect());
        });
    }
}

/// Each half waits in a thread, in another one, in a task and in a thread again.
#[test]
fn a_half_is_woken_where_it_waits() {
    for scheme in schemes::all() {
        watched(scheme, move || {
            let owner = anyipc::create(format!("{}?wait=block", url(scheme, "moved"))).unwrap();
            let (near, mut far) = connected(&owner);
            let mut near = Some(near);
            let took = (0..ROUNDS).map(|round| {
                let mut channel = near.take().unwrap();
                let (back, returned) = std::sync::mpsc::channel();
                let took = woken_after(
                    move || {
                        if round % 3 == 1 {
                            channel = alone().block_on(async {
                                let mut channel = channel.into_async().unwrap();
                                channel.recv().await.unwrap();
                                channel.into_sync()
                            });
                        } else {
                            channel.recv().unwrap();
                        }
                        back.send(channel).unwrap();
                    },
                    || far.send(b"wake up").unwrap(),
                );
                near = returned.recv().ok();
                took
            });
            assert_woken(scheme, took.collect());
        });
    }
}
