use std::thread;
use std::time::Duration;

use anyipc_core::{Attempt, Capabilities, ErrorKind, Flags, SmCode};

use super::{assert_unsupported, failed};
use crate::Fixture;
use crate::fixture::{End, Pair};
use crate::noise::bytes;
use crate::wait_loop::{WaitLoop, Watchdog};

/// Receives one frame and compares it.
#[track_caller]
pub(super) fn expect(wait_loop: WaitLoop, end: &mut End, payload: &[u8]) {
    let mut buffer = Vec::new();
    let flags = wait_loop.recv(&mut *end.receiver, &mut buffer).expect("receive");
    assert_eq!((flags, buffer.as_slice()), (Flags::NONE, payload));
}

/// Sends one frame each way and compares it.
#[track_caller]
pub(super) fn talk(fixture: &Fixture<'_>, here: &mut End, there: &mut End) {
    send_one(fixture, here, there);
    send_one(fixture, there, here);
}

#[track_caller]
fn send_one(fixture: &Fixture<'_>, from: &mut End, to: &mut End) {
    let wait_loop = WaitLoop::thread(fixture);
    wait_loop.send(&mut *from.sender, Flags::NONE, b"this way").expect("send");
    expect(wait_loop, to, b"this way");
}

pub fn both_sides_meet(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, owner, opener } = fixture.pair();
    talk(fixture, &mut here, &mut there);
    let (mut second, mut other) = fixture.meet(&*owner, &*opener);
    talk(fixture, &mut second, &mut other);
    talk(fixture, &mut here, &mut there);
    if fixture.can(Capabilities::PEER_CREDENTIALS) {
        for end in [&here, &there] {
            assert_eq!(end.peer.pid, Some(std::process::id()));
            assert!(
                end.peer.uid.is_some() || cfg!(not(unix)),
                "PEER_CREDENTIALS is claimed, but the peer has no uid"
            );
        }
    }
    assert_eq!(owner.rejections().count, 0);
}

pub fn channels_outlive_their_endpoints(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, owner, opener } = fixture.pair();
    fixture.close(opener);
    talk(fixture, &mut here, &mut there);
    fixture.close(owner);
    talk(fixture, &mut here, &mut there);
}

pub fn many_clients_share_an_owner(fixture: &Fixture<'_>) {
    const CLIENTS: u64 = 8;
    const MESSAGES: u64 = 100;
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let owner = fixture.create(&name);
    let wait_loop = WaitLoop::thread(fixture);
    let message = |client: u64, i: u64| bytes(client * MESSAGES + i, i as usize % 50);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let opener = fixture.open(&name);
            scope.spawn(move || {
                let mut end =
                    End::from(wait_loop.connect(&*opener, fixture.hello()).expect("connect"));
                for i in 0..MESSAGES {
                    wait_loop
                        .send(&mut *end.sender, Flags::NONE, &message(client, i))
                        .expect("send");
                    expect(wait_loop, &mut end, &message(client, i));
                }
            });
        }
        for _ in 0..CLIENTS {
            let mut end = End::from(wait_loop.connect(&*owner, fixture.hello()).expect("accept"));
            scope.spawn(move || {
                let mut buffer = Vec::new();
                for _ in 0..MESSAGES {
                    wait_loop.recv(&mut *end.receiver, &mut buffer).expect("receive");
                    wait_loop.send(&mut *end.sender, Flags::NONE, &buffer).expect("send");
                }
            });
        }
    });
}

