//! The event that ends a sleep may come before arming, or between arming and sleeping. It is never
//! lost.

use std::thread;

use anyipc_core::{
    Attempt, Capabilities, ErrorKind, Flags, Interest, RecvHalf, Result, SendHalf, Source, Wait,
};

use super::connect::talk;
use super::failed;
use super::frames::fill_up;
use crate::Fixture;
use crate::fixture::Pair;
use crate::wait_loop::{Trying, WATCHDOG, WaitLoop};

/// Runs the scene as a thread and as a task, with the event before arming and after it.
fn in_every_order(fixture: &Fixture<'_>, scene: fn(&Fixture<'_>, Order)) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    for wait_loop in [WaitLoop::thread(fixture), WaitLoop::task(fixture)] {
        for early in [true, false] {
            for _ in 0..10 {
                scene(fixture, Order { wait_loop, early });
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Order {
    wait_loop: WaitLoop,
    /// True if the event comes before arming.
    early: bool,
}

impl Order {
    /// Sleeps once around the event, then repeats the step until it is done.
    fn sleep<H: Wait + ?Sized>(
        self,
        half: &mut H,
        mut step: impl FnMut(&mut H) -> Result<()>,
        event: impl FnOnce(),
    ) -> Result<()> {
        assert!(
            failed(step(half)).is_would_block(),
            "the step must be WouldBlock before the event"
        );
        self.sleep_after(half, step, event)
    }

    /// The same, after a step that was `WouldBlock`.
    fn sleep_after<H: Wait + ?Sized>(
        self,
        half: &mut H,
        step: impl FnMut(&mut H) -> Result<()>,
        event: impl FnOnce(),
    ) -> Result<()> {
        self.wait_loop.sleep_once(half, self.early, event);
        self.wait_loop.until("the call after the sleep", half, step)
    }
}

pub fn a_message_ends_the_sleep(fixture: &Fixture<'_>) {
    in_every_order(fixture, |fixture, order| {
        let Pair { mut here, mut there, .. } = fixture.pair();
        for _ in 0..3 {
            let send = || {
                order.wait_loop.send(&mut *here.sender, Flags::NONE, b"wake up").expect("send");
            };
            let receive =
                order.sleep(&mut *there.receiver, |half| half.try_recv_with(&mut |_, _| {}), send);
            receive.expect("receive");
        }
    });
}

pub fn room_ends_the_sleep(fixture: &Fixture<'_>) {
    in_every_order(fixture, |fixture, order| {
        let Pair { mut here, mut there, .. } = fixture.pair();
        let len = here.sender.max_frame().min(64 << 10);
        fill_up(&mut here, len);
        let drain = || while there.receiver.try_recv_with(&mut |_, _| {}).is_ok() {};
        let frame = vec![1; len];
        order
            .sleep_after(&mut *here.sender, |half| half.try_send(Flags::NONE, &frame), drain)
            .expect("send");
    });
}

pub fn the_senders_leaving_ends_the_sleep(fixture: &Fixture<'_>) {
    in_every_order(fixture, |fixture, order| {
        let Pair { here, mut there, .. } = fixture.pair();
        let receive = order.sleep(
            &mut *there.receiver,
            |half| half.try_recv_with(&mut |_, _| {}),
            || drop(here.sender),
        );
        assert_eq!(failed(receive).kind(), ErrorKind::Closed);
    });
}

pub fn the_receivers_leaving_ends_the_sleep(fixture: &Fixture<'_>) {
    in_every_order(fixture, |fixture, order| {
        let Pair { mut here, there, .. } = fixture.pair();
        let len = here.sender.max_frame().min(64 << 10);
        fill_up(&mut here, len);
        let frame = vec![1; len];
        let send = order.sleep_after(
            &mut *here.sender,
            |half| half.try_send(Flags::NONE, &frame),
            || drop(there.receiver),
        );
        assert_eq!(failed(send).kind(), ErrorKind::Closed);
    });
}

/// A caller that trusts `drained` only waits for the source.
pub fn a_drained_half_hears_of_more(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let wait_loop = WaitLoop::thread(fixture);
    let Pair { mut here, mut there, .. } = fixture.pair();
    let send = |half: &mut dyn SendHalf, frame: &[u8]| {
        wait_loop.send(half, Flags::NONE, frame).expect("send");
    };
    let receive = |half: &mut dyn RecvHalf| half.try_recv_with(&mut |_, _| {});
    let source_if_drained = |half: &dyn RecvHalf| {
        half.drained().then(|| half.source().expect("drained, but there is no source"))
    };
    let listen = |half: &mut dyn RecvHalf| {
        if half.drained() {
            assert!(failed(receive(half)).is_would_block(), "a drained half had a frame");
        }
        source_if_drained(half)
    };
    let hear = |source: Option<Source>| {
        if let Some(source) = source {
            assert!(
                (fixture.sleeper)(&source, Interest::Readable, WATCHDOG),
                "the source of a drained half did not become ready"
            );
        }
    };
    for _ in 0..20 {
        // Where two frames have room, the half may read both at once.
        send(&mut *here.sender, b"first");
        let two = here.sender.try_send(Flags::NONE, b"second").is_ok();
        wait_loop.recv(&mut *there.receiver, &mut Vec::new()).expect("receive");
        if two {
            hear(source_if_drained(&*there.receiver));
            wait_loop.recv(&mut *there.receiver, &mut Vec::new()).expect("receive");
        }
        let source = listen(&mut *there.receiver);
        send(&mut *here.sender, b"more");
        hear(source);
        wait_loop.recv(&mut *there.receiver, &mut Vec::new()).expect("receive");
    }
    let source = listen(&mut *there.receiver);
    drop(here.sender);
    hear(source);
    let end = wait_loop.until("try_recv", &mut *there.receiver, |half| receive(half));
    assert_eq!(failed(end).kind(), ErrorKind::Closed);
}

pub fn a_connector_ends_the_owners_sleep(fixture: &Fixture<'_>) {
    in_every_order(fixture, |fixture, order| {
        let name = fixture.name();
        let (owner, opener) = (fixture.create(&name), fixture.open(&name));
        let (mut accept, mut connect) =
            (Attempt::new(fixture.hello()), Attempt::new(fixture.hello()));
        assert!(failed(owner.try_connect(&mut accept)).is_would_block());
        let mut trying = Trying { endpoint: &*owner, attempt: &mut accept };
        let mut there = None;
        order.wait_loop.sleep_once(&mut trying, order.early, || {
            match opener.try_connect(&mut connect) {
                Err(error) => assert!(error.is_would_block(), "{error}"),
                Ok(halves) => there = Some(halves),
            }
        });
        thread::scope(|scope| {
            let here =
                scope.spawn(|| order.wait_loop.attempt(&*owner, &mut accept).expect("accept"));
            let connect = || order.wait_loop.attempt(&*opener, &mut connect).expect("connect");
            let mut there = there.unwrap_or_else(connect).into();
            talk(fixture, &mut here.join().expect("accept").into(), &mut there);
        });
    });
}

pub fn the_owner_ends_the_connectors_sleep(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::HANDSHAKE) {
        return;
    }
    in_every_order(fixture, |fixture, order| {
        let name = fixture.name();
        let (owner, opener) = (fixture.create(&name), fixture.open(&name));
        let mut connect = Attempt::new(fixture.hello());
        assert!(failed(opener.try_connect(&mut connect)).is_would_block());
        thread::scope(|scope| {
            let mut here = None;
            let mut trying = Trying { endpoint: &*opener, attempt: &mut connect };
            order.wait_loop.sleep_once(&mut trying, order.early, || {
                here =
                    Some(scope.spawn(|| {
                        order.wait_loop.connect(&*owner, fixture.hello()).expect("accept")
                    }));
            });
            let mut there =
                order.wait_loop.attempt(&*opener, &mut connect).expect("connect").into();
            let here = here.and_then(|here| here.join().ok()).expect("accept");
            talk(fixture, &mut here.into(), &mut there);
        });
    });
}
