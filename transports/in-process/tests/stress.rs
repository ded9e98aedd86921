//! Hunts for lost wake-ups and lost messages. Only a watchdog limits a sleep, so that a lost
//! wake-up fails the test.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, COMMON_KEYS, Endpoint, Error, ErrorKind, Flags, Hello, Name, Options, RecvHalf,
    Result, SendHalf, Transport, Wait, Waiter, keys,
};
use anyipc_in_process::{InProcess, InProcessEndpoint, InProcessReceiver, InProcessSender};

const WATCHDOG: Duration = Duration::from_secs(20);

struct Alarm {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn alarm() -> Arc<Alarm> {
    Arc::new(Alarm { thread: thread::current(), rung: AtomicBool::new(false) })
}

fn wait_for(alarm: &Alarm) {
    let deadline = Instant::now() + WATCHDOG;
    while !alarm.rung.load(Ordering::Acquire) {
        assert!(Instant::now() < deadline, "a task was not woken");
        thread::park_timeout(WATCHDOG);
    }
}

/// Waits as a thread or as a task, at once or after a wait that was given up: `dice` chooses.
fn doze(half: &mut dyn Wait, dice: u32) {
    if dice & 1 != 0 {
        let _ = half.arm(Waiter::Task(Waker::noop())).unwrap();
    }
    if dice & 2 != 0 && half.arm(Waiter::Thread).unwrap() == Armed::Park {
        half.park(Duration::ZERO);
    }
    if dice & 4 != 0 {
        half.disarm();
    }
    let alarm = alarm();
    let waker = Waker::from(alarm.clone());
    let waiter = if dice & 8 == 0 { Waiter::Thread } else { Waiter::Task(&waker) };
    match half.arm(waiter).unwrap() {
        Armed::Ready => {}
        Armed::Park => {
            let begun = Instant::now();
            half.park(WATCHDOG);
            assert!(begun.elapsed() < WATCHDOG, "a thread was not woken");
        }
        Armed::Waker => wait_for(&alarm),
        other => panic!("a half never answers {other:?}"),
    }
}

fn would_block(result: Result<()>) -> bool {
    match result {
        Ok(()) => false,
        Err(error) => {
            assert!(error.is_would_block(), "{error}");
            true
        }
    }
}

fn name(tag: &str) -> Name {
    Name::new(&format!("stress-{tag}")).unwrap()
}

fn options(capacity: &str) -> Options {
    Options::parse([("capacity", capacity)], &[COMMON_KEYS, &[keys::CAPACITY]]).unwrap()
}

fn pair(
    tag: &str,
    capacity: &str,
) -> ((InProcessSender, InProcessReceiver), (InProcessSender, InProcessReceiver)) {
    let owner = InProcess.create(&name(tag), &options(capacity)).unwrap();
    let opener = InProcess.open(&name(tag), &Options::default()).unwrap();
    let mut attempt = Attempt::new(Hello::default());
    assert!(opener.try_connect(&mut attempt).unwrap_err().is_would_block());
    let (sender, receiver, _) = owner.try_connect(&mut Attempt::new(Hello::default())).unwrap();
    let (their_sender, their_receiver, _) = opener.try_connect(&mut attempt).unwrap();
    ((sender, receiver), (their_sender, their_receiver))
}

/// xorshift32.
fn roll(dice: &mut u32) -> u32 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 17;
    *dice ^= *dice << 5;
    *dice
}

#[test]
fn no_wake_and_no_message_is_lost() {
    const MESSAGES: u32 = 200_000;
    let payload =
        |i: u32| [i.to_le_bytes(), (!i).to_le_bytes(), i.rotate_left(9).to_le_bytes()].concat();
    let ((mut sender, _), (_, mut receiver)) = pair("wakes", "64");
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut dice = 1;
            for i in 0..MESSAGES {
                let payload = &payload(i)[..4 + i as usize % 9];
                while would_block(sender.try_send(Flags::NONE, payload)) {
                    doze(&mut sender, roll(&mut dice));
                }
            }
        });
        let mut dice = 2;
        for i in 0..MESSAGES {
            let check = &mut |_, frame: &[u8]| {
                assert_eq!(frame, &payload(i)[..4 + i as usize % 9], "message {i}")
            };
            while would_block(receiver.try_recv_with(check)) {
                doze(&mut receiver, roll(&mut dice));
            }
        }
        while let Err(error) =
            receiver.try_recv_with(&mut |_, _| panic!("more messages arrived than were sent"))
        {
            if error.kind() == ErrorKind::Closed {
                return;
            }
            doze(&mut receiver, roll(&mut dice));
        }
    });
}

