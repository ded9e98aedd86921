//! A waiter that has left must not keep a wake-up from another one. A waker may call the transport.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use anyipc_core::{
    Armed, Capabilities, Flags, Queue, RecvHalf, Result, SendHalf, Source, Wait, Waiter,
};

use super::failed;
use crate::Fixture;
use crate::fixture::{End, Pair};
use crate::wait_loop::{WATCHDOG, WaitLoop};

/// A handle of a queue, with one of its two waits.
struct Waits {
    handle: RefCell<Box<dyn Queue>>,
    on: fn(&mut dyn Queue) -> &mut dyn Wait,
}

impl Waits {
    fn send(&mut self) -> Result<()> {
        self.handle.get_mut().try_send(0, &[7; 64])
    }

    fn receive(&mut self) -> Result<()> {
        self.handle.get_mut().try_recv_with(&mut |_, _| {})
    }
}

impl Wait for Waits {
    fn source(&self) -> Result<Source> {
        (self.on)(&mut **self.handle.borrow_mut()).source()
    }
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        (self.on)(&mut **self.handle.get_mut()).arm(waiter)
    }
    fn park(&mut self, timeout: Duration) {
        (self.on)(&mut **self.handle.get_mut()).park(timeout);
    }
    fn disarm(&mut self) {
        (self.on)(&mut **self.handle.get_mut()).disarm();
    }
}

/// Two waiters of one queue, in both orders, as threads and as tasks. The first one leaves before
/// the event, or after it, when the wake-up may have gone to it. The second one must be woken.
fn the_second_is_woken(
    fixture: &Fixture<'_>,
    on: fn(&mut dyn Queue) -> &mut dyn Wait,
    prepare: fn(&mut Waits),
    event: fn(&mut Waits),
    step: fn(&mut Waits) -> Result<()>,
) {
    if fixture.skips_without(Capabilities::QUEUE) {
        return;
    }
    let name = fixture.name();
    let owner = fixture.create(&name);
    let handle =
        || Waits { handle: RefCell::new(owner.queue().expect("a handle of the queue")), on };
    let (mut one, mut two, mut other) = (handle(), handle(), handle());
    let tasks = [false, true];
    for (wait_loop, task) in
        [WaitLoop::thread(fixture), WaitLoop::task(fixture)].into_iter().zip(tasks)
    {
        for left in [true, false] {
            for swapped in [false, true] {
                let (first, second) =
                    if swapped { (&mut two, &mut one) } else { (&mut one, &mut two) };
                prepare(&mut other);
                assert!(
                    failed(step(second)).is_would_block(),
                    "the step must be WouldBlock before the event"
                );
                let waiter = if task { Waiter::Task(Waker::noop()) } else { Waiter::Thread };
                first.arm(waiter).expect("arm");
                if left {
                    first.disarm();
                }
                wait_loop.sleep_once(second, false, || {
                    event(&mut other);
                    if !left {
                        first.disarm();
                    }
                });
                wait_loop
                    .until("the call after the sleep", second, step)
                    .expect("what was waited for");
                while other.receive().is_ok() {}
            }
        }
    }
}

pub fn a_receiver_that_left_takes_no_wakeup(fixture: &Fixture<'_>) {
    the_second_is_woken(
        fixture,
        |queue| queue.messages(),
        |_| {},
        |other| other.send().expect("send"),
        Waits::receive,
    );
}

pub fn a_sender_that_left_takes_no_wakeup(fixture: &Fixture<'_>) {
    the_second_is_woken(
        fixture,
        |queue| queue.room(),
        |other| while other.send().is_ok() {},
        |other| while other.receive().is_ok() {},
        Waits::send,
    );
}

/// A channel with wakers that call its halves.
struct Called {
    sender: Mutex<Box<dyn SendHalf>>,
    receiver: Mutex<Box<dyn RecvHalf>>,
    far: Mutex<Option<End>>,
    calls: AtomicU32,
}

/// Calls the halves when it is woken, and when it is dropped.
struct Caller(Arc<Called>);

/// Gives both halves of the other end something to do.
fn poke(far: &mut End) {
    let _ = far.sender.try_send(Flags::NONE, b"wake up");
    let _ = far.sender.try_flush();
    while far.receiver.try_recv_with(&mut |_, _| {}).is_ok() {}
}

impl Called {
    /// Calls each half that is not borrowed at the moment.
    fn call(&self) {
        if let Ok(mut sender) = self.sender.try_lock() {
            let _ = sender.try_send(Flags::NONE, b"from a waker");
            let _ = sender.arm(Waiter::Task(Waker::noop()));
            sender.disarm();
        }
        if let Ok(mut receiver) = self.receiver.try_lock() {
            let _ = receiver.try_recv_with(&mut |_, _| {});
            let _ = receiver.arm(Waiter::Task(Waker::noop()));
            receiver.disarm();
        }
        if let Ok(mut far) = self.far.try_lock() {
            far.as_mut().into_iter().for_each(poke);
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Arms both halves, each with a waker of its own.
    fn wait(self: &Arc<Self>) {
        let waker = || Waker::from(Arc::new(Caller(Arc::clone(self))));
        let (sends, receives) = (waker(), waker());
        // After the other end is dropped the answer is an error or `Ready`.
        let _ = self.sender.lock().expect("the sender").arm(Waiter::Task(&sends));
        let _ = self.receiver.lock().expect("the receiver").arm(Waiter::Task(&receives));
    }
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.0.call();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.call();
    }
}

pub fn a_waker_may_call_back(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { here, there, .. } = fixture.pair();
    let (done, finished) = mpsc::channel();
    // On a thread of its own: if it deadlocks, it never ends.
    thread::spawn(move || {
        let End { sender, receiver, .. } = here;
        let called = Arc::new(Called {
            sender: Mutex::new(sender),
            receiver: Mutex::new(receiver),
            far: Mutex::new(Some(there)),
            calls: AtomicU32::new(0),
        });
        for round in 0..12 {
            if round % 2 == 1 {
                let mut sender = called.sender.lock().expect("the sender");
                // Long frames first: short ones alone take seconds to fill a socket's buffers.
                for len in [sender.max_frame().min(16 << 10), 100] {
                    while sender.try_send(Flags::NONE, &vec![1; len]).is_ok() {}
                }
            }
            called.wait();
            // Once more: the new wakers replace the first ones.
            called.wait();
            called.far.lock().expect("the other end").as_mut().into_iter().for_each(poke);
            called.wait();
            if round == 9 {
                *called.far.lock().expect("the other end") = None;
            }
        }
        called.sender.lock().expect("the sender").disarm();
        called.receiver.lock().expect("the receiver").disarm();
        let _ = done.send(called.calls.load(Ordering::Relaxed));
    });
    let calls =
        finished.recv_timeout(WATCHDOG).expect("a waker that calls the transport deadlocks");
    assert!(calls > 0, "no waker was woken or dropped");
}
