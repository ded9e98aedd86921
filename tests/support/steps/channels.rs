//! Operations of channels: connect, accept, send, receive, close.

use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Channel, Endpoint, ErrorKind};

use super::{Round, Victim, WAITS, asleep, begin, end, explore, left, number};
use crate::support::random::Random;

/// What a victim does.
pub(crate) const VICTIMS: &[(&str, Victim)] = &[
    ("connect", |words| {
        let opener = anyipc::open(words[0]).unwrap();
        begin();
        let _channel = opener.connect().unwrap();
        end();
    }),
    ("accept", |words| {
        let owner = anyipc::create(words[0]).unwrap();
        begin();
        let _channel = owner.accept().unwrap();
        end();
    }),
    ("send", |words| {
        let mut channel = anyipc::connect(words[0]).unwrap();
        let message = message(number(words[1]) as usize);
        for _ in 0..number(words[2]) {
            channel.send(FIRST).unwrap();
        }
        begin();
        channel.send(&message).unwrap();
        end();
    }),
    ("recv", |words| {
        let mut channel = anyipc::connect(words[0]).unwrap();
        assert_eq!(channel.recv().unwrap(), FIRST);
        begin();
        channel.recv().unwrap();
        end();
    }),
    #[cfg(feature = "tokio")]
    ("recv-as-task", |words| {
        super::as_task(async {
            let opener = anyipc::open(words[0]).unwrap();
            let mut channel = opener.connect_async().await.unwrap();
            assert_eq!(channel.recv().await.unwrap(), FIRST);
            begin();
            channel.recv().await.unwrap();
            end();
        });
    }),
    #[cfg(feature = "tokio")]
    ("send-as-task", |words| {
        super::as_task(async {
            let opener = anyipc::open(words[0]).unwrap();
            let mut channel = opener.connect_async().await.unwrap();
            let message = message(number(words[1]) as usize);
            channel.send(FIRST).await.unwrap();
            begin();
            channel.send(&message).await.unwrap();
            end();
        });
    }),
    ("close", |words| {
        let mut channel = anyipc::connect(words[0]).unwrap();
        channel.send(FIRST).unwrap();
        begin();
        channel.close().unwrap();
        end();
    }),
    ("create", |words| {
        begin();
        let _owner = anyipc::create(words[0]).unwrap();
        end();
    }),
    ("close-owner", |words| {
        let owner = anyipc::create(words[0]).unwrap();
        begin();
        owner.close().unwrap();
        end();
    }),
];

const FIRST: &[u8] = b"first";
/// For what must come; how soon, `Round::in_time` judges.
const LONG: Duration = Duration::from_secs(20);
/// How long a call tries beside a process that stands still.
const MOMENT: Duration = Duration::from_millis(5);

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7) as u8).collect()
}

/// Survivors that share the operations of a transport: most of their time they wait for the moment
/// when a death shows.
pub(crate) const SHARES: usize = 7;

/// Every operation over this transport that falls to this share.
pub(crate) fn survive(scheme: &str, share: usize, random: &mut Random) {
    let url = format!("{scheme}://steps");
    // Small rings: a message of this length is sent in fragments, and little of it has room.
    let small = if matches!(scheme, "shm" | "mq") {
        format!("{url}?capacity=4KiB&wait=block")
    } else {
        format!("{url}?wait=block")
    };
    let mut turn = 0;
    let mut run = |operation: &str, round: &mut dyn FnMut(&mut Round<'_>)| {
        turn += 1;
        if turn % SHARES != share {
            return;
        }
        explore(&format!("{scheme}, {operation}"), random, round);
    };
    {
        let owner = anyipc::create(&url).unwrap();
        run("connect", &mut |round| connect(round, &owner, &url));
    }
    run("accept", &mut |round| accept(round, &url));
    run("create", &mut |round| {
        round.kill(&format!("create {url}"));
        is_free(round, &url);
    });
    run("close of an owner", &mut |round| close_owner(round, &url));
    let owner = anyipc::create(&small).unwrap();
    run("send", &mut |round| send(round, &owner, &small, (20, 1), false));
    run("send in a stream", &mut |round| send(round, &owner, &small, (20, 24), false));
    run("send of fragments", &mut |round| send(round, &owner, &small, (3000, 1), false));
    run("send to a sleeper", &mut |round| send(round, &owner, &small, (20, 1), true));
    run("receive", &mut |round| receive(round, &owner, &small, false));
    run("receive from a sleeper", &mut |round| receive(round, &owner, &small, true));
    for how in WAITS {
        run(&format!("receive{how} that waits"), &mut |round| awaited(round, &owner, &small, how));
        run(&format!("send{how} that waits"), &mut |round| blocked(round, &owner, &small, how));
    }
    run("close", &mut |round| close(round, &owner, &small));
    run("send that stands still", &mut |round| stopped_send(round, &owner, &small));
    run("receive that stands still", &mut |round| stopped_receive(round, &owner, &small));
    run("close that stands still", &mut |round| stopped_close(round, &owner, &small));
    owner.close().unwrap();
    assert_eq!(left(), [""; 0]);
}

