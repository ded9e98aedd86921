//! Queues as the facade gives them, over a transport that only looks again.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Endpoint, ErrorKind, Queue, Registry};
use anyipc_third_party::Mailbox;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_millis(250);

fn registry() -> Registry {
    Registry::new().with(Mailbox)
}

/// A queue of two messages, and its owner.
fn queue(name: &str) -> (Endpoint, Queue) {
    let owner = registry().create(format!("mailbox://queue.{name}?slots=2")).unwrap();
    let queue = owner.queue().unwrap();
    (owner, queue)
}

#[test]
fn the_highest_priority_comes_first_and_in_order() {
    let (_owner, mut queue) = queue("order");
    queue.send(0, b"low").unwrap();
    queue.send(3, b"high").unwrap();
    assert_eq!(queue.len().unwrap(), 2);
    assert_eq!(queue.try_recv().unwrap(), (3, b"high".to_vec()));
    queue.send(0, b"low too").unwrap();
    assert_eq!(queue.recv().unwrap(), (0, b"low".to_vec()));
    assert_eq!(queue.recv_with(|priority, message| (priority, message.len())).unwrap(), (0, 7));
    assert!(queue.is_empty().unwrap());
    let error = queue.send(4, b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    assert!(error.to_string().contains("mailbox://queue.order"), "{error}");
}

#[test]
fn waiting_ends_with_a_message_or_with_room() {
    let (owner, mut queue) = queue("waiting");
    let mut other = owner.queue().unwrap();
    let receiver =
        thread::spawn(move || (0..6).map(|_| other.recv().unwrap().1).collect::<Vec<_>>());
    for i in 0..6u8 {
        queue.send(1, &[i]).unwrap();
    }
    assert_eq!(receiver.join().unwrap(), (0..6u8).map(|i| vec![i]).collect::<Vec<_>>());
}

#[test]
fn every_waiting_call_has_a_timeout() {
    let (_owner, mut queue) = queue("timeouts");
    let mut timed = |call: &mut dyn FnMut(&mut Queue) -> ErrorKind| {
        let start = Instant::now();
        assert_eq!(call(&mut queue), ErrorKind::TimedOut);
        let took = start.elapsed();
        assert!((SHORT..LONG).contains(&took), "{took:?}");
    };
    timed(&mut |queue| queue.recv_timeout(SHORT).unwrap_err().kind());
    timed(&mut |queue| {
        while queue.try_send(0, b"x").is_ok() {}
        queue.send_timeout(0, b"x", SHORT).unwrap_err().kind()
    });
    assert_eq!(queue.try_send(0, b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(queue.purge().unwrap(), 2);
    assert_eq!(queue.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn tasks_wait_as_well() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (owner, queue) = queue("tasks");
        let mut sender = owner.queue().unwrap().into_async().unwrap();
        let mut receiver = queue.into_async().unwrap();
        let sending = async {
            for i in 0..20u8 {
                sender.send(u32::from(i % 2), &[i]).await.unwrap();
            }
        };
        let receiving = async {
            let (mut count, mut sum) = (0, 0);
            while count < 20 {
                // A future that is dropped at its timeout has taken nothing.
                if let Ok(received) =
                    tokio::time::timeout(Duration::from_micros(100), receiver.recv()).await
                {
                    sum += u32::from(received.unwrap().1[0]);
                    count += 1;
                }
            }
            sum
        };
        let ((), sum) = tokio::join!(sending, receiving);
        assert_eq!(sum, 190);
        let nothing = tokio::time::timeout(SHORT, receiver.recv()).await;
        assert!(nothing.is_err());
        assert_eq!(receiver.status().unwrap().messages, 0);
    });
}
