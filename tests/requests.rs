//! Requests over every transport, both sides in this process.
#![cfg(all(feature = "in-process", feature = "postcard"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyipc::request::{Cause, MAX_CALLS, Outgoing};
use anyipc::{ErrorKind, Failure, Peer};
use support::channels::kind;
use support::requests::{Ask, Asker, Running, Told, service, start};
use support::schemes::each;
use support::watchdog::eventually;

fn add(number: u64) -> Ask {
    Ask::Add(number, Vec::new(), 0)
}

#[test]
fn threads_that_share_a_client_each_get_their_own_answers() {
    each("threads", |url| {
        for threads in [0, 3] {
            let _server = start(url, service(), threads);
            let client = Asker::connect(url).unwrap();
            thread::scope(|scope| {
                for thread in 0..6u64 {
                    let client = client.clone();
                    scope.spawn(move || {
                        for call in 0..100 {
                            let number = thread * 1000 + call;
                            let ask = Ask::Add(number, vec![1; call as usize], 10);
                            let told = client.call(&ask).unwrap();
                            assert_eq!(told, Told(number + 1 + call, vec![number as u8; 10]));
                        }
                    });
                }
            });
            assert_eq!(client.in_flight(), 0);
        }
    });
}

#[test]
fn many_calls_are_in_flight_and_further_ones_wait() {
    each("many", |url| {
        let _server = start(url, service(), 2);
        let client = Asker::builder(url).in_flight(MAX_CALLS).connect().unwrap();
        let mut pending = std::collections::VecDeque::new();
        for number in 0..3000 {
            if pending.len() == MAX_CALLS {
                let (number, call): (u64, anyipc::request::Pending<Told>) =
                    pending.pop_front().unwrap();
                assert_eq!(call.wait().unwrap().0, number + 1);
            }
            pending.push_back((number, client.start(&add(number)).unwrap()));
        }
        let late = client.call_timeout(&add(0), Duration::from_millis(1));
        assert!(matches!(late, Ok(_) | Err(_)));
        for (number, call) in pending {
            assert_eq!(call.wait().unwrap().0, number + 1);
        }
        eventually("all calls are over", || {
            client.call(&add(1)).unwrap();
            client.in_flight() == 0
        });
    });
}

/// Neither side can send, and neither waits for the other forever.
#[test]
fn large_requests_and_responses_in_small_channels_never_meet_in_a_deadlock() {
    each("full", |url| {
        let small = format!("{url}?capacity=4KiB");
        for threads in [0, 2] {
            let _server = start(&small, service(), threads);
            let client = Asker::connect(&small).unwrap();
            let calls: Vec<_> = (0..200)
                .map(|number| client.start(&Ask::Add(number, vec![1; 3000], 3000)).unwrap())
                .collect();
            for (number, call) in calls.into_iter().enumerate() {
                let told = call.wait().unwrap();
                assert_eq!(told, Told(number as u64 + 3001, vec![number as u8; 3000]));
            }
        }
    });
}

#[test]
fn a_slow_call_does_not_delay_the_others() {
    each("slow", |url| {
        let service = service();
        let _server = start(url, service, 2);
        let client = Asker::connect(url).unwrap();
        let slow = client.start(&Ask::Wait(1)).unwrap();
        for number in 0..50 {
            assert_eq!(client.call(&add(number)).unwrap().0, number + 1);
        }
        service.release();
        assert_eq!(slow.wait().unwrap().0, 1);
    });
}

#[test]
fn failures_have_a_name_and_a_panic_harms_no_other_call() {
    each("failures", |url| {
        for threads in [0, 2] {
            let _server = start(url, service(), threads);
            let client = Asker::connect(url).unwrap();
            let error = client.call(&Ask::Fail(-7)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Failed);
            let failure = Failure::of(&error).unwrap();
            assert_eq!((failure.code(), failure.text()), (-7, "as asked"));
            assert!(error.to_string().contains("as asked (-7)"), "{error}");

            let other = client.start(&add(1)).unwrap();
            let error = client.call(&Ask::Panic).unwrap_err();
            assert_eq!(Failure::of(&error).unwrap().cause(), Cause::Panicked);
            assert!(error.to_string().contains("as asked"), "{error}");
            assert_eq!(other.wait().unwrap().0, 2);
            assert_eq!(client.call(&add(2)).unwrap().0, 3);
        }
    });
}