fn accepted(owner: &Endpoint) -> Channel {
    owner.accept_timeout(LONG).unwrap()
}

/// The other side is dead, and both directions say so.
#[track_caller]
fn is_gone(channel: &mut Channel) {
    let start = Instant::now();
    let error = channel.recv_timeout(LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
    // Without a look at the peer a message may still go where nobody reads it, for a moment.
    let error = loop {
        match channel.send_timeout(FIRST, LONG) {
            Ok(()) => assert!(start.elapsed() < LONG, "a send does not notice the death"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
}

/// The opener's side of [`the_next_one_comes`]: connects until an owner answers. An owner may die
/// before it does.
fn is_answered(url: &str) {
    let died = |error: anyipc::Error| {
        let is_expected = matches!(error.kind(), ErrorKind::PeerGone | ErrorKind::NotFound);
        assert!(is_expected, "{error}");
    };
    loop {
        let mut channel = match anyipc::connect(url) {
            Ok(channel) => channel,
            Err(error) => {
                died(error);
                continue;
            }
        };
        let answer = channel.send(b"question").and_then(|()| channel.recv_timeout(LONG));
        match answer {
            Ok(answer) => return assert_eq!(answer, b"answer"),
            Err(error) => died(error),
        }
    }
}

/// The owner answers an opener. Others may have died before they asked.
#[track_caller]
fn answer(owner: &Endpoint) {
    loop {
        let mut channel = accepted(owner);
        match channel.recv_timeout(LONG) {
            Ok(question) => {
                assert_eq!(question, b"question");
                return channel.send(b"answer").unwrap();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}"),
        }
    }
}

/// A new opener comes in, and both sides understand each other.
#[track_caller]
fn the_next_one_comes(owner: &Endpoint, url: &str) {
    thread::scope(|scope| {
        let opener = scope.spawn(|| is_answered(url));
        answer(owner);
        opener.join().unwrap();
    });
}

fn connect(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let before = left();
    round.kill_beside(&format!("connect {url}"), |round| {
        loop {
            match owner.accept_timeout(Duration::from_millis(2)) {
                Ok(mut channel) => {
                    round.dead();
                    return is_gone(&mut channel);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
            }
            if round.is_dead() {
                return;
            }
        }
    });
    the_next_one_comes(owner, url);
    round.in_time();
    // The names of a connector's FIFOs stay until a sweep, or until the owner closes.
    if url.starts_with("pipe") && round.is_odd() {
        anyipc::Registry::global().sweep(true).unwrap();
        assert_eq!(left().len(), 2, "{:?}", left());
    } else if !url.starts_with("pipe") {
        assert_eq!(left(), before);
    }
}

fn accept(round: &mut Round<'_>, url: &str) {
    thread::scope(|scope| {
        let mut opener = None;
        round.kill_beside(&format!("accept {url}"), |_| {
            opener = Some(scope.spawn(|| is_answered(url)));
        });
        // The opener finds the next owner.
        let owner = anyipc::create(url).unwrap();
        answer(&owner);
        opener.unwrap().join().unwrap();
        owner.close().unwrap();
    });
    round.in_time();
    assert_eq!(left(), [""; 0]);
}

fn close_owner(round: &mut Round<'_>, url: &str) {
    if round.kill(&format!("close-owner {url}")) {
        assert_eq!(left(), [""; 0]);
    }
    is_free(round, url);
}

/// The name is free, at once, and works.
#[track_caller]
fn is_free(round: &Round<'_>, url: &str) {
    let owner = anyipc::create(url).unwrap();
    the_next_one_comes(&owner, url);
    owner.close().unwrap();
    round.in_time();
    assert_eq!(left(), [""; 0]);
}

fn send(
    round: &mut Round<'_>,
    owner: &Endpoint,
    url: &str,
    (len, firsts): (usize, usize),
    sleeps: bool,
) {
    let before = left();
    round.start(&format!("send {url} {len} {firsts}"));
    let mut channel = accepted(owner);
    for _ in 0..firsts {
        assert_eq!(channel.recv().unwrap(), FIRST);
    }
    round.ready();
    let got = if sleeps {
        thread::scope(|scope| {
            let receiver = asleep(scope, || channel.recv());
            round.go();
            round.dead();
            receiver.join().unwrap()
        })
    } else {
        round.go();
        round.dead();
        channel.recv_timeout(LONG)
    };
    match got {
        Ok(got) => assert!(got == message(len), "a torn message"),
        Err(error) => {
            assert!(!round.dead(), "{error}, but the send had returned");
            assert_eq!(error.kind(), ErrorKind::PeerGone);
        }
    }
    is_gone(&mut channel);
    round.in_time();
    drop(channel);
    assert_eq!(left(), before);
}

fn receive(round: &mut Round<'_>, owner: &Endpoint, url: &str, sleeps: bool) {
    let before = left();
    round.start(&format!("recv {url}"));
    let mut channel = accepted(owner);
    channel.send(FIRST).unwrap();
    round.ready();
    if sleeps {
        let error = thread::scope(|scope| {
            let sender = asleep(scope, || {
                loop {
                    if let Err(error) = channel.send(&message(500)) {
                        return error;
                    }
                }
            });
            round.go();
            round.dead();
            sender.join().unwrap()
        });
        assert_eq!(error.kind(), ErrorKind::PeerGone);
    } else {
        channel.send(&message(500)).unwrap();
        round.go();
        round.dead();
    }
    is_gone(&mut channel);
    round.in_time();
    drop(channel);
    assert_eq!(left(), before);
}

/// The victim sleeps within its operation, if it gets so far.
fn awaited(round: &mut Round<'_>, owner: &Endpoint, url: &str, how: &str) {
    let before = left();
    round.start(&format!("recv{how} {url}"));
    let mut channel = accepted(owner);
    channel.send(FIRST).unwrap();
    round.ready();
    round.go();
    round.asleep_or_dead();
    match channel.send(&message(500)) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone),
    }
    round.dead();
    is_gone(&mut channel);
    round.in_time();
    drop(channel);
    assert_eq!(left(), before);
}

/// The victim waits for room within its operation, if it gets so far.
fn blocked(round: &mut Round<'_>, owner: &Endpoint, url: &str, how: &str) {
    const LEN: usize = 300_000;
    let before = left();
    round.start(&format!("send{how} {url} {LEN} 1"));
    let mut channel = accepted(owner);
    assert_eq!(channel.recv().unwrap(), FIRST);
    round.ready();
    round.go();
    round.asleep_or_dead();
    match channel.recv_timeout(LONG) {
        Ok(got) => assert!(got == message(LEN), "a torn message"),
        Err(error) => {
            assert!(!round.dead(), "{error}, but the send had returned");
            assert_eq!(error.kind(), ErrorKind::PeerGone);
        }
    }
    round.dead();
    is_gone(&mut channel);
    round.in_time();
    drop(channel);
    assert_eq!(left(), before);
}

fn close(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let before = left();
    round.start(&format!("close {url}"));
    let mut channel = accepted(owner);
    round.ready();
    round.go();
    let ended = round.dead();
    assert_eq!(channel.recv_timeout(LONG).unwrap(), FIRST);
    let kind = channel.recv_timeout(LONG).unwrap_err().kind();
    assert!(kind == ErrorKind::Closed || kind == ErrorKind::PeerGone && !ended, "{kind:?}");
    // Its other half may have died open: then a message may still go where nobody reads it.
    while channel.send_timeout(FIRST, LONG).is_ok() {
        round.in_time();
    }
    round.in_time();
    drop(channel);
    assert_eq!(left(), before);
}

/// What a call beside a stopped process may say: nothing is lost, and nobody is dead.
#[track_caller]
fn none_yet<T>(result: anyipc::Result<T>) -> Option<T> {
    result.map_err(|error| assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}")).ok()
}

fn stopped_send(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    round.start(&format!("send {url} 3000 1"));
    let mut channel = accepted(owner);
    assert_eq!(channel.recv().unwrap(), FIRST);
    round.ready();
    let early = round.stand(|| {
        none_yet(channel.send_timeout(FIRST, MOMENT));
        none_yet(channel.recv_timeout(MOMENT))
    });
    let got = early.unwrap_or_else(|| channel.recv_timeout(LONG).unwrap());
    assert!(got == message(3000), "a torn message");
    is_gone(&mut channel);
}

fn stopped_receive(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    round.start(&format!("recv {url}"));
    let mut channel = accepted(owner);
    channel.send(FIRST).unwrap();
    round.ready();
    channel.send(&message(500)).unwrap();
    round.stand(|| {
        none_yet(channel.send_timeout(&message(1000), MOMENT));
        none_yet(channel.recv_timeout(MOMENT));
    });
    is_gone(&mut channel);
}

fn stopped_close(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    round.start(&format!("close {url}"));
    let mut channel = accepted(owner);
    round.ready();
    let early = round.stand(|| match channel.recv_timeout(MOMENT) {
        Err(error) if error.kind() == ErrorKind::TimedOut => false,
        got => {
            assert_eq!(got.unwrap(), FIRST);
            if let Err(error) = channel.recv_timeout(MOMENT) {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::TimedOut | ErrorKind::Closed), "{error}");
            }
            true
        }
    });
    if !early {
        assert_eq!(channel.recv_timeout(LONG).unwrap(), FIRST);
    }
    assert_eq!(channel.recv_timeout(LONG).unwrap_err().kind(), ErrorKind::Closed);
}
