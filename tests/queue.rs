//! Queues through the facade: blocking, timed, async, selected.
#![cfg(feature = "message-queue")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Endpoint, ErrorKind, Queue, Select};
use support::schemes::{self, can, url};
use support::watchdog::watched;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_millis(250);

fn queue(tag: &str, query: &str) -> (Endpoint, Queue) {
    let owner = anyipc::create(format!("{}?{query}", url("mq", tag))).unwrap();
    let queue = owner.queue().unwrap();
    (owner, queue)
}

#[test]
fn messages_come_by_priority_in_every_way_to_wait() {
    watched("priorities", || {
        for wait in ["adaptive", "spin", "block"] {
            let (owner, mut queue) =
                queue("wait", &format!("wait={wait}&priorities=3&capacity=4KiB"));
            queue.send(0, b"low").unwrap();
            queue.send(2, b"high").unwrap();
            assert_eq!(queue.recv().unwrap(), (2, b"high".to_vec()));
            let shown =
                queue.recv_with_timeout(SHORT, |priority, message| (priority, message.to_vec()));
            assert_eq!(shown.unwrap(), (0, b"low".to_vec()));
            queue.send(1, b"there").unwrap();
            assert_eq!(
                queue.try_recv_with(|priority, message| (priority, message.len())).unwrap(),
                (1, 5)
            );
            assert!(queue.try_recv_with(|_, _| panic!("no message")).unwrap_err().is_would_block());
            let mut other = owner.queue().unwrap();
            let sender = thread::spawn(move || {
                for i in 0..20_000u32 {
                    other.send(1, &i.to_le_bytes()).unwrap();
                }
            });
            for i in 0..20_000u32 {
                let got =
                    queue.recv_with(|priority, message| (priority, message.to_vec())).unwrap();
                assert_eq!(got, (1, i.to_le_bytes().to_vec()));
            }
            sender.join().unwrap();
        }
    });
}

#[test]
fn errors_name_the_address_and_what_would_work() {
    let (owner, mut queue) = queue("errors", "full=error&capacity=1KiB&priorities=2");
    let address = owner.address().to_string();
    while queue.send(1, b"x").is_ok() {}
    for (error, kind) in [
        (queue.send(1, b"x").unwrap_err(), ErrorKind::Full),
        (queue.send(2, b"x").unwrap_err(), ErrorKind::InvalidOption),
        (queue.send(0, &[0; 2000]).unwrap_err(), ErrorKind::MessageTooLarge),
    ] {
        assert_eq!((error.kind(), error.address()), (kind, Some(address.as_str())), "{error}");
    }
    for scheme in schemes::all() {
        let url = url(scheme, "none");
        let owner = anyipc::create(&url).unwrap();
        let has = can(&url, anyipc::Capabilities::QUEUE);
        match owner.queue() {
            Ok(_) => assert!(has, "{url}"),
            Err(error) => assert!(!has && error.kind() == ErrorKind::Unsupported, "{error}"),
        }
    }
}

#[test]
fn an_address_with_native_is_told_where_the_kernels_queues_are() {
    let gone = format!("{}?native=posix", url("mq", "native"));
    let registry = anyipc::Registry::global();
    for error in [
        anyipc::create(&gone).unwrap_err(),
        anyipc::open(&gone).unwrap_err(),
        anyipc::connect(&gone).unwrap_err(),
        anyipc::alloc_lpsz(&gone, "text").unwrap_err(),
        registry.inspect(&gone).unwrap_err(),
        registry.remove(&gone, false).unwrap_err(),
        registry.resolve(&gone.parse().unwrap()).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
        let text = error.to_string();
        assert!(text.contains("posix-mq://") && text.contains(&gone), "{text}");
    }
}

#[cfg(all(target_os = "linux", feature = "posix-queue"))]
#[test]
fn the_kernels_queues_are_names_of_their_own() {
    let ours = url("mq", "apart");
    let kernels = format!("posix-{ours}");
    support::schemes::room_for_kernel_queues();
    let owner = anyipc::create(format!("{kernels}?capacity=4KiB")).unwrap();
    let error = anyipc::open(&ours).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("alive as posix-mq://"), "{error}");
    let other = anyipc::create(&ours).unwrap();
    other.queue().unwrap().send(0, b"ours").unwrap();
    owner.queue().unwrap().send(0, b"the kernel's").unwrap();
    let received = |url: &str| anyipc::open(url).unwrap().queue().unwrap().recv().unwrap().1;
    assert_eq!(received(&kernels), b"the kernel's");
    assert_eq!(received(&ours), b"ours");
}

