//! Unfriendly surroundings: no `/proc`, limits of a process, a full file system, a stopped sweeper.
#![cfg(all(target_os = "linux", feature = "shared-memory", feature = "message-queue"))]
#![cfg(all(feature = "named-pipe", feature = "socket"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyipc::{Capabilities, Endpoint, Error, Object, ObjectState, Registry};
use rustix::fs::{FlockOperation, flock};
use support::place::{Scratch, files, private_dir};
use support::process::{hear, linger, say, serve, spawn, spawn_here, spawn_under};
use support::schemes::{self, can, url};
use support::watchdog::watchdog;

const TIMEOUT: Duration = Duration::from_secs(20);
/// An error that comes at once, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn child() {
    serve(&[
        ("owner", owner),
        ("opener", opener),
        ("try", attempt),
        ("make", make),
        ("crash", crash),
        ("crowd", crowd),
        ("sweeper", sweeper),
        ("beside", beside),
    ]);
}

fn owner(words: &[&str]) {
    let owner = anyipc::create(words[0]).unwrap();
    say("ready");
    let mut channel = owner.accept_timeout(TIMEOUT).unwrap();
    let question = channel.recv_timeout(TIMEOUT).unwrap();
    channel.send(&question).unwrap();
    linger();
}

fn opener(words: &[&str]) {
    let mut channel = anyipc::connect(words[0]).unwrap();
    channel.send(b"question").unwrap();
    assert_eq!(channel.recv_timeout(TIMEOUT).unwrap(), b"question");
    say("answered");
}

fn tell<T>(what: Result<T, Error>, started: Instant) {
    let soon = started.elapsed() < AT_ONCE;
    match what {
        Ok(_) => say("done"),
        Err(error) => say(&format!("{} at once: {soon} {error}", error.kind().as_str())),
    }
}

/// Tries one call, and tells what came of it.
fn attempt(words: &[&str]) {
    let started = Instant::now();
    match words[0] {
        "create" => tell(anyipc::create(words[1]), started),
        "connect" => tell(anyipc::connect(words[1]), started),
        call => panic!("{call}"),
    }
}

/// Makes everything that there is, one line each.
fn make(words: &[&str]) {
    for url in words {
        tell(anyipc::create(*url), Instant::now());
        tell(anyipc::alloc_lpsz(*url, "a text"), Instant::now());
    }
}

// --- No `/proc`.

