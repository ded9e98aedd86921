//! A select that cannot wait for a member returns an error. In a file of its own, because it uses
//! up the process's descriptors.
#![cfg(all(target_os = "linux", feature = "message-queue"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::fs::File;
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, Select};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::schemes::url;
use support::watchdog::watched;

#[test]
fn a_member_without_a_descriptor_is_an_error() {
    watched("a select without descriptors", || {
        let owner = anyipc::create(url("mq", "deaf")).unwrap();
        let (mut queue, mut other) = (owner.queue().unwrap(), owner.queue().unwrap());
        let mut select = Select::new().unwrap();
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) })
            .unwrap();
        let mut taken = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        let begun = Instant::now();
        let error = select.wait_timeout(&mut [&mut queue], Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "it waited all the same");
        // What needs no wait is found.
        other.send(0, b"there").unwrap();
        assert_eq!(select.wait(&mut [&mut queue]).unwrap(), 0);
        queue.try_recv().unwrap();
        drop(taken);
        assert_eq!(
            select.wait_timeout(&mut [&mut queue], Duration::from_millis(1)).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
    });
}
