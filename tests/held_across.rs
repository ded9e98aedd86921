//! A process holds an owner, its block and its queue, and a channel; and replaces itself, forks, or
//! forgets them in a thread that ends. Over every transport.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::any::Any;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Capabilities, Channel, ErrorKind};
use support::process::{Process, linger, say, serve, spawn_here};
use support::schemes::{self, another, can, url};
use support::watchdog::watchdog;

const SOON: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(20);

#[test]
fn child() {
    serve(&[("holder", holder)]);
}

/// `holder OWNER OWN MANNER`: connects to the owner, and owns a name.
fn holder(words: &[&str]) {
    let &[theirs, own, manner] = words else { panic!("{words:?}") };
    let mut channel = anyipc::connect(theirs).unwrap();
    channel.send(b"here").unwrap();
    let owner = anyipc::create(full(own)).unwrap();
    let queue = can(own, Capabilities::QUEUE).then(|| owner.queue().unwrap());
    let held: Box<dyn Any + Send> = Box::new((channel, owner, queue));
    match manner {
        "exec" => {
            let error = Command::new("cat").exec();
            panic!("{error}");
        }
        "fork" => {
            // SAFETY: the child makes system calls only.
            if unsafe { libc::fork() } != 0 {
                say("done");
            }
        }
        "drop" => thread::spawn(move || drop(held)).join().unwrap(),
        "forget" => thread::spawn(move || std::mem::forget(held)).join().unwrap(),
        other => panic!("no manner {other}"),
    }
    if manner != "fork" {
        say("done");
    }
    linger();
}

/// With everything that a name of this transport can have.
fn full(url: &str) -> String {
    if can(url, Capabilities::BLOCK) { format!("{url}?size=4096") } else { url.to_owned() }
}

/// Runs the test over each transport: the holder, our channel to it, and the name that it owns.
fn each_held(manner: &str, test: impl Fn(Process, Channel, &str)) {
    let _watchdog = watchdog(manner, Duration::from_secs(60));
    for scheme in schemes::between_processes() {
        let theirs = url(scheme, "held");
        let own = another(&theirs);
        let owner = anyipc::create(&theirs).unwrap();
        let mut holder = spawn_here(&format!("holder {theirs} {own} {manner}"));
        let mut channel = owner.accept_timeout(LONG).unwrap();
        assert_eq!(channel.recv_timeout(LONG).unwrap(), b"here", "{own}");
        if manner != "exec" {
            holder.expect("done");
        }
        test(holder, channel, &own);
    }
}

/// The channel ends with this error, in time, and the name is free.
#[track_caller]
fn is_given_up(mut channel: Channel, own: &str, kind: ErrorKind) {
    let start = Instant::now();
    assert_eq!(channel.recv_timeout(LONG).unwrap_err().kind(), kind, "{own}");
    anyipc::create(full(own)).unwrap().close().unwrap();
    assert!(start.elapsed() < SOON, "{own}: {:?}", start.elapsed());
}

#[test]
fn a_process_that_replaces_itself_has_given_up_everything() {
    #[cfg(target_os = "linux")]
    let inherited = support::resources::descriptors();
    each_held("exec", |mut holder, mut channel, own| {
        // It may still be about to do so.
        assert_eq!(channel.recv_timeout(LONG).unwrap_err().kind(), ErrorKind::PeerGone, "{own}");
        is_given_up(channel, own, ErrorKind::PeerGone);
        #[cfg(target_os = "linux")]
        {
            let proc = std::path::PathBuf::from(format!("/proc/{}", holder.pid()));
            assert_eq!(std::fs::read_to_string(proc.join("comm")).unwrap(), "cat\n");
            // No more than its standard streams, pipes to us, once it has loaded its libraries.
            let is_pipe = |target: &String| target.starts_with("pipe:");
            support::watchdog::eventually("it holds its standard streams alone", || {
                let entries = std::fs::read_dir(proc.join("fd")).unwrap();
                let open: Vec<_> = entries
                    // One that is gone already was not inherited.
                    .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
                    .map(|target| target.to_string_lossy().into_owned())
                    .filter(|target| target != "/dev/null" && !inherited.contains(target))
                    .collect();
                open.len() <= 3 && open.iter().all(is_pipe)
            });
        }
        holder.hush();
        holder.finish();
    });
}

#[test]
fn a_forked_child_keeps_nothing_of_its_dead_parent() {
    each_held("fork", |mut holder, channel, own| {
        holder.kill();
        is_given_up(channel, own, ErrorKind::PeerGone);
        // The child lives until now.
        holder.hush();
        holder.wait();
    });
}

#[test]
fn a_thread_that_ends_leaves_in_order() {
    each_held("drop", |mut holder, channel, own| {
        is_given_up(channel, own, ErrorKind::Closed);
        holder.hush();
        holder.finish();
    });
}

#[test]
fn what_an_ended_thread_has_forgotten_is_held_until_the_process_ends() {
    each_held("forget", |mut holder, mut channel, own| {
        let error = channel.recv_timeout(Duration::from_millis(250)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{own}");
        channel.send(b"still there").unwrap();
        assert_eq!(anyipc::create(full(own)).unwrap_err().kind(), ErrorKind::Exists, "{own}");
        holder.hush();
        holder.finish();
        is_given_up(channel, own, ErrorKind::PeerGone);
    });
}
