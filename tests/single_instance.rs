//! One instance of a program, and what later ones hand over.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyipc::{
    Capabilities, ErrorKind, FirstInstance, Handover, LaterInstance, Launch, Select, SingleInstance,
};
use support::place::Scratch;
#[cfg(target_os = "linux")]
use support::process::spawn_under;
use support::process::{Process, end_with_parent, hear, say, serve, spawn};
use support::random::Random;
use support::schemes::{between_processes, can, each, url};
use support::settings::setting;
use support::watchdog::watchdog;

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(20);

fn start(url: &str, args: &[&str]) -> anyipc::Result<SingleInstance> {
    SingleInstance::start_with(url, &launch(args))
}

fn launch(args: &[&str]) -> Launch {
    let mut launch = Launch::current();
    launch.args = args.iter().map(OsString::from).collect();
    launch
}

#[track_caller]
fn first(instance: anyipc::Result<SingleInstance>) -> FirstInstance {
    match instance.unwrap() {
        SingleInstance::First(first) => first,
        SingleInstance::Later(_) => panic!("there is a first one"),
    }
}

#[track_caller]
fn later(instance: anyipc::Result<SingleInstance>) -> LaterInstance {
    match instance.unwrap() {
        SingleInstance::First(_) => panic!("there is no first one"),
        SingleInstance::Later(later) => later,
    }
}

fn next(first: &mut FirstInstance) -> Handover {
    first.next_timeout(LONG).unwrap()
}

#[test]
fn a_later_one_hands_over_and_gets_its_exit_code() {
    each("code", |url| {
        let mut one = first(start(url, &[]));
        thread::scope(|scope| {
            for code in [0, 7, -1, i32::MAX] {
                let peer = scope.spawn(|| {
                    let mut what = launch(&["editor", "", "a b"]);
                    what.data = vec![0; 100_000];
                    let later = later(SingleInstance::start_with(url, &what));
                    (what, later.wait().unwrap())
                });
                let handover = next(&mut one);
                let got = handover.launch().clone();
                handover.answer(code).unwrap();
                assert_eq!(peer.join().unwrap(), (got, code));
            }
        });
    });
}

#[test]
fn answers_may_come_late_and_from_other_threads() {
    each("late", |url| {
        let mut one = first(start(url, &[]));
        let all_wait = &Barrier::new(5);
        thread::scope(|scope| {
            let peers: Vec<_> = (0..4)
                .map(|id: i32| {
                    scope.spawn(move || {
                        let mut later = later(start(url, &[&id.to_string()]));
                        let early = later.wait_timeout(Duration::from_millis(1)).unwrap_err();
                        assert_eq!(early.kind(), ErrorKind::TimedOut);
                        all_wait.wait();
                        assert_eq!(later.wait().unwrap(), id);
                    })
                })
                .collect();
            // All are taken before the first one has its answer.
            let taken: Vec<_> = (0..4).map(|_| next(&mut one)).collect();
            all_wait.wait();
            let answering = scope.spawn(move || {
                for handover in taken.into_iter().rev() {
                    let id = handover.launch().args[0].to_str().unwrap().parse().unwrap();
                    handover.answer(id).unwrap();
                }
            });
            answering.join().unwrap();
            peers.into_iter().for_each(|peer| peer.join().unwrap());
        });
    });
}

#[test]
fn a_launch_that_is_dropped_is_an_error_of_the_later_one() {
    each("dropped", |url| {
        let mut one = first(start(url, &[]));
        thread::scope(|scope| {
            let peer = scope.spawn(|| later(start(url, &[])).wait().unwrap_err());
            drop(next(&mut one));
            let error = peer.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            assert!(error.to_string().contains("without an answer"), "{error}");

            let peer = scope.spawn(|| later(start(url, &[])).wait().unwrap_err());
            let handover = next(&mut one);
            drop(one);
            let error = peer.join().unwrap();
            assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::PeerGone), "{error}");
            assert!(handover.answer(0).is_err());
        });
    });
}

#[test]
fn a_first_one_that_leaves_before_it_takes_a_launch_is_followed_by_the_later_one() {
    each("leaves", |url| {
        let one = first(start(url, &[]));
        thread::scope(|scope| {
            let peer = scope.spawn(|| first(start(&format!("{url}?timeout=20s"), &[])));
            drop(one);
            peer.join().unwrap();
        });
    });
}

