//! Messages that are leased, and messages that wait for their time.

use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Capabilities, DynEndpoint, ErrorKind, Leased, Queue, Result, Settle, Waiter,
};

use super::{assert_unsupported, failed};
use crate::Fixture;
use crate::wait_loop::WATCHDOG;

/// A lease that does not end within a check.
const LONG: Duration = Duration::from_secs(3600);
/// A lease that ends within a check.
const SHORT: Duration = Duration::from_millis(20);

type Handle = Box<dyn Queue>;

/// The owner of a queue; `None` if the transport has no leases, and the check is skipped.
fn owner(fixture: &Fixture<'_>) -> Option<Box<dyn DynEndpoint>> {
    (!fixture.skips_without(Capabilities::LEASES)).then(|| fixture.create(&fixture.name()))
}

fn lease(queue: &mut Handle, time: Duration) -> Result<(Vec<u8>, Leased)> {
    let mut got = None;
    let leased = queue.try_lease(time, &mut |_, message| {
        assert!(got.is_none(), "one call showed two messages");
        got = Some(message.to_vec());
    })?;
    Ok((got.expect("Ok came without a message"), leased))
}

fn recv(queue: &mut Handle) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    queue.try_recv_with(&mut |_, message| got.extend_from_slice(message))?;
    Ok(got)
}

/// Repeats the call until it does not block, sleeping for as long as the queue says. Only time ends
/// the wait.
fn until<T>(queue: &mut Handle, mut call: impl FnMut(&mut Handle) -> Result<T>) -> T {
    let start = Instant::now();
    loop {
        match call(queue) {
            Err(error) if error.is_would_block() => {}
            done => return done.expect("a call that waits for a time"),
        }
        assert!(start.elapsed() < WATCHDOG, "what was due did not come");
        let messages = queue.messages();
        match messages.arm(Waiter::Thread).expect("arm") {
            Armed::Ready => {}
            Armed::After(time) => thread::sleep(time),
            _ => thread::sleep(messages.due().expect("a message has its time, and due is None")),
        }
        messages.disarm();
    }
}

#[track_caller]
fn assert_empty(queue: &mut Handle) {
    assert!(failed(recv(queue)).is_would_block(), "a message is there");
    assert!(failed(lease(queue, LONG)).is_would_block(), "a message is there");
}

#[track_caller]
fn assert_over(settled: Result<()>) {
    let error = failed(settled);
    assert_eq!(error.kind(), ErrorKind::NotFound, "the lease is over: {error}");
}

/// The visible, the leased and the delayed messages.
fn counts(queue: &Handle) -> (u64, u64, u64) {
    let status = queue.status().expect("the status of the queue");
    (status.messages, status.leased, status.delayed)
}

pub fn a_leased_message_is_invisible_until_it_is_acknowledged(fixture: &Fixture<'_>) {
    let Some(owner) = owner(fixture) else { return };
    let mut queue = owner.queue().expect("a handle of the queue");
    let mut other = owner.queue().expect("a second handle");
    for message in [&b"one"[..], b"two"] {
        queue.try_send(0, message).expect("room for a message");
    }
    let (message, leased) = lease(&mut queue, LONG).expect("a message");
    assert_eq!((&message[..], leased.attempts), (&b"one"[..], 1));
    assert_eq!(counts(&other), (1, 1, 0));
    assert_eq!(recv(&mut other).expect("the next message"), b"two");
    assert_empty(&mut other);
    let leases = queue.leases().expect("the leases");
    leases.settle(leased.id, Settle::Extend(LONG)).expect("a lease goes on");
    leases.settle(leased.id, Settle::Ack).expect("a lease is acknowledged");
    assert_over(leases.settle(leased.id, Settle::Ack));
    assert_empty(&mut queue);
    assert_eq!(counts(&queue), (0, 0, 0));
}

pub fn a_lease_ends_with_its_time(fixture: &Fixture<'_>) {
    let Some(owner) = owner(fixture) else { return };
    let mut queue = owner.queue().expect("a handle of the queue");
    for message in [&b"one"[..], b"two"] {
        queue.try_send(0, message).expect("room for a message");
    }
    let (message, first) = lease(&mut queue, SHORT).expect("a message");
    assert_eq!(recv(&mut queue).expect("the next message"), b"two");
    let (again, second) = until(&mut queue, |queue| lease(queue, LONG));
    assert_eq!((&again, second.attempts), (&message, 2));
    // The lease that is over cannot end the one that came after it.
    let leases = queue.leases().expect("the leases");
    for how in [Settle::Ack, Settle::Retry(LONG), Settle::Extend(LONG), Settle::Detach] {
        assert_over(leases.settle(first.id, how));
    }
    leases.settle(second.id, Settle::Ack).expect("the second lease");
}

