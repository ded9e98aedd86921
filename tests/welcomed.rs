//! Between the welcome of an owner and the word of an opener that it has mapped the memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::time::{Duration, Instant};

use anyipc::transport::{Attempt, DynEndpoint, Flags, Hello, RecvHalf, SendHalf};
use anyipc::{Address, Capabilities, Error, ErrorKind, Registry, Result};
use support::schemes::{url, with};
use support::watchdog::watched;

type Halves = (Box<dyn SendHalf>, Box<dyn RecvHalf>);

/// An owner and an opener, which this thread steps in turn.
struct Pair {
    owner: Box<dyn DynEndpoint>,
    opener: Box<dyn DynEndpoint>,
    hello: Hello,
}

/// For all transports whose handshake hands memory over.
fn each(tag: &'static str, test: impl Fn(Pair) + Send + Copy + 'static) {
    for scheme in with(Capabilities::OUTLIVES_CREATOR | Capabilities::CHANNEL) {
        watched(&format!("{tag} over {scheme}"), move || {
            let address: Address = url(scheme, tag).parse().unwrap();
            let (transport, options) = Registry::global().resolve(&address).unwrap();
            let owner = transport.create(address.name(), &options).unwrap();
            let opener = transport.open(address.name(), &options).unwrap();
            let hello =
                Hello { transport: scheme.into(), max_message: 1 << 20, ..Hello::default() };
            test(Pair { owner, opener, hello });
        });
    }
}

/// The next step of a side. `None` is "would block".
fn step(endpoint: &dyn DynEndpoint, attempt: &mut Attempt) -> Option<Halves> {
    match endpoint.try_connect(attempt) {
        Ok((sender, receiver, _)) => Some((sender, receiver)),
        Err(error) => {
            assert!(error.is_would_block(), "{error}");
            None
        }
    }
}

impl Pair {
    fn attempt(&self) -> Attempt {
        Attempt::new(self.hello.clone())
    }

    /// An opener that has not read its welcome. The owner goes on as far as it can without it.
    fn welcomed(&self, accept: &mut Attempt) -> Attempt {
        let mut connect = self.attempt();
        assert!(step(&*self.opener, &mut connect).is_none(), "the owner has not answered");
        // Its memory is made in far fewer steps.
        for _ in 0..1000 {
            assert!(step(&*self.owner, accept).is_none(), "accepted before the memory was mapped");
        }
        connect
    }

    fn accepts(&self, accept: &mut Attempt) -> Halves {
        let start = Instant::now();
        loop {
            if let Some(halves) = step(&*self.owner, accept) {
                return halves;
            }
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
    }

    fn rejects(&self, accept: &mut Attempt, why: &str) {
        let start = Instant::now();
        while self.owner.rejections().count == 0 {
            assert!(step(&*self.owner, accept).is_none());
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        let last = self.owner.rejections().last.unwrap();
        assert!(last.contains(why), "{last}");
    }
}

fn receive(receiver: &mut dyn RecvHalf) -> Result<Vec<u8>> {
    let start = Instant::now();
    loop {
        let mut message = Vec::new();
        match receiver.try_recv_with(&mut |_, bytes| message.extend_from_slice(bytes)) {
            Ok(()) => return Ok(message),
            Err(error) if error.is_would_block() => {
                assert!(start.elapsed() < Duration::from_secs(20), "nothing arrives");
                std::thread::yield_now();
            }
            Err(error) => return Err(error),
        }
    }
}

fn kind(result: Result<Vec<u8>>) -> Option<ErrorKind> {
    result.as_ref().err().map(Error::kind)
}

#[test]
fn accept_returns_once_the_opener_has_mapped_the_memory() {
    each("mapped", |pair| {
        for inbox in [false, true, false] {
            let mut accept = pair.attempt();
            accept.inbox = inbox;
            let mut connect = pair.welcomed(&mut accept);
            let (mut out, _back) = step(&*pair.opener, &mut connect).unwrap();
            // Right behind its word, before the owner has heard that.
            out.try_send(Flags::NONE, b"first").unwrap();
            let (_out, mut received) = pair.accepts(&mut accept);
            assert_eq!(receive(&mut *received).unwrap(), b"first");
            out.try_send(Flags::NONE, b"second").unwrap();
            assert_eq!(receive(&mut *received).unwrap(), b"second");
        }
        assert_eq!(pair.owner.rejections().count, 0);
    });
}

#[test]
fn either_side_may_leave_as_soon_as_it_has_its_channel() {
    each("leaves", |pair| {
        let mut accept = pair.attempt();
        let mut connect = pair.welcomed(&mut accept);
        let mut left = step(&*pair.opener, &mut connect).unwrap();
        left.0.try_send(Flags::NONE, b"the opener was here").unwrap();
        drop(left);
        let (_out, mut received) = pair.accepts(&mut accept);
        assert_eq!(receive(&mut *received).unwrap(), b"the opener was here");
        assert_eq!(kind(receive(&mut *received)), Some(ErrorKind::Closed));

        let mut connect = pair.welcomed(&mut accept);
        let (_out, mut received) = step(&*pair.opener, &mut connect).unwrap();
        let mut accepted = pair.accepts(&mut accept);
        accepted.0.try_send(Flags::NONE, b"the owner was here").unwrap();
        drop((accepted, pair.owner));
        assert_eq!(receive(&mut *received).unwrap(), b"the owner was here");
        assert_eq!(kind(receive(&mut *received)), Some(ErrorKind::Closed));
    });
}

/// As a future of `connect` does that is dropped.
#[test]
fn an_opener_that_gives_up_after_the_welcome_is_counted() {
    each("given-up", |pair| {
        let mut accept = pair.attempt();
        drop(pair.welcomed(&mut accept));
        pair.rejects(&mut accept, "left in the middle");
        let mut connect = pair.welcomed(&mut accept);
        assert!(step(&*pair.opener, &mut connect).is_some());
        pair.accepts(&mut accept);
    });
}

/// An owner that accepts channels of two types, one after the other, gives nobody a channel of the
/// type that it did not welcome.
#[test]
fn a_welcome_counts_for_the_types_in_it() {
    each("types", |pair| {
        let mut accept = pair.attempt();
        let mut connect = pair.welcomed(&mut accept);
        let (_out, mut received) = step(&*pair.opener, &mut connect).unwrap();
        let mut other = Attempt::new(Hello { sends: Some("other".into()), ..pair.hello.clone() });
        pair.rejects(&mut other, "than when it welcomed this one");
        assert_eq!(kind(receive(&mut *received)), Some(ErrorKind::PeerGone));
    });
}