#[test]
fn a_select_waits_for_launches() {
    each("select", |url| {
        let mut one = first(start(url, &[]));
        thread::scope(|scope| {
            let peer = scope.spawn(|| later(start(url, &[])).wait().unwrap());
            let mut select = Select::new().unwrap();
            let handover = loop {
                select.wait_timeout(&mut [&mut one], LONG).unwrap();
                match one.try_next() {
                    Ok(handover) => break handover,
                    Err(error) => assert!(error.is_would_block(), "{error}"),
                }
            };
            handover.answer(5).unwrap();
            assert_eq!(peer.join().unwrap(), 5);
        });
    });
}

#[test]
fn another_program_is_refused_and_disturbs_nothing() {
    each("other", |url| {
        if can(url, Capabilities::HANDSHAKE) {
            let owner = anyipc::create(url).unwrap();
            thread::scope(|scope| {
                let peer = scope.spawn(|| start(url, &[]).unwrap_err());
                let accepted = owner.accept_timeout(LONG);
                // An owner without types lets every peer in, and says nothing that it understands.
                if let Ok(mut channel) = accepted {
                    channel.send(b"welcome to something else").unwrap();
                }
                let error = peer.join().unwrap();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            });
            owner.close().unwrap();
        }
        let mut one = first(start(url, &[]));
        thread::scope(|scope| {
            let peer = scope.spawn(|| {
                let mut bad = anyipc::connect(url).unwrap();
                let _ = bad.send(b"nonsense");
                let _ = bad.recv();
                assert!(bad.recv().is_err());
                later(start(url, &["good"])).wait().unwrap()
            });
            let handover = next(&mut one);
            assert_eq!(handover.launch().args, ["good"]);
            handover.answer(1).unwrap();
            assert_eq!(peer.join().unwrap(), 1);
        });
    });
}

/// It has told its user that nothing will happen.
#[test]
fn a_launch_of_one_that_gave_up_is_not_taken() {
    each("gave-up", |url| {
        let mut one = first(start(url, &[]));
        thread::scope(|scope| {
            let (is_invited, invited) = channel();
            let (is_busy, busy) = channel();
            let peer = scope.spawn(move || {
                let mut channel = anyipc::connect(url).unwrap();
                assert_eq!(channel.recv_timeout(LONG).unwrap(), b"R");
                is_invited.send(()).unwrap();
                busy.recv().unwrap();
                // No arguments, no directory, no data.
                channel.send(&[0; 12]).unwrap();
                channel.close().unwrap();
            });
            while invited.try_recv().is_err() {
                let _ = one.next_timeout(Duration::from_millis(5));
            }
            is_busy.send(()).unwrap();
            peer.join().unwrap();
        });
        let error = one.next_timeout(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    });
}

#[cfg(unix)]
#[test]
fn no_byte_of_an_argument_is_lost() {
    use std::os::unix::ffi::OsStringExt;
    each("bytes", |url| {
        let mut one = first(start(url, &[]));
        thread::scope(|scope| {
            let mut what = Launch::current();
            what.args = (1..=255).map(|byte| OsString::from_vec(vec![byte, 0xff])).collect();
            what.dir = Some(OsString::from_vec(b"/\xc3\x28".to_vec()).into());
            let sent = what.clone();
            let peer = scope.spawn(move || {
                later(SingleInstance::start_with(url, &sent)).wait().unwrap();
            });
            let handover = next(&mut one);
            assert_eq!(*handover.launch(), what);
            handover.answer(0).unwrap();
            peer.join().unwrap();
        });
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_are_instances_as_threads_are() {
    each("tasks", |url| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let start = |args: &'static [&str]| {
                let launch = launch(args);
                async move { SingleInstance::start_async(url, &launch).await }
            };
            let mut one = first(start(&[]).await);
            let serving = async {
                for code in 0..3 {
                    let handover = one.next_async().await.unwrap();
                    assert_eq!(handover.launch().args, ["x"]);
                    handover.answer(code).unwrap();
                }
            };
            tokio::join!(serving, async {
                for code in 0..3 {
                    let later = later(start(&["x"]).await);
                    assert_eq!(later.wait_async().await.unwrap(), code);
                }
            });
        });
    });
}

#[cfg(unix)]
#[test]
fn a_start_from_a_removed_directory_has_no_directory() {
    for scheme in between_processes() {
        let _watch = watchdog("a removed directory", LONG * 3);
        let place = Scratch::new("single.dir");
        let url = url(scheme, "single.dir");
        let mut one = spawn(place.path(), &format!("lost {url}"));
        one.expect("first");
        let mut two = spawn(place.path(), &format!("lost {url}"));
        one.expect("took None");
        two.expect("code 0");
    }
}

