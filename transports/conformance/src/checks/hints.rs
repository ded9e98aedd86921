use std::collections::BTreeSet;
use std::thread;

use anyipc_core::{Attempt, Capabilities, Flags};

use super::connect::expect;
use crate::Fixture;
use crate::fixture::End;
use crate::wait_loop::{WaitLoop, Watchdog};

pub fn ready_names_the_channel(fixture: &Fixture<'_>) {
    const CHANNELS: usize = 5;
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let owner = fixture.create(&name);
    if !owner.ready(None, &mut |_| {}) {
        return fixture.skip("has no hints");
    }
    let wait_loop = WaitLoop::thread(fixture);
    let mut pairs: Vec<(End, End)> = (0..CHANNELS)
        .map(|_| {
            let opener = fixture.open(&name);
            thread::scope(|scope| {
                let there =
                    scope.spawn(|| wait_loop.connect(&*opener, fixture.hello()).expect("connect"));
                let mut attempt = Attempt::new(fixture.hello());
                attempt.inbox = true;
                let here = wait_loop.attempt(&*owner, &mut attempt).expect("accept");
                (here.into(), there.join().expect("connect").into())
            })
        })
        .collect();
    let tokens: Vec<u64> = pairs
        .iter()
        .map(|(here, _)| here.receiver.token().expect("a channel of an inbox has no token"))
        .collect();
    assert_eq!(
        tokens.iter().collect::<BTreeSet<_>>().len(),
        CHANNELS,
        "tokens are not unique: {tokens:?}"
    );
    for i in (0..CHANNELS).chain((0..CHANNELS).rev()) {
        let (here, there) = &mut pairs[i];
        wait_loop.send(&mut *there.sender, Flags::NONE, b"ready").expect("send");
        let watchdog = Watchdog::new("the hint");
        let mut named = false;
        while !named {
            assert!(owner.ready(None, &mut |token| named |= token == tokens[i]));
            watchdog.look();
        }
        expect(wait_loop, here, b"ready");
    }
}