pub fn what_comes_back_is_the_first_of_its_priority(fixture: &Fixture<'_>) {
    let Some(owner) = owner(fixture) else { return };
    let mut queue = owner.queue().expect("a handle of the queue");
    for message in [&b"one"[..], b"two", b"three"] {
        queue.try_send(0, message).expect("room for a message");
    }
    let (_, one) = lease(&mut queue, LONG).expect("a message");
    let (_, two) = lease(&mut queue, LONG).expect("a message");
    let leases = queue.leases().expect("the leases");
    for leased in [two, one] {
        leases.settle(leased.id, Settle::Retry(Duration::ZERO)).expect("a lease");
    }
    assert_eq!(counts(&queue), (3, 0, 0), "a status counts what is due before any receiver looks");
    let all: Vec<_> = (0..3).map(|_| until(&mut queue, recv)).collect();
    assert_eq!(all[2], b"three", "what came back is before what was never leased: {all:?}");
    assert!(all.contains(&b"one".to_vec()) && all.contains(&b"two".to_vec()), "{all:?}");
}

pub fn a_delayed_message_comes_in_its_time(fixture: &Fixture<'_>) {
    let Some(owner) = owner(fixture) else { return };
    let mut queue = owner.queue().expect("a handle of the queue");
    let start = Instant::now();
    queue.try_send_after(2 * SHORT, 0, b"later").expect("room for a message");
    queue.try_send_after(SHORT, 0, b"soon").expect("room for a message");
    queue.try_send_after(LONG, 0, b"never").expect("room for a message");
    queue.try_send(0, b"now").expect("room for a message");
    assert_eq!(counts(&queue), (1, 0, 3));
    assert_eq!(recv(&mut queue).expect("a message without a delay"), b"now");
    assert_eq!(until(&mut queue, recv), b"soon");
    assert!(start.elapsed() >= SHORT / 2, "it came too early");
    assert_eq!(until(&mut queue, recv), b"later");
    assert_empty(&mut queue);
    // The longest delay does not overflow.
    queue.try_send_after(Duration::MAX, 0, b"never").expect("room for a message");
    assert_empty(&mut queue);
    assert_eq!(queue.purge().expect("a purge"), 2);
    assert_eq!(counts(&queue), (0, 0, 0));
}

pub fn a_lease_ends_with_its_holder(fixture: &Fixture<'_>) {
    let Some(owner) = owner(fixture) else { return };
    let mut queue = owner.queue().expect("a handle of the queue");
    let mut holder = owner.queue().expect("a second handle");
    for message in [&b"one"[..], b"two", b"three"] {
        queue.try_send(0, message).expect("room for a message");
    }
    lease(&mut holder, LONG).expect("a message");
    let (_, second) = lease(&mut holder, LONG).expect("a message");
    let (_, third) = lease(&mut holder, LONG).expect("a message");
    let leases = holder.leases().expect("the leases");
    leases.settle(third.id, Settle::Detach).expect("a lease is given away");
    drop(holder);
    // What ends the leases of a handle keeps it alive.
    assert_empty(&mut queue);
    leases.settle(second.id, Settle::Ack).expect("a lease is acknowledged");
    drop(leases);
    let start = Instant::now();
    let (message, leased) = loop {
        match lease(&mut queue, LONG) {
            Err(error) if error.is_would_block() => thread::sleep(Duration::from_millis(1)),
            done => break done.expect("the message of the holder that left"),
        }
        assert!(start.elapsed() < WATCHDOG, "its lease did not end");
    };
    assert_eq!((&message[..], leased.attempts), (&b"one"[..], 2));
    // A lease that was given away goes on.
    assert_empty(&mut queue);
    let leases = queue.leases().expect("the leases");
    leases.settle(third.id, Settle::Ack).expect("the lease that was given away");
}

pub fn without_leases_they_are_unsupported(fixture: &Fixture<'_>) {
    if fixture.skips_with(Capabilities::LEASES) || fixture.skips_without(Capabilities::QUEUE) {
        return;
    }
    let owner = fixture.create(&fixture.name());
    let mut queue = owner.queue().expect("a handle of the queue");
    queue.try_send(0, b"one").expect("room for a message");
    assert_unsupported(lease(&mut queue, LONG));
    assert_unsupported(queue.try_send_after(LONG, 0, b"two"));
    assert_unsupported(queue.leases());
    assert_eq!(recv(&mut queue).expect("the message, untouched"), b"one");
}