#[test]
fn a_close_always_wakes() {
    for round in 0..5_000u32 {
        let ((mut sender, receiver), (their_sender, mut their_receiver)) = pair("close", "1");
        sender.try_send(Flags::NONE, b"x").unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                their_receiver.try_recv_with(&mut |_, _| {}).unwrap();
                drop(receiver);
                let mut dice = round + 1;
                while not_closed(their_receiver.try_recv_with(&mut |_, _| {})) {
                    doze(&mut their_receiver, roll(&mut dice));
                }
            });
            drop(sender);
            let mut their_sender = their_sender;
            let mut dice = round + 2;
            loop {
                match their_sender.try_send(Flags::NONE, b"y") {
                    Err(error) if error.is_would_block() => {
                        doze(&mut their_sender, roll(&mut dice))
                    }
                    Err(error) => break assert_eq!(error.kind(), ErrorKind::Closed),
                    Ok(()) => {}
                }
            }
        });
    }
}

fn not_closed(result: Result<()>) -> bool {
    !matches!(result, Err(error) if error.kind() == ErrorKind::Closed)
}

/// Connects or accepts as a task. Ends with the error of the endpoint, or with `None` once `stop`
/// is set.
fn meet(
    endpoint: &InProcessEndpoint,
    stop: &AtomicBool,
) -> Result<(InProcessSender, InProcessReceiver), Option<Error>> {
    let mut attempt = Attempt::new(Hello::default());
    let deadline = Instant::now() + WATCHDOG;
    loop {
        match endpoint.try_connect(&mut attempt) {
            Ok((sender, receiver, _)) => return Ok((sender, receiver)),
            Err(error) if error.is_would_block() => {}
            Err(error) => return Err(Some(error)),
        }
        assert!(Instant::now() < deadline, "no peer connected");
        let alarm = alarm();
        match endpoint.arm(&mut attempt, Waiter::Task(&Waker::from(alarm.clone()))).unwrap() {
            Armed::Ready => {}
            Armed::Waker if stop.load(Ordering::SeqCst) => return Err(None),
            // A timeout ends an attempt in any of its states.
            Armed::Waker => thread::park_timeout(Duration::from_millis(100)),
            other => panic!("a task was told {other:?}"),
        }
    }
}

#[test]
fn owners_and_openers_come_and_go() {
    const OPENERS: usize = 4;
    const MEETINGS: u32 = 500;
    let name = name("come-and-go");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let owners = scope.spawn(|| {
            let mut dice = 3;
            let mut met = 0u64;
            while !done.load(Ordering::SeqCst) {
                let owner = InProcess.create(&name, &Options::default()).unwrap();
                for _ in 0..roll(&mut dice) % 5 {
                    let Ok((mut sender, _receiver)) = meet(&owner, &done) else { break };
                    met += 1;
                    let _ = sender.try_send(Flags::NONE, &met.to_le_bytes());
                }
                InProcess.close(owner).unwrap();
            }
        });
        let openers: Vec<_> = (0..OPENERS)
            .map(|_| {
                scope.spawn(|| {
                    let never = AtomicBool::new(false);
                    let mut met = 0;
                    while met < MEETINGS {
                        let Ok(opener) = InProcess.open(&name, &Options::default()) else {
                            thread::yield_now();
                            continue;
                        };
                        match meet(&opener, &never) {
                            Ok((_, mut receiver)) => {
                                let mut got = false;
                                while not_closed(receiver.try_recv_with(&mut |_, _| got = true)) {
                                    doze(&mut receiver, 0);
                                }
                                assert!(got, "the owner's message was lost");
                                met += 1;
                            }
                            Err(error) => assert_eq!(error.unwrap().kind(), ErrorKind::NoOwner),
                        }
                    }
                })
            })
            .collect();
        openers.into_iter().for_each(|opener| opener.join().unwrap());
        done.store(true, Ordering::SeqCst);
        owners.join().unwrap();
    });
    assert!(InProcess.inspect(&name, &Options::default()).unwrap().is_empty());
}
