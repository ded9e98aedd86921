use std::thread;

use anyipc_core::{Capabilities, Flags, RecvHalf, SendHalf};

use crate::Fixture;
use crate::fixture::Pair;
use crate::noise::Noise;
use crate::wait_loop::WaitLoop;

const MESSAGES: u64 = 20_000;

/// The frames of a stream, which both sides make from the same seed: most are short, some are long.
struct Script {
    noise: Noise,
    longest: usize,
    frame: Vec<u8>,
}

impl Script {
    fn new(seed: u64, max_frame: usize) -> Self {
        Self { noise: Noise::new(seed), longest: max_frame.min(16 << 10), frame: Vec::new() }
    }

    fn next(&mut self) -> &[u8] {
        let longest = if self.noise.up_to(15) == 0 { self.longest } else { self.longest.min(300) };
        let len = self.noise.up_to(longest);
        self.noise.fill(&mut self.frame, len);
        &self.frame
    }
}

fn send_all(wait_loop: WaitLoop, mut half: Box<dyn SendHalf>, mut script: Script, count: u64) {
    for _ in 0..count {
        wait_loop.send(&mut *half, Flags::NONE, script.next()).expect("send");
    }
}

fn receive_all(wait_loop: WaitLoop, mut half: Box<dyn RecvHalf>, mut script: Script, count: u64) {
    let mut buffer = Vec::new();
    for i in 0..count {
        wait_loop.recv(&mut *half, &mut buffer).expect("receive");
        assert!(buffer == script.next(), "frame {i} is lost, doubled, out of order or changed");
    }
    assert!(wait_loop.recv(&mut *half, &mut buffer).is_err(), "more frames arrived than were sent");
}

fn stream(fixture: &Fixture<'_>, wait_loop: WaitLoop) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { here, there, .. } = fixture.pair();
    let max = here.sender.max_frame();
    thread::scope(|scope| {
        scope.spawn(|| send_all(wait_loop, here.sender, Script::new(1, max), MESSAGES));
        receive_all(wait_loop, there.receiver, Script::new(1, max), MESSAGES);
    });
}

pub fn threads_stream(fixture: &Fixture<'_>) {
    stream(fixture, WaitLoop::thread(fixture));
}

pub fn tasks_stream(fixture: &Fixture<'_>) {
    stream(fixture, WaitLoop::task(fixture));
}

pub fn both_directions_stream(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let (threads, tasks) = (WaitLoop::thread(fixture), WaitLoop::task(fixture));
    let Pair { here, there, .. } = fixture.pair();
    let (out, back) = (here.sender.max_frame(), there.sender.max_frame());
    thread::scope(|scope| {
        scope.spawn(|| send_all(threads, here.sender, Script::new(2, out), MESSAGES / 4));
        scope.spawn(|| send_all(tasks, there.sender, Script::new(3, back), MESSAGES / 4));
        scope.spawn(|| receive_all(tasks, there.receiver, Script::new(2, out), MESSAGES / 4));
        receive_all(threads, here.receiver, Script::new(3, back), MESSAGES / 4);
    });
}
