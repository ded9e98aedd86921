//! Channels and queues wait without a descriptor left. In a file of its own, because it uses up
//! the process's descriptors.
#![cfg(all(unix, feature = "message-queue"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::fs::File;
use std::thread;
use std::time::Duration;

use anyipc::{Capabilities, ErrorKind, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::schemes::{all, url, with};
use support::watchdog::watched;

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(20);

/// All descriptors, until dropped.
fn hoard() -> Vec<File> {
    let few = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, few).unwrap();
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn assert_timed_out<T>(what: &str, result: Result<T>) {
    match result {
        Err(error) if error.kind() == ErrorKind::TimedOut => {}
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what}: it did not wait"),
    }
}

#[test]
fn what_is_connected_waits_without_a_descriptor() {
    for scheme in all() {
        watched(&format!("waits over {scheme}"), move || {
            let owner = anyipc::create(format!("{}?wait=block", url(scheme, "bare"))).unwrap();
            let address = owner.address().clone();
            let far = thread::spawn(move || anyipc::connect(address).unwrap());
            let near = owner.accept().unwrap();
            let ((mut out, mut back), (mut near_out, mut near_in)) =
                (far.join().unwrap().split(), near.split());
            let hoard = hoard();
            assert_timed_out(scheme, near_in.recv_timeout(SHORT));
            assert_timed_out(scheme, back.recv_timeout(SHORT));
            // Both halves of one side wait, in threads of their own.
            let echo = thread::spawn(move || {
                let full = loop {
                    if let Err(error) = out.send_timeout(&[7; 1000], SHORT) {
                        break error.kind();
                    }
                };
                (full, out.send_timeout(b"last", LONG).map_err(|error| error.kind()))
            });
            let heard = thread::spawn(move || back.recv_timeout(LONG).map_err(|e| e.kind()));
            thread::sleep(20 * SHORT);
            near_out.send(b"one message").unwrap();
            assert_eq!(heard.join().unwrap().as_deref(), Ok(&b"one message"[..]), "{scheme}");
            while near_in.recv_timeout(LONG).unwrap() != b"last" {}
            assert_eq!(echo.join().unwrap(), (ErrorKind::TimedOut, Ok(())), "{scheme}");
            drop(hoard);
        });
    }
    for scheme in with(Capabilities::QUEUE) {
        watched(&format!("a queue over {scheme}"), move || {
            let owner = anyipc::create(format!("{}?wait=block", url(scheme, "bare"))).unwrap();
            let (mut near, mut far) = (owner.queue().unwrap(), owner.queue().unwrap());
            let hoard = hoard();
            assert_timed_out(scheme, near.recv_timeout(SHORT));
            let heard = thread::spawn(move || near.recv_timeout(LONG).map_err(|e| e.kind()));
            thread::sleep(SHORT);
            far.send(0, b"one message").unwrap();
            assert_eq!(heard.join().unwrap().unwrap().1, b"one message", "{scheme}");
            while far.try_send(0, &[7; 1000]).is_ok() {}
            assert_timed_out(scheme, far.send_timeout(0, &[7; 1000], SHORT));
            drop(hoard);
        });
    }
}