pub fn a_late_owner_accepts_connectors_that_came_in_time(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let (owner, opener) = (fixture.create(&name), fixture.open(&name));
    let (mut accept, mut connect) = (Attempt::new(fixture.hello()), Attempt::new(fixture.hello()));
    let (mut here, watchdog) = (None, Watchdog::new("a connection"));
    let there = loop {
        match opener.try_connect(&mut connect) {
            Ok(halves) => break halves,
            Err(error) => assert!(error.is_would_block(), "{error}"),
        }
        if here.is_none() {
            match owner.try_connect(&mut accept) {
                Ok(halves) => here = Some(halves),
                Err(error) => assert!(error.is_would_block(), "{error}"),
            }
        }
        watchdog.look();
    };
    let here = here.unwrap_or_else(|| {
        // Longer than the limit of a handshake.
        thread::sleep(Duration::from_millis(1200));
        WaitLoop::thread(fixture).attempt(&*owner, &mut accept).expect("accept")
    });
    talk(fixture, &mut here.into(), &mut there.into());
    assert_eq!(owner.rejections().count, 0);
}

pub fn nobody_there_would_block(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let (owner, opener) = (fixture.create(&name), fixture.open(&name));
    let (mut accept, mut connect) = (Attempt::new(fixture.hello()), Attempt::new(fixture.hello()));
    assert_eq!(failed(owner.try_connect(&mut accept)).kind(), ErrorKind::WouldBlock);
    if fixture.can(Capabilities::HANDSHAKE) {
        assert_eq!(failed(opener.try_connect(&mut connect)).kind(), ErrorKind::WouldBlock);
    }
    let wait_loop = WaitLoop::thread(fixture);
    thread::scope(|scope| {
        let there = scope.spawn(|| wait_loop.attempt(&*opener, &mut connect).expect("connect"));
        let mut here = wait_loop.attempt(&*owner, &mut accept).expect("accept").into();
        talk(fixture, &mut here, &mut there.join().expect("connect").into());
    });
}

pub fn no_owner_until_one_comes(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let (owner, opener) = (fixture.create(&name), fixture.open(&name));
    let mut begun = Attempt::new(fixture.hello());
    if fixture.can(Capabilities::HANDSHAKE) {
        assert_eq!(failed(opener.try_connect(&mut begun)).kind(), ErrorKind::WouldBlock);
    }
    fixture.close(owner);
    let wait_loop = WaitLoop::thread(fixture);
    for attempt in [&mut begun, &mut Attempt::new(fixture.hello())] {
        let error = failed(wait_loop.attempt(&*opener, attempt));
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NoOwner, Some(SmCode::OpenFail)),
            "{error}"
        );
    }
    let owner = fixture.create(&name);
    thread::scope(|scope| {
        let there = scope
            .spawn(|| wait_loop.attempt(&*opener, &mut begun).expect("connect to the new owner"));
        let mut here = wait_loop.connect(&*owner, fixture.hello()).expect("accept").into();
        talk(fixture, &mut here, &mut there.join().expect("connect").into());
    });
}

pub fn an_abandoned_attempt_harms_no_one(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let (owner, opener) = (fixture.create(&name), fixture.open(&name));
    for _ in 0..20 {
        let _ = opener.try_connect(&mut Attempt::new(fixture.hello()));
        let _ = owner.try_connect(&mut Attempt::new(fixture.hello()));
    }
    let wait_loop = WaitLoop::thread(fixture);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut end = End::from(wait_loop.connect(&*opener, fixture.hello()).expect("connect"));
            wait_loop.send(&mut *end.sender, Flags::NONE, b"here").expect("send");
            expect(wait_loop, &mut end, b"here");
        });
        let mut buffer = Vec::new();
        loop {
            let mut end = End::from(wait_loop.connect(&*owner, fixture.hello()).expect("accept"));
            match wait_loop.recv(&mut *end.receiver, &mut buffer) {
                Ok(_) => {
                    return wait_loop.send(&mut *end.sender, Flags::NONE, &buffer).expect("answer");
                }
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Closed | ErrorKind::PeerGone),
                        "{error}"
                    )
                }
            }
        }
    });
}

pub fn without_channels_it_is_unsupported(fixture: &Fixture<'_>) {
    if fixture.skips_with(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let (owner, opener) = (fixture.create(&name), fixture.open(&name));
    assert_unsupported(owner.try_connect(&mut Attempt::new(fixture.hello())));
    assert_unsupported(opener.try_connect(&mut Attempt::new(fixture.hello())));
}