/// A wrapper for processes in a mount namespace of their own with this mounted. `None` if this user
/// is not allowed to make one.
fn mounted(mount: &str) -> Option<Vec<String>> {
    let wrapper = |how: &str| {
        let script = format!("{mount} && exec \"$@\"");
        ["unshare", how, "sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
    };
    let allowed = |wrapper: &Vec<String>| {
        let done = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .arg("true")
            .env("ANYIPC_DIR", "/mnt")
            .output();
        done.is_ok_and(|done| done.status.success())
    };
    let found = ["-m", "-rm"].map(wrapper).into_iter().find(allowed);
    if found.is_none() {
        println!("no mount namespace for this user: not tested");
    }
    found
}

fn as_strs(wrapper: &[String]) -> Vec<&str> {
    wrapper.iter().map(String::as_str).collect()
}

#[test]
fn without_proc_both_sides_meet() {
    let _watchdog = watchdog("no /proc", Duration::from_secs(120));
    let Some(wrapper) = mounted("mount -t tmpfs none /proc") else { return };
    let bare = as_strs(&wrapper);
    for (owner_in, opener_in) in [(&bare[..], &[][..]), (&[], &bare), (&bare, &bare)] {
        for scheme in schemes::between_processes() {
            // Its path and the names of all files in it fit into a socket's address.
            let (place, url) =
                (format!("/dev/shm/np{}", std::process::id()), url(scheme, "noproc"));
            std::fs::create_dir_all(&place).unwrap();
            let mut owner = spawn_under(owner_in, Path::new(&place), &format!("owner {url}"));
            owner.expect("ready");
            let mut opener = spawn_under(opener_in, Path::new(&place), &format!("opener {url}"));
            opener.expect("answered");
            opener.finish();
            owner.hush();
            owner.finish();
            std::fs::remove_dir_all(place).unwrap();
        }
    }
}

/// A socket's path has at most 107 bytes. A longer one is shortened through `/proc`; without it the
/// error says so.
#[test]
fn without_proc_a_long_path_is_an_error_at_once() {
    let _watchdog = watchdog("long path", Duration::from_secs(120));
    let Some(wrapper) = mounted("mount -t tmpfs none /proc") else { return };
    let bare = as_strs(&wrapper);
    for scheme in ["shm", "mq", "local"] {
        let (place, url) = (Scratch::new("long"), url(scheme, "long"));
        let long = place.path().join("a".repeat(100));
        std::fs::create_dir(&long).unwrap();
        let heard = spawn_under(&bare, &long, &format!("try create {url}")).hear();
        assert!(
            heard.starts_with("io at once: true ") && heard.contains("/proc is not mounted"),
            "{heard}"
        );
        let mut owner = spawn(&long, &format!("owner {url}"));
        owner.expect("ready");
        let heard = spawn_under(&bare, &long, &format!("try connect {url}")).hear();
        assert!(
            heard.starts_with("io at once: true ") && heard.contains("/proc is not mounted"),
            "{heard}"
        );
        spawn(&long, &format!("opener {url}")).expect("answered");
    }
}

// --- A limit on the size of files: the kernel sends a signal that kills to those that pass it.

#[test]
fn a_file_size_limit_is_an_error() {
    let _watchdog = watchdog("ulimit -f", Duration::from_secs(60));
    let place = Scratch::new("fsize");
    let urls: Vec<_> =
        schemes::between_processes().iter().map(|scheme| url(scheme, "fsize")).collect();
    let limited = ["sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"];
    let mut process = spawn_under(&limited, place.path(), &format!("make {}", urls.join(" ")));
    for url in &urls {
        for _ in 0..2 {
            let heard = process.hear();
            assert!(
                heard.starts_with("out_of_memory ") && heard.contains("ulimit -f"),
                "{url}: {heard}"
            );
        }
    }
    process.finish();
    assert_eq!(files(place.path()), [""; 0]);
}

// --- A full file system.

fn crash(words: &[&str]) {
    let _owner = anyipc::create(words[0]).unwrap();
    say("made");
    hear();
}

/// Many processes die and leave names that are never used again, where a few have room.
fn crowd(_words: &[&str]) {
    let keep = anyipc::create("mq://keep?persist=true&capacity=64KiB").unwrap();
    keep.queue().unwrap().send(0, b"kept").unwrap();
    keep.close().unwrap();
    for round in 0..40 {
        for url in [
            format!("shm://n{round}?size=100000"),
            format!("mq://n{round}"),
            format!("pipe://n{round}"),
        ] {
            let mut victim = spawn_here(&format!("crash {url}"));
            victim.expect("made");
            victim.kill();
            victim.wait();
        }
    }
    let mut kept = anyipc::open("mq://keep").unwrap().queue().unwrap();
    assert_eq!(kept.try_recv().unwrap().1, b"kept");
    let states =
        |state| Registry::global().list().unwrap().iter().filter(|(_, o)| o.state == state).count();
    // What lives stays.
    let living: Vec<_> = (0..)
        .map_while(|n| match anyipc::create(format!("shm://live{n}?size=100000")) {
            Ok(owner) => Some(owner),
            Err(error) => {
                say(&format!("{} {error}", error.kind().as_str()));
                None
            }
        })
        .collect();
    say(&format!("{} {}", living.len() > 2, states(ObjectState::Stale)));
    for owner in living {
        owner.close().unwrap();
    }
}

#[test]
fn what_a_crash_loop_leaves_makes_room() {
    let _watchdog = watchdog("crash loop", Duration::from_secs(300));
    let mount = "mount -t tmpfs -o size=1m,mode=0700 none \"$ANYIPC_DIR\"";
    let Some(wrapper) = mounted(mount) else { return };
    let place = Scratch::new("full");
    let mut crowd = spawn_under(&as_strs(&wrapper), place.path(), "crowd");
    let heard = crowd.hear_within(Duration::from_secs(200));
    assert!(heard.starts_with("out_of_memory "), "{heard}");
    for word in ["(-4)", "anyipc doctor --fix", "living ones have", "anyipc ls"] {
        assert!(heard.contains(word), "{word}: {heard}");
    }
    crowd.expect("true 0");
    crowd.finish();
}

// --- Looking and sweeping is no life.

/// Restores a dead owner's lock, and plays `doctor --fix`, stopped while it holds that lock.
fn sweeper(words: &[&str]) {
    let url = words[0];
    let dir = private_dir(Path::new(&std::env::var_os("ANYIPC_DIR").unwrap()));
    let owner = anyipc::create(url).unwrap();
    let path = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let path =
        path.into_iter().find(|path| path.extension().is_some_and(|end| end == "lock")).unwrap();
    let text = std::fs::read(&path).unwrap();
    assert_eq!(Registry::global().inspect(url).unwrap()[0].state, ObjectState::Live);
    owner.close().unwrap();
    let mut lock = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).unwrap();
    lock.write_all(&text).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();

    let kind = |result: Result<Endpoint, Error>| {
        result.map_or_else(|error| error.kind().as_str(), |_| "done")
    };
    say(kind(anyipc::open(url)));
    let state = |object: &Object| {
        object.path == path.display().to_string() && object.state == ObjectState::Stale
    };
    assert!(Registry::global().inspect(url).unwrap().iter().any(state));
    say(kind(anyipc::create(url)));
    say(kind(anyipc::alloc_lpsz(url.split_once('?').map_or(url, |(name, _)| name), "a text")));
    drop(lock);
    say(kind(anyipc::create(url)));
}