/// Starts in a directory that is gone.
#[cfg(unix)]
fn lost(arguments: &[&str]) {
    end_with_parent();
    let place = Scratch::new("lost");
    std::env::set_current_dir(place.path()).unwrap();
    drop(place);
    match SingleInstance::start(arguments[0]).unwrap() {
        SingleInstance::First(mut first) => {
            say("first");
            let handover = first.next().unwrap();
            say(&format!("took {:?}", handover.launch().dir));
            assert_eq!(handover.launch().args.len(), std::env::args_os().len());
            handover.answer(0).unwrap();
            support::process::linger();
        }
        SingleInstance::Later(later) => say(&format!("code {}", later.wait().unwrap())),
    }
}

/// A start that is not served in time is told so, and never served after that.
#[cfg(unix)]
#[test]
fn a_stopped_first_one_is_named_and_takes_no_launch_afterwards() {
    for scheme in between_processes() {
        let _watch = watchdog("a stopped first instance", LONG * 3);
        let place = Scratch::new("single.stopped");
        let url = url(scheme, "single.stopped");
        let log = place.path().join("log");
        let role = |id: u32, timeout: &str| {
            let mut process = spawn(
                place.path(),
                &format!("start {url}?timeout={timeout} {id} {}", log.display()),
            );
            process.expect("there");
            process.say("go");
            process
        };
        let mut one = role(1, "20s");
        one.expect("first");
        one.stop();
        let said = role(2, "300ms").hear();
        assert!(said.starts_with("error timed_out"), "{said}");
        let named = said.contains(&format!("process {},", one.pid()));
        assert!(named || !can(&url, Capabilities::INVENTORY), "{said}");
        one.resume();
        role(3, "20s").expect("code 3");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "3\n");
    }
}

/// Each process of such a namespace has the number that one in another has, too: no process id may
/// decide what is alive.
#[cfg(target_os = "linux")]
#[test]
fn containers_that_share_a_directory_share_an_instance() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not root: left out");
    }
    for scheme in between_processes() {
        let _watch = watchdog("containers", LONG * 3);
        let place = Scratch::new("single.pid");
        let url = url(scheme, "single.pid") + "?timeout=20s";
        let log = place.path().join("log");
        let contained = |id: u32| {
            let role = format!("start {url} {id} {}", log.display());
            let wrapper = ["unshare", "--pid", "--fork", "--kill-child"];
            let mut process = spawn_under(&wrapper, place.path(), &role);
            process.expect("there");
            process.say("go");
            process
        };
        let mut one = contained(1);
        one.expect("first");
        contained(2).expect("code 2");
        one.kill();
        one.wait();
        let mut three = contained(3);
        three.expect("first");
        contained(4).expect("code 4");
    }
}

#[test]
fn a_first_one_that_dies_with_a_launch_is_an_error_of_the_later_one() {
    for scheme in between_processes() {
        let _watch = watchdog("a killed first instance", LONG * 3);
        let place = Scratch::new("single.killed");
        let url = url(scheme, "single.killed") + "?timeout=20s";
        let mut one = spawn(place.path(), &format!("start {url} silent {}", "-"));
        one.expect("there");
        one.say("go");
        one.expect("first");
        let mut two = spawn(place.path(), &format!("start {url} 2 -"));
        two.expect("there");
        two.say("go");
        one.expect("took");
        one.kill();
        let said = two.hear();
        assert!(said.starts_with("error ") && said.contains("without an answer"), "{said}");
        let named = said.contains(&format!("process {},", one.pid()));
        assert!(named || !can(&url, Capabilities::PEER_CREDENTIALS), "{said}");
    }
}

/// Many starts at once, and kills: exactly one is first at any time, and each launch is taken once,
/// or reported. `ANYIPC_STARTS=50 ANYIPC_ROUNDS=100` is the long form.
#[test]
fn a_storm_of_starts_has_one_first_and_loses_no_launch() {
    let (starts, rounds) = (setting("ANYIPC_STARTS", 8), setting("ANYIPC_ROUNDS", 3));
    let mut random = Random::new(Random::run_seed());
    for scheme in between_processes() {
        let _watch = watchdog("a storm of starts", LONG * 3 + Duration::from_secs(starts * rounds));
        let place = Scratch::new("storm");
        let url = url(scheme, "storm") + "?timeout=60s";
        let mut counts = HashMap::new();
        for _ in 0..rounds {
            storm(&url, place.path(), starts, &mut random, &mut counts);
        }
        eprintln!("{scheme}: {counts:?}");
    }
}

