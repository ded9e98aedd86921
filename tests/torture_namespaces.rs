//! Processes in namespaces of their own (containers) that share a directory and a user.
#![cfg(all(target_os = "linux", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::process::Command;
use std::time::Duration;

use anyipc::{Capabilities, Channel, ErrorKind, Registry};
use support::place::{Scratch, files};
use support::process::{Process, hear, say, serve, spawn, spawn_under};
use support::schemes::{self, can, url};
use support::watchdog::watchdog;

const TIMEOUT: Duration = Duration::from_secs(20);
/// A PID namespace of its own; its processes die with the wrapper.
const PROCESSES: &[&str] = &["unshare", "--pid", "--fork", "--kill-child"];
/// A container: every namespace is its own, and so is `/dev/shm`.
const CONTAINER: &[&str] = &[
    "unshare",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount",
    "--mount-proc",
    "--ipc",
    "--net",
    "--user",
    "--map-current-user",
    "sh",
    "-c",
    "mount -t tmpfs none /dev/shm && exec \"$@\"",
    "sh",
];

#[test]
fn child() {
    serve(&[
        ("owner", owner),
        ("opener", opener),
        ("create", create),
        ("look", look),
        ("keeper", keeper),
        ("visitor", visitor),
    ]);
}

fn owner(words: &[&str]) {
    let owner = anyipc::create(words[0]).unwrap();
    say("ready");
    let mut channel = owner.accept_timeout(TIMEOUT).unwrap();
    assert_eq!(channel.recv_timeout(TIMEOUT).unwrap(), b"question");
    channel.send(b"answer").unwrap();
    outlive(channel);
}

fn opener(words: &[&str]) {
    let mut channel = anyipc::connect(words[0]).unwrap();
    channel.send(b"question").unwrap();
    assert_eq!(channel.recv_timeout(TIMEOUT).unwrap(), b"answer");
    outlive(channel);
}

/// Tells the peer's process and user, and, once it is killed, what the channel says of that.
fn outlive(mut channel: Channel) {
    say(&format!("pid {:?} uid {:?}", channel.peer().pid, channel.peer().uid));
    if hear().is_some() {
        say(channel.recv_timeout(TIMEOUT).unwrap_err().kind().as_str());
    }
}

/// What an inventory shows of a name: state, holders and owner of each object.
fn look(words: &[&str]) {
    let objects = Registry::global().inspect(words[0]).unwrap();
    let shown = objects.iter().map(|object| {
        let owner = object.facts.iter().find(|(label, _)| *label == "owner");
        let owner = owner.map_or("nothing", |(_, text)| text.as_str());
        format!("{:?} {:?} {owner}", object.state, object.holders)
    });
    let mut shown: Vec<String> = shown.collect();
    shown.dedup();
    say(&shown.join(", "));
}

/// Makes a queue and a block, and hears of the visitor by one and sees it in the other.
fn keeper(words: &[&str]) {
    let (queue, block) = (anyipc::create(words[0]).unwrap(), anyipc::create(words[1]).unwrap());
    block.block().unwrap().write_at(0, b"left here").unwrap();
    let mut receiver = queue.queue().unwrap();
    say("ready");
    assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap(), (0, b"found".to_vec()));
    say("heard");
    hear();
}

fn visitor(words: &[&str]) {
    let (queue, block) = (anyipc::open(words[0]).unwrap(), anyipc::open(words[1]).unwrap());
    let is_there = || {
        let mut seen = [0; 9];
        block.block().unwrap().read_at(0, &mut seen).unwrap();
        assert_eq!(&seen, b"left here");
    };
    is_there();
    let mut handle = queue.queue().unwrap();
    handle.send(0, b"found").unwrap();
    say("visited");
    hear();
    // The keeper is dead.
    is_there();
    handle.send(0, b"alone").unwrap();
    assert_eq!(handle.recv_timeout(TIMEOUT).unwrap(), (0, b"alone".to_vec()));
    say("alone");
}

fn create(words: &[&str]) {
    match anyipc::create(words[0]) {
        Ok(_) => say("made"),
        Err(error) => say(&format!("{} {error}", error.kind().as_str())),
    }
}

/// Whether this user may make such namespaces.
fn may(wrapper: &[&str]) -> bool {
    let (program, arguments) = wrapper.split_first().unwrap();
    let done = Command::new(program).args(arguments).arg("true").output();
    let may = done.is_ok_and(|done| done.status.success());
    if !may {
        println!("this user or system has no {wrapper:?}: not tested");
    }
    may
}

/// Owner and opener in such namespaces (empty: this one) meet, over every scheme. Each is told the
/// other's user, and its process if that is in its own namespace. The owner's death is noticed.
fn meet(tag: &str, owner_in: &[&str], opener_in: &[&str], tells: [bool; 2]) {
    let _watchdog = watchdog(tag, Duration::from_secs(120));
    let uid = rustix::process::geteuid().as_raw();
    for scheme in schemes::between_processes() {
        let (place, url) = (Scratch::new(tag), url(scheme, tag));
        let mut owner = spawn_under(owner_in, place.path(), &format!("owner {url}"));
        owner.expect("ready");
        let mut opener = spawn_under(opener_in, place.path(), &format!("opener {url}"));
        for (process, told) in [(&mut opener, tells[0]), (&mut owner, tells[1])] {
            let heard = process.hear();
            if can(&url, Capabilities::PEER_CREDENTIALS) {
                assert!(heard.ends_with(&format!("uid Some({uid})")), "{url}: {heard}");
                assert_eq!(heard.starts_with("pid Some("), told, "{url}: {heard}");
                assert!(!heard.contains("Some(0) uid"), "{url}: {heard}");
            } else {
                assert_eq!(heard, "pid None uid None", "{url}");
            }
        }
        owner.kill();
        opener.say("your owner is dead");
        opener.expect(ErrorKind::PeerGone.as_str());
        opener.finish();
    }
}

