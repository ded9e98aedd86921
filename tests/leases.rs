//! Jobs through the facade: blocking, timed, async, selected.
#![cfg(feature = "message-queue")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Endpoint, ErrorKind, LeaseId, Queue, Select, Settle};
use support::schemes::{self, can, url};
use support::watchdog::watched;

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(3600);

fn queue(tag: &str, query: &str) -> (Endpoint, Queue) {
    let owner = anyipc::create(format!("{}?{query}", url("mq", tag))).unwrap();
    let queue = owner.queue().unwrap();
    (owner, queue)
}

#[test]
fn a_job_is_acknowledged_or_comes_back() {
    watched("jobs", || {
        for wait in ["adaptive", "spin", "block"] {
            let (owner, mut queue) = queue("jobs", &format!("wait={wait}&priorities=2"));
            queue.send(1, b"job").unwrap();
            // Dropped: it is there at once.
            drop(queue.lease(LONG).unwrap());
            let job = queue.try_lease(LONG).unwrap();
            assert_eq!((job.message(), job.priority(), job.attempts()), (&b"job"[..], 1, 2));
            assert_eq!(queue.lease_timeout(LONG, SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(queue.recv_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
            // Its time is over while another receiver sleeps.
            let mut job = job;
            job.extend(SHORT).unwrap();
            let mut other = owner.queue().unwrap();
            let again = thread::spawn(move || other.lease(LONG).unwrap()).join().unwrap();
            assert_eq!(again.attempts(), 3);
            let error = job.ack().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains(&owner.address().to_string()), "{error}");
            again.retry_after(SHORT).unwrap();
            let start = Instant::now();
            let job = queue.lease(LONG).unwrap();
            assert!(start.elapsed() >= SHORT / 2);
            // A job is acknowledged in any thread, and after its queue was dropped.
            drop((queue, owner));
            thread::spawn(move || job.ack().unwrap()).join().unwrap();
        }
    });
}

#[test]
fn a_lease_that_was_given_away_is_settled_by_its_id() {
    watched("by id", || {
        let (owner, mut queue) = queue("by-id", "capacity=64KiB");
        queue.send(0, b"job").unwrap();
        let id = queue.lease(LONG).unwrap().detach().unwrap();
        drop(queue);
        let mut queue = owner.queue().unwrap();
        assert!(queue.try_lease(LONG).unwrap_err().is_would_block());
        let id: LeaseId = id.to_string().parse().unwrap();
        queue.settle(id, Settle::Extend(LONG)).unwrap();
        assert_eq!(queue.status().unwrap().leased, 1);
        queue.settle(id, Settle::Ack).unwrap();
        let over = queue.settle(id, Settle::Retry(SHORT)).unwrap_err();
        assert_eq!(over.kind(), ErrorKind::NotFound);
        assert_eq!(queue.status().unwrap().leased, 0);
    });
}

/// A process that leases holds on to its handle; one that forgets a job loses it with its time.
#[test]
fn a_forgotten_job_comes_back_in_its_time() {
    watched("forgotten", || {
        let (owner, mut queue) = queue("forgotten", "capacity=64KiB");
        queue.send(0, b"job").unwrap();
        std::mem::forget(queue.lease(SHORT).unwrap());
        assert_eq!(queue.lease(LONG).unwrap().attempts(), 2);
        // The forgotten job holds the queue as long as this process lives.
        anyipc::Registry::global().remove(owner.address().clone(), true).unwrap();
    });
}

#[test]
fn a_select_finds_what_is_due() {
    watched("select", || {
        let (owner, mut queue) = queue("select", "capacity=64KiB");
        let (_other, mut idle) = self::queue("select-idle", "capacity=64KiB");
        let mut sender = owner.queue().unwrap();
        for round in 0..3 {
            match round {
                0 => sender.send_after(SHORT, 0, b"later").unwrap(),
                1 => {
                    sender.send(0, b"job").unwrap();
                    sender.lease(LONG).unwrap().retry_after(SHORT).unwrap();
                }
                // Its holder leaves.
                _ => {
                    sender.send(0, b"job").unwrap();
                    let job = sender.lease(LONG).unwrap();
                    let id = job.detach().unwrap();
                    sender.settle(id, Settle::Extend(SHORT)).unwrap();
                }
            }
            let mut select = Select::new().unwrap();
            loop {
                assert_eq!(select.wait(&mut [&mut idle, &mut queue]).unwrap(), 1);
                // What was sent later is among the new messages at first.
                match queue.try_lease(LONG) {
                    Ok(job) => break job.ack().unwrap(),
                    Err(error) => assert!(error.is_would_block(), "{error}"),
                }
            }
        }
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_lease_and_wait_for_what_is_due() {
    watched("tasks", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (owner, queue) = queue("tasks", "capacity=64KiB");
            let mut queue = queue.into_async().unwrap();
            let mut sender = owner.queue().unwrap().into_async().unwrap();
            let later = tokio::spawn(async move {
                let job = queue.lease(LONG).await.unwrap();
                let message = job.message().to_vec();
                job.retry_after(SHORT).unwrap();
                let again = queue.lease(LONG).await.unwrap();
                assert_eq!(again.attempts(), 2);
                again.ack().unwrap();
                message
            });
            tokio::task::yield_now().await;
            sender.send_after(SHORT, 0, b"later").await.unwrap();
            assert_eq!(later.await.unwrap(), b"later");
            assert!(sender.try_lease(LONG).unwrap_err().is_would_block());
        });
    });
}

#[test]
fn other_queues_have_no_leases() {
    for scheme in schemes::with(anyipc::Capabilities::QUEUE) {
        let url = url(scheme, "no-leases");
        if can(&url, anyipc::Capabilities::LEASES) {
            continue;
        }
        let owner = anyipc::create(&url).unwrap();
        let mut queue = owner.queue().unwrap();
        let id = LeaseId { place: 0, number: 1 };
        let refused = [
            queue.lease(LONG).map(drop),
            queue.send_after(LONG, 0, b"x"),
            queue.settle(id, Settle::Ack),
        ];
        for refused in refused {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("mq://"), "{error}");
        }
    }
}
