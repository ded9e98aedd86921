use std::thread;

use anyipc_core::{Attempt, Capabilities, ErrorKind, Hello, MAX_TYPE_NAME, SmCode};

use super::connect::talk;
use super::{assert_unsupported, failed};
use crate::Fixture;
use crate::wait_loop::WaitLoop;

pub fn what_each_said_is_known(fixture: &Fixture<'_>) {
    let sides = |name: &str| {
        let (a, b) = (Some(name.to_owned()), Some("Answer/2".to_owned()));
        let ours = Hello {
            codec: 3,
            max_message: 1234,
            sends: a.clone(),
            receives: b.clone(),
            ..fixture.hello()
        };
        let theirs = Hello { codec: 3, max_message: 99, sends: b, receives: a, ..fixture.hello() };
        (ours, theirs)
    };
    for name in ["Ask/1".to_owned(), "x".repeat(MAX_TYPE_NAME)] {
        let (ours, theirs) = sides(&name);
        admitted(fixture, ours, theirs);
    }
}

pub fn untyped_matches_anything(fixture: &Fixture<'_>) {
    let typed = Hello {
        codec: 1,
        sends: Some("Ask/1".into()),
        receives: Some("Answer/1".into()),
        ..fixture.hello()
    };
    admitted(fixture, fixture.hello(), typed.clone());
    admitted(fixture, typed.clone(), fixture.hello());
    admitted(
        fixture,
        Hello { receives: None, ..typed },
        Hello { receives: Some("Ask/1".into()), ..fixture.hello() },
    );
}

/// Without a handshake a type that was asked for would go unchecked.
pub fn without_a_handshake_types_are_unsupported(fixture: &Fixture<'_>) {
    if fixture.skips_with(Capabilities::HANDSHAKE) || fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let name = fixture.name();
    let (owner, opener) = (fixture.create(&name), fixture.open(&name));
    let typed = Hello { sends: Some("Ask/1".into()), ..fixture.hello() };
    for endpoint in [&owner, &opener] {
        assert_unsupported(endpoint.try_connect(&mut Attempt::new(typed.clone())));
    }
}

pub fn another_codec_is_refused(fixture: &Fixture<'_>) {
    let codec = |codec| Hello { codec, ..fixture.hello() };
    refused(fixture, codec(1), codec(2), "codec");
}

pub fn another_type_is_refused(fixture: &Fixture<'_>) {
    let sends = |name: &str| Hello { sends: Some(name.into()), ..fixture.hello() };
    let receives = |name: &str| Hello { receives: Some(name.into()), ..fixture.hello() };
    refused(fixture, sends("Ask/1"), receives("Ask/2"), "Ask/1 on one side, Ask/2");
    refused(fixture, receives("Ask/1"), sends("Ask/2"), "Ask/1 on one side, Ask/2");
}

/// In the handshake and, where the transport has the key, in `open`.
pub fn another_capacity_is_refused(fixture: &Fixture<'_>) {
    let capacity = |capacity| Hello { capacity, ..fixture.hello() };
    refused(fixture, capacity(32 << 10), capacity(64 << 10), "capacities");
    let able = Capabilities::CHANNEL | Capabilities::HANDSHAKE;
    if !fixture.has_key("capacity") || !fixture.can(able) {
        return;
    }
    let name = fixture.name();
    let small = fixture.options(&[("capacity", "32KiB")]);
    let owner = fixture.transport().create(&name, &small).expect("create");
    let same = fixture.transport().open(&name, &small).expect("open with the same capacity");
    let (mut here, mut there) = fixture.meet(&*owner, &*same);
    talk(fixture, &mut here, &mut there);
    let wait_loop = WaitLoop::thread(fixture);
    let error = match fixture.transport().open(&name, &fixture.options(&[("capacity", "64KiB")])) {
        Err(error) => error,
        Ok(other) => thread::scope(|scope| {
            scope.spawn(|| {
                wait_loop
                    .connect(&*owner, fixture.hello())
                    .expect("a rejection must not end the accept")
            });
            let error = failed(wait_loop.connect(&*other, capacity(64 << 10)));
            wait_loop.connect(&*same, fixture.hello()).expect("connect");
            error
        }),
    };
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Mismatch, Some(SmCode::OpenFail)),
        "{error}"
    );
}

/// Connects with these hellos, exchanges frames, and checks the hello that each side got.
fn admitted(fixture: &Fixture<'_>, ours: Hello, theirs: Hello) {
    if fixture.skips_without(Capabilities::CHANNEL | Capabilities::HANDSHAKE) {
        return;
    }
    let name = fixture.name();
    let (owner, opener) = (fixture.create(&name), fixture.open(&name));
    let wait_loop = WaitLoop::thread(fixture);
    thread::scope(|scope| {
        let there = scope.spawn(|| wait_loop.connect(&*opener, theirs.clone()).expect("connect"));
        let mut here = wait_loop.connect(&*owner, ours.clone()).expect("accept").into();
        let mut there = there.join().expect("connect").into();
        talk(fixture, &mut here, &mut there);
        for (end, said) in [(&here, &theirs), (&there, &ours)] {
            let heard = &end.peer.hello;
            assert_eq!(
                (&heard.sends, &heard.receives, heard.codec),
                (&said.sends, &said.receives, said.codec)
            );
            assert_eq!(heard.max_message, said.max_message);
        }
    });
}

/// The connector gets `Mismatch`. The owner counts it, and accepts the next connector.
fn refused(fixture: &Fixture<'_>, ours: Hello, theirs: Hello, word: &str) {
    const REJECTED: u64 = 3;
    if fixture.skips_without(Capabilities::CHANNEL | Capabilities::HANDSHAKE) {
        return;
    }
    let name = fixture.name();
    let insists = ours.capacity != 0 && fixture.has_key("capacity");
    let options = fixture.options(if insists { &[("capacity", "32KiB")] } else { &[] });
    let owner = fixture.transport().create(&name, &options).expect("create of a free name");
    let opener = fixture.transport().open(&name, &options).expect("open of a live name");
    let wait_loop = WaitLoop::thread(fixture);
    thread::scope(|scope| {
        let here = scope.spawn(|| {
            wait_loop.connect(&*owner, ours.clone()).expect("a rejection must not end the accept")
        });
        let mut message = String::new();
        for _ in 0..REJECTED {
            let error = failed(wait_loop.connect(&*opener, theirs.clone()));
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Mismatch, Some(SmCode::OpenFail)),
                "{error}"
            );
            message = error.message().expect("a mismatch must say what differs").to_owned();
            assert!(message.contains(word), "the error {message:?} does not contain {word:?}");
        }
        let mut there = wait_loop.connect(&*opener, fixture.hello()).expect("connect").into();
        talk(fixture, &mut here.join().expect("accept").into(), &mut there);
        let rejections = owner.rejections();
        assert_eq!(rejections.count, REJECTED);
        let last = rejections.last.expect("rejections().last is missing");
        assert!(last.contains(&message), "the owner says {last:?}, the connector {message:?}");
    });
}
