//! A waiter is woken by its event, whatever the order of the two sides.

use std::sync::mpsc;
use std::thread;

use anyipc_core::{Capabilities, Flags};

use super::connect::talk;
use crate::Fixture;
use crate::fixture::{End, Pair};
use crate::noise::Noise;
use crate::wait_loop::{WATCHDOG, WaitLoop};

const ROUNDS: usize = 1000;

pub fn data_wakes_threads(fixture: &Fixture<'_>) {
    data_wakes(fixture, WaitLoop::thread(fixture));
}

pub fn data_wakes_tasks(fixture: &Fixture<'_>) {
    data_wakes(fixture, WaitLoop::task(fixture));
}

/// One frame to and fro: every receive may have to sleep.
fn data_wakes(fixture: &Fixture<'_>, wait_loop: WaitLoop) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let turn = |end: &mut End, noise: &mut Noise| {
        noise.pause();
        wait_loop.send(&mut *end.sender, Flags::NONE, b"your turn").expect("send");
    };
    let wait =
        |end: &mut End| wait_loop.recv(&mut *end.receiver, &mut Vec::new()).expect("receive");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut noise = Noise::new(1);
            for _ in 0..ROUNDS {
                wait(&mut there);
                turn(&mut there, &mut noise);
            }
        });
        let mut noise = Noise::new(2);
        for _ in 0..ROUNDS {
            turn(&mut here, &mut noise);
            wait(&mut here);
        }
    });
}

pub fn space_wakes_threads(fixture: &Fixture<'_>) {
    space_wakes(fixture, WaitLoop::thread(fixture));
}

pub fn space_wakes_tasks(fixture: &Fixture<'_>) {
    space_wakes(fixture, WaitLoop::task(fixture));
}

/// Frames of which only a few fit: every send may have to sleep.
fn space_wakes(fixture: &Fixture<'_>, wait_loop: WaitLoop) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let frame = vec![5; here.sender.max_frame().min(64 << 10)];
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut noise = Noise::new(3);
            for _ in 0..ROUNDS {
                wait_loop.send(&mut *here.sender, Flags::NONE, &frame).expect("send");
                noise.pause();
            }
        });
        let mut noise = Noise::new(4);
        let mut buffer = Vec::new();
        for _ in 0..ROUNDS {
            noise.pause();
            wait_loop.recv(&mut *there.receiver, &mut buffer).expect("receive");
            assert_eq!(buffer.len(), frame.len());
        }
    });
}

/// Each half of a channel waits by itself, also where all four share two sockets: frames cross in
/// both directions, and each send and each receive may have to sleep.
pub fn each_half_is_woken_beside_the_other(fixture: &Fixture<'_>) {
    if !fixture.can(Capabilities::CHANNEL) {
        return;
    }
    let (task, thread) = (WaitLoop::task(fixture), WaitLoop::thread(fixture));
    for (sends, receives) in [(thread, thread), (thread, task), (task, thread), (task, task)] {
        let Pair { here, there, .. } = fixture.pair();
        let frame = vec![6; here.sender.max_frame().min(64 << 10)];
        thread::scope(|scope| {
            for (seed, End { mut sender, mut receiver, .. }) in [(6, here), (7, there)] {
                let frame = &frame;
                // Neither half is closed before the other is done.
                let (done, other_done) = mpsc::channel::<()>();
                scope.spawn(move || {
                    let mut noise = Noise::new(seed);
                    for _ in 0..ROUNDS / 4 {
                        sends.send(&mut *sender, Flags::NONE, frame).expect("send");
                        noise.pause();
                    }
                    let _ = other_done.recv_timeout(WATCHDOG);
                });
                scope.spawn(move || {
                    let (mut noise, mut buffer) = (Noise::new(seed + 2), Vec::new());
                    for _ in 0..ROUNDS / 4 {
                        noise.pause();
                        receives.recv(&mut *receiver, &mut buffer).expect("receive");
                        assert_eq!(buffer.len(), frame.len());
                    }
                    drop(done);
                });
            }
        });
    }
}

pub fn connectors_wake_the_owner(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let (owner, opener) = (fixture.create(&name), fixture.open(&name));
    let mut noise = Noise::new(5);
    for round in 0..100 {
        let (task, thread) = (WaitLoop::task(fixture), WaitLoop::thread(fixture));
        let (accepts, connects) = if round % 2 == 0 { (task, thread) } else { (thread, task) };
        let (late, early) = (noise.clone(), round % 4 < 2);
        noise.next();
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                let mut late = late;
                (0..if early { 0 } else { 20 }).for_each(|_| late.pause());
                End::from(connects.connect(&*opener, fixture.hello()).expect("connect"))
            });
            let mut here = End::from(accepts.connect(&*owner, fixture.hello()).expect("accept"));
            talk(fixture, &mut here, &mut there.join().expect("connect"));
        });
    }
}