#[test]
fn a_call_that_is_given_up_while_it_waits_is_not_begun() {
    each("cancel", |url| {
        let service = service();
        let _server = start(url, service, 1);
        let client = Asker::connect(url).unwrap();
        let busy = client.start(&Ask::Wait(1)).unwrap();
        eventually("it is begun", || service.begun.load(std::sync::atomic::Ordering::SeqCst) == 1);
        let timed_out = client.call_timeout(&add(1), Duration::from_millis(10));
        assert_eq!(kind(timed_out), ErrorKind::TimedOut);
        drop(client.start(&add(2)).unwrap());
        // A cancelled call counts until it is answered.
        assert!(client.in_flight() >= 1);
        let third = client.start(&add(3)).unwrap();
        service.release();
        assert_eq!(busy.wait().unwrap().0, 1);
        assert_eq!(third.wait().unwrap().0, 4);
        // The one that waited and the third; neither the late nor the dropped one.
        assert_eq!(client.call(&Ask::Begun).unwrap().0, 2);
        assert_eq!(client.in_flight(), 0);
    });
}

fn count(url: &str) -> (Running, std::sync::mpsc::Receiver<bool>) {
    let (ended, cancelled) = channel();
    let server = anyipc::create(url).unwrap().serve_stream(
        move |_: &Peer, ask: Ask, out: &mut Outgoing<Told>| {
            let Ask::Add(count, _, len) = ask else {
                return Err(Failure::new(3, "no count"));
            };
            for number in 0..count {
                if let Err(error) = out.send(&Told(number, vec![number as u8; len])) {
                    ended.send(out.is_cancelled()).unwrap();
                    return Err(error.into());
                }
            }
            Ok(())
        },
    );
    (Running::new(server.concurrency(2)), cancelled)
}