struct Start {
    process: Process,
    /// What it said after "go".
    said: Option<String>,
    is_killed: bool,
}

fn storm(
    url: &str,
    place: &Path,
    starts: u64,
    random: &mut Random,
    counts: &mut HashMap<&'static str, u64>,
) {
    let log = place.join("log");
    let _ = std::fs::remove_file(&log);
    let mut all: Vec<_> = (0..starts)
        .map(|id| Start {
            process: spawn(place, &format!("start {url} {id} {}", log.display())),
            said: None,
            is_killed: false,
        })
        .collect();
    all.iter_mut().for_each(|start| start.process.expect("there"));
    all.iter_mut().for_each(|start| start.process.say("go"));
    // Two first ones and a later one are killed, at random instants.
    let mut firsts_to_kill = 2;
    let mut victim = random.below(starts * 2) as usize;
    loop {
        for start in &mut all {
            if start.said.is_none() {
                start.said = start.process.try_hear();
            }
        }
        let is_first = |start: &Start| start.said.as_deref() == Some("first") && !start.is_killed;
        assert!(all.iter().filter(|start| is_first(start)).count() <= 1, "two are first");
        if all.iter().all(|start| start.is_killed || start.said.is_some()) {
            break;
        }
        let pause = random.instant();
        if victim < all.len() {
            thread::sleep(pause);
            all[victim].process.kill();
            all[victim].is_killed = true;
            victim = all.len();
        } else if firsts_to_kill > 0 && all.iter().any(is_first) {
            thread::sleep(pause);
            // A second one would have said so by now.
            for start in &mut all {
                if start.said.is_none() {
                    start.said = start.process.try_hear();
                }
            }
            assert!(all.iter().filter(|start| is_first(start)).count() <= 1, "two are first");
            if let Some(first) = all.iter_mut().find(|start| is_first(start)) {
                first.process.kill();
                first.is_killed = true;
                firsts_to_kill -= 1;
            }
        }
        thread::yield_now();
    }
    let taken = std::fs::read_to_string(&log).unwrap_or_default();
    for (id, start) in all.iter_mut().enumerate() {
        let times = taken.lines().filter(|line| *line == id.to_string()).count();
        let what = match start.said.as_deref() {
            Some("first") => {
                assert_eq!(times, 0, "{id} is first, and was taken");
                "first"
            }
            Some(code) if code.starts_with("code") => {
                assert_eq!((code, times), (&*format!("code {id}"), 1));
                "taken"
            }
            Some(error) => {
                assert!(error.starts_with("error closed") || error.starts_with("error peer_gone"));
                assert!(times <= 1, "{id} was taken {times} times");
                "reported"
            }
            None => {
                assert!(start.is_killed && times <= 1, "{id} was taken {times} times");
                "killed"
            }
        };
        *counts.entry(what).or_default() += 1;
        start.process.hush();
    }
    for mut start in all {
        start.process.wait();
    }
}

/// Every second start is a task's.
fn start_any(url: &str, id: &str) -> anyipc::Result<SingleInstance> {
    #[cfg(feature = "tokio")]
    if id.parse().is_ok_and(|id: u32| id % 2 == 1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(SingleInstance::start_async(url, &launch(&[id])));
    }
    start(url, &[id])
}

/// Starts as the instance `id`: a first one takes launches until it is killed.
fn play(arguments: &[&str]) {
    let &[url, id, log] = arguments else { panic!("{arguments:?}") };
    say("there");
    assert_eq!(hear().as_deref(), Some("go"));
    end_with_parent();
    match start_any(url, id) {
        Ok(SingleInstance::First(mut first)) => {
            say("first");
            loop {
                let handover = first.next().unwrap();
                if id == "silent" {
                    say("took");
                    support::process::linger();
                }
                let other = handover.launch().args[0].to_str().unwrap().to_owned();
                let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
                file.write_all(format!("{other}\n").as_bytes()).unwrap();
                let _ = handover.answer(other.parse().unwrap());
            }
        }
        Ok(SingleInstance::Later(later)) => match later.wait() {
            Ok(code) => say(&format!("code {code}")),
            Err(error) => say(&format!("error {} {error}", error.kind().as_str())),
        },
        Err(error) => say(&format!("error {} {error}", error.kind().as_str())),
    }
}

#[test]
fn child() {
    serve(&[
        ("start", play),
        #[cfg(unix)]
        ("lost", lost),
    ]);
}