#[test]
fn owner_and_opener_meet_from_two_pid_namespaces() {
    if may(PROCESSES) {
        // The outer namespace sees the processes of the inner one.
        meet("inner-opener", &[], PROCESSES, [false, true]);
        meet("inner-owner", PROCESSES, &[], [true, false]);
        meet("beside", PROCESSES, PROCESSES, [false, false]);
    }
}

#[test]
fn owner_and_opener_meet_from_two_mount_namespaces() {
    let apart = [PROCESSES, &["--mount", "--mount-proc"]].concat();
    if may(&apart) {
        meet("mounts", &[], &apart, [false, true]);
        meet("mounts", &apart, &[], [true, false]);
    }
}

#[test]
fn owner_and_opener_meet_from_two_user_namespaces() {
    let mapped = [PROCESSES, &["--user", "--map-current-user"]].concat();
    if may(&mapped) {
        meet("users", &[], &mapped, [false, true]);
        meet("users", &mapped, &mapped, [false, false]);
    }
}

/// Starts a role in a container that shares nothing but this place.
fn contained(place: &Scratch, role: &str) -> Process {
    spawn_under(CONTAINER, place.path(), role)
}

/// Not in `/dev/shm`, which each container has for itself.
fn shared_place(tag: &str) -> Scratch {
    Scratch::under(&std::env::temp_dir(), tag)
}

/// Over each transport that needs no common network. What is shown of a name without its owner's
/// process number, and after its death; the death of either side; the name afterwards.
#[test]
fn containers_that_share_the_directory_only_meet_and_outlive_each_other() {
    if !may(CONTAINER) {
        return;
    }
    let _watchdog = watchdog("containers", Duration::from_secs(180));
    for scheme in schemes::between_processes().iter().filter(|scheme| **scheme != "tcp") {
        let (place, url) = (shared_place("containers"), url(scheme, "containers"));
        let look = || contained(&place, &format!("look {url}")).hear();
        for owner_dies in [true, false] {
            let mut owner = contained(&place, &format!("owner {url}"));
            owner.expect("ready");
            // Each container's first process is number 1: not the looker, which is one, too.
            let shown = look();
            assert!(shown.contains("Live [] 1 of another PID namespace"), "{url}: {shown}");
            assert!(!shown.contains("Stale"), "{url}: {shown}");
            let mut opener = contained(&place, &format!("opener {url}"));
            for process in [&mut owner, &mut opener] {
                let heard = process.hear();
                assert!(heard.starts_with("pid None"), "{url}: {heard}");
            }
            let (killed, mut survivor) =
                if owner_dies { (&mut owner, opener) } else { (&mut opener, owner) };
            killed.kill();
            killed.wait();
            survivor.say("your peer is dead");
            survivor.expect(ErrorKind::PeerGone.as_str());
            survivor.finish();
            let shown = look();
            assert!(!shown.contains("Live"), "{url}: {shown}");
        }
    }
}

#[cfg(feature = "message-queue")]
#[test]
fn a_queue_and_a_block_outlive_the_container_that_made_them() {
    if !may(CONTAINER) {
        return;
    }
    let _watchdog = watchdog("containers", Duration::from_secs(60));
    let place = shared_place("kept");
    let [queue, block] = ["mq", "shm"].map(|scheme| url(scheme, "kept"));
    let mut keeper = contained(&place, &format!("keeper {queue} {block}?size=9"));
    keeper.expect("ready");
    let mut visitor = contained(&place, &format!("visitor {queue} {block}"));
    visitor.expect("visited");
    keeper.expect("heard");
    keeper.kill();
    keeper.wait();
    visitor.say("you are alone");
    visitor.expect("alone");
    visitor.finish();
    // The last holder has removed both; the keeper's locks and listeners are nobody's.
    let left = files(place.path());
    let is_memory = |file: &String| file.ends_with(".queue") || file.ends_with(".block");
    assert!(!left.iter().any(is_memory), "{left:?}");
}

#[test]
fn a_user_without_a_number_is_told_so() {
    let _watchdog = watchdog("unmapped", Duration::from_secs(60));
    let unmapped = ["unshare", "--user", "--fork", "--kill-child"];
    if !may(&unmapped) {
        return;
    }
    for scheme in schemes::between_processes().iter().filter(|scheme| **scheme != "tcp") {
        let (place, url) = (Scratch::new("unmapped"), url(scheme, "unmapped"));
        let heard = spawn_under(&unmapped, place.path(), &format!("create {url}")).hear();
        assert!(heard.starts_with("permission_denied "), "{heard}");
        assert!(heard.contains("no number in its user namespace"), "{heard}");
        spawn(place.path(), &format!("create {url}")).expect("made");
    }
}