#[test]
fn streams_arrive_whole_and_in_order() {
    each("streams", |url| {
        let (_server, _) = count(url);
        let client = Asker::connect(url).unwrap();
        for (count, len) in [(0, 0), (1, 0), (1000, 10), (100, 5000)] {
            let items = client.stream(&Ask::Add(count, Vec::new(), len)).unwrap();
            let mut expected = 0;
            for item in items {
                assert_eq!(item.unwrap(), Told(expected, vec![expected as u8; len]));
                expected += 1;
            }
            assert_eq!(expected, count);
        }
        let mut failing = client.stream(&Ask::Begun).unwrap();
        let error = failing.next().unwrap().unwrap_err();
        assert_eq!(Failure::of(&error).unwrap().code(), 3);
        assert!(failing.next().is_none());
        let error = client.call(&add(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("stream"), "{error}");
    });
}

#[test]
fn a_stream_that_is_not_taken_waits_and_delays_nobody() {
    each("window", |url| {
        let (_server, cancelled) = count(url);
        let client = Asker::connect(url).unwrap();
        let mut endless = client.stream(&Ask::Add(u64::MAX, Vec::new(), 0)).unwrap();
        assert_eq!(endless.next().unwrap().unwrap().0, 0);
        // The other thread of the server, and the same channel.
        let items = client.stream(&Ask::Add(500, Vec::new(), 0)).unwrap();
        assert_eq!(items.count(), 500);
        assert_eq!(endless.next().unwrap().unwrap().0, 1);
        assert!(cancelled.try_recv().is_err());
        drop(endless);
        assert!(cancelled.recv_timeout(Duration::from_secs(20)).unwrap());
    });
}

#[test]
fn a_client_that_leaves_cancels_its_calls() {
    each("leaves", |url| {
        let (_server, cancelled) = count(url);
        let client = Asker::connect(url).unwrap();
        let mut endless = client.stream(&Ask::Add(u64::MAX, Vec::new(), 0)).unwrap();
        endless.next().unwrap().unwrap();
        drop((endless, client));
        assert!(cancelled.recv_timeout(Duration::from_secs(20)).unwrap());
    });
}

#[test]
fn a_server_of_single_responses_gives_a_stream_of_one() {
    each("single", |url| {
        let _server = start(url, service(), 0);
        let client = Asker::connect(url).unwrap();
        let items: Vec<_> = client.stream(&add(1)).unwrap().map(Result::unwrap).collect();
        assert_eq!(items, [Told(2, Vec::new())]);
    });
}

#[test]
fn the_time_left_travels_and_a_stream_ends_with_it() {
    each("deadline", |url| {
        let (told, left) = channel();
        let server = anyipc::create(url).unwrap().serve_stream(
            move |_: &Peer, _: Ask, out: &mut Outgoing<Told>| {
                told.send(out.time_left()).unwrap();
                loop {
                    out.send(&Told(0, Vec::new()))?;
                }
            },
        );
        let _server = Running::new(server);
        let client = Asker::connect(url).unwrap();
        let items = client.stream_timeout(&add(1), Duration::from_millis(50)).unwrap();
        let errors: Vec<_> = items.filter_map(Result::err).map(|error| error.kind()).collect();
        assert!(errors == [ErrorKind::TimedOut] || errors == [ErrorKind::Failed], "{errors:?}");
        let first = left.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
        assert!(first <= Duration::from_millis(50), "{first:?}");
        let mut items = client.stream(&add(1)).unwrap();
        items.next().unwrap().unwrap();
        assert_eq!(left.recv_timeout(Duration::from_secs(20)).unwrap(), None);
    });
}

#[test]
fn a_stopped_server_answers_what_has_come_and_refuses_the_rest() {
    each("stop", |url| {
        let service = service();
        let mut server = start(url, service, 2);
        let client = Asker::connect(url).unwrap();
        let slow = client.start(&Ask::Wait(1)).unwrap();
        eventually("it is begun", || service.begun.load(std::sync::atomic::Ordering::SeqCst) == 1);
        server.stopper().stop();
        let error = client.call(&add(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert_eq!(Failure::of(&error).unwrap().cause(), Cause::Stopping);
        service.release();
        assert_eq!(slow.wait().unwrap().0, 1);
        server.stop().unwrap();
    });
}

#[test]
fn inboxes_serve_in_their_own_thread_with_a_handler_that_changes() {
    each("inbox", |url| {
        let mut inbox = anyipc::Inbox::new(anyipc::create(url).unwrap()).unwrap();
        let serving = thread::spawn(move || {
            let mut count = 0;
            inbox.serve(|peer: &Peer, ask: Ask| {
                assert!(peer.hello.sends.is_some());
                count += 1;
                Ok(Told(count, if ask == Ask::Begun { vec![1] } else { Vec::new() }))
            })
        });
        let client = Asker::connect(url).unwrap();
        assert_eq!(client.call(&Ask::Begun).unwrap(), Told(1, vec![1]));
        assert_eq!(client.call(&add(1)).unwrap(), Told(2, Vec::new()));
        // An owner that nobody finds any more ends, where names can be removed.
        if anyipc::Registry::global().remove(url, true).is_ok() {
            assert_eq!(kind(serving.join().unwrap()), ErrorKind::Removed);
        }
    });
}

#[test]
fn what_is_too_large_is_an_error_of_its_call_only() {
    each("large", |url| {
        let url = format!("{url}?max_message=64KiB");
        let _server = start(&url, service(), 0);
        let client = Asker::connect(&url).unwrap();
        let error = client.call(&Ask::Add(1, vec![1; 70_000], 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MessageTooLarge, "{error}");
        let error = client.call(&Ask::Add(1, Vec::new(), 70_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Codec, "{error}");
        assert!(error.to_string().contains("max_message"), "{error}");
        let told = client.call(&Ask::Add(1, vec![1; 60_000], 60_000)).unwrap();
        assert_eq!(told.1.len(), 60_000);
    });
}