/// As macOS the lock is a byte of the file; the tests of `anyipc-os` take it for an instant.
#[cfg_attr(anyipc_as_macos, ignore = "the sweeper is played with a flock")]
#[test]
fn a_sweepers_lock_is_no_owner() {
    let _watchdog = watchdog("sweeper", Duration::from_secs(120));
    for scheme in schemes::with(Capabilities::CROSS_PROCESS | Capabilities::INVENTORY) {
        let place = Scratch::new("sweeper");
        let mut url = url(scheme, "sweeper");
        if can(&url, Capabilities::BLOCK) {
            url += "?size=64";
        }
        let mut sweeper = spawn(place.path(), &format!("sweeper {url}"));
        let heard = [(); 4].map(|()| sweeper.hear());
        assert_eq!(heard, ["not_found", "busy", "busy", "done"], "{url}");
        sweeper.finish();
    }
}

/// `create` succeeds beside a `doctor --fix` that removes the same stale object.
#[test]
fn sweeping_is_not_in_the_way_of_creating() {
    let _watchdog = watchdog("sweeping", Duration::from_secs(120));
    let place = Scratch::new("sweeping");
    let mut process = spawn(place.path(), "beside");
    process.expect("done");
    process.finish();
}

fn beside(_words: &[&str]) {
    let url = "shm://beside?size=64";
    let dir = private_dir(Path::new(&std::env::var_os("ANYIPC_DIR").unwrap()));
    let owner = anyipc::create(url).unwrap();
    let files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files = files.into_iter().filter(|path| path.is_file());
    let files: Vec<_> = files.map(|path| (std::fs::read(&path).unwrap(), path)).collect();
    owner.close().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                Registry::global().sweep(true).unwrap();
            }
        });
        for _ in 0..2000 {
            for (bytes, path) in &files {
                let mut file =
                    OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).unwrap();
                file.write_all(bytes).unwrap();
            }
            anyipc::create(url).unwrap().close().unwrap();
        }
        over.store(true, Relaxed);
    });
    say("done");
}
