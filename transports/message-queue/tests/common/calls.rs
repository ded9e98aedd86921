//! Calls that wait as the facade does. A call that hangs panics after [`WATCHDOG`].

use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, Leased, Queue, Result, Settle, Wait, Waiter};
use anyipc_os::sleep;

/// The longest time that a call may take.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(30);

pub(crate) type Handle = Box<dyn Queue>;

/// The kind of waiter that a test is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Thread,
    Task,
}

/// Repeats the call until it does not block, in slices as the facade does.
fn until<T>(
    queue: &mut dyn Queue,
    way: Way,
    wait: fn(&mut dyn Queue) -> &mut dyn Wait,
    mut call: impl FnMut(&mut dyn Queue) -> Result<T>,
) -> Result<T> {
    let slice = Duration::from_millis(100);
    let start = Instant::now();
    loop {
        match call(queue) {
            Err(error) if error.is_would_block() => {}
            done => return done,
        }
        assert!(start.elapsed() < WATCHDOG, "nothing happened");
        let half = wait(queue);
        let waker = std::task::Waker::noop();
        let waiter = if let Way::Task = way { Waiter::Task(waker) } else { Waiter::Thread };
        match half.arm(waiter)? {
            Armed::Ready => half.disarm(),
            Armed::Park => half.park(slice.min(half.due().unwrap_or(slice))),
            Armed::After(time) => std::thread::sleep(time),
            Armed::Source(interest) => {
                let slice = slice.min(half.due().unwrap_or(slice));
                sleep(&half.source()?, interest, slice);
            }
            other => panic!("armed as {other:?}"),
        }
    }
}

pub(crate) fn send(queue: &mut Handle, way: Way, priority: u32, message: &[u8]) -> Result<()> {
    until(&mut **queue, way, |queue| queue.room(), |queue| queue.try_send(priority, message))
}

pub(crate) fn recv(queue: &mut Handle, way: Way) -> Result<(u32, Vec<u8>)> {
    until(&mut **queue, way, |queue| queue.messages(), try_recv)
}

pub(crate) fn try_recv(queue: &mut dyn Queue) -> Result<(u32, Vec<u8>)> {
    let mut got = None;
    queue.try_recv_with(&mut |priority, message| {
        assert!(got.is_none(), "one call showed two messages");
        got = Some((priority, message.to_vec()));
    })?;
    Ok(got.expect("Ok came without a message"))
}

/// Leases a message, without waiting.
pub(crate) fn try_lease(queue: &mut dyn Queue, time: Duration) -> Result<(Vec<u8>, Leased)> {
    let mut got = None;
    let leased = queue.try_lease(time, &mut |_, message| got = Some(message.to_vec()))?;
    Ok((got.expect("Ok came without a message"), leased))
}

pub(crate) fn lease(queue: &mut Handle, way: Way, time: Duration) -> Result<(Vec<u8>, Leased)> {
    until(&mut **queue, way, |queue| queue.messages(), |queue| try_lease(queue, time))
}

pub(crate) fn settle(queue: &mut Handle, leased: Leased, how: Settle) -> Result<()> {
    queue.leases()?.settle(leased.id, how)
}

/// Receives all messages that are there.
pub(crate) fn drain(queue: &mut Handle) -> Vec<(u32, Vec<u8>)> {
    std::iter::from_fn(|| try_recv(&mut **queue).ok()).collect()
}

pub(crate) fn failed<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("a call succeeded that had to fail"),
        Err(error) => error,
    }
}