#[test]
fn every_waiting_call_has_a_timeout() {
    let (_owner, mut queue) = queue("timeouts", "capacity=1KiB");
    let mut timed = |call: &mut dyn FnMut(&mut Queue) -> ErrorKind| {
        let start = Instant::now();
        assert_eq!(call(&mut queue), ErrorKind::TimedOut);
        let took = start.elapsed();
        assert!((SHORT..LONG).contains(&took), "{took:?}");
    };
    timed(&mut |queue| queue.recv_timeout(SHORT).unwrap_err().kind());
    timed(&mut |queue| {
        queue.recv_with_timeout(SHORT, |_, _| panic!("no message")).unwrap_err().kind()
    });
    timed(&mut |queue| {
        while queue.try_send(0, b"x").is_ok() {}
        queue.send_timeout(0, b"x", SHORT).unwrap_err().kind()
    });
    assert_eq!(queue.purge().unwrap(), 8);
    assert!(queue.is_empty().unwrap());
}

#[test]
fn a_select_waits_for_queues_and_channels() {
    watched("select", || {
        let (owner, mut inbox) = queue("select", "wait=adaptive");
        let mut sender = owner.queue().unwrap();
        let channels = anyipc::create(url("inproc", "select.queue")).unwrap();
        let address = channels.address().clone();
        let client = thread::spawn(move || anyipc::connect(address).unwrap());
        let mut channel = channels.accept().unwrap();
        let mut client = client.join().unwrap();
        let mut select = Select::new().unwrap();
        for i in 0..100u8 {
            // One after the other, now and then late enough to find the select asleep.
            let waits = Duration::from_millis(u64::from(i % 25 == 24) * 5);
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(waits);
                    if i % 2 == 0 {
                        sender.send(0, &[i]).unwrap()
                    } else {
                        client.send(&[i]).unwrap()
                    }
                });
                let start = Instant::now();
                match select.wait(&mut [&mut inbox, &mut channel]).unwrap() {
                    0 => assert_eq!(inbox.try_recv().unwrap(), (0, vec![i])),
                    _ => assert_eq!(channel.try_recv().unwrap(), [i]),
                }
                assert!(start.elapsed() < Duration::from_secs(5));
            });
        }
        let none = select.wait_timeout(&mut [&mut inbox, &mut channel], SHORT).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::TimedOut);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_wait_as_well() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (owner, queue) = queue("tasks", "capacity=1KiB&priorities=2");
        let mut sender = owner.queue().unwrap().into_async().unwrap();
        let mut receiver = queue.into_async().unwrap();
        let sending = tokio::spawn(async move {
            for i in 0..2000u32 {
                if i % 500 == 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                sender.send(i % 2, &i.to_le_bytes()).await.unwrap();
            }
        });
        let (mut count, mut sum) = (0, 0);
        while count < 2000 {
            // A future that is dropped at its timeout has taken nothing.
            if let Ok(received) =
                tokio::time::timeout(Duration::from_micros(200), receiver.recv()).await
            {
                sum += u32::from_le_bytes(received.unwrap().1.try_into().unwrap());
                count += 1;
            }
        }
        sending.await.unwrap();
        assert_eq!(sum, 2000 * 1999 / 2);
        assert_eq!(receiver.status().unwrap().messages, 0);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_sleeping_task_is_woken_from_another_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (owner, queue) = queue("woken", "wait=block");
    let mut sender = owner.queue().unwrap();
    let sleeper = thread::spawn(move || {
        runtime.block_on(async {
            let mut queue = queue.into_async().unwrap();
            for i in 0..20u8 {
                assert_eq!(queue.recv().await.unwrap(), (0, vec![i]));
            }
        });
    });
    watched("tasks", move || {
        for i in 0..20u8 {
            thread::sleep(Duration::from_millis(3));
            sender.send(0, &[i]).unwrap();
        }
        sleeper.join().unwrap();
    });
}
