//! The side that must notice, and lose nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyipc::{Channel, Endpoint, ErrorKind, Registry};

use super::{BEGUN, Ending, Pattern, Round, SENT, answer, ask, receive_all, send_all};
use crate::support::counters::Counters;
#[cfg(feature = "tokio")]
use crate::support::halves::Mode;
use crate::support::halves::{Rx, Tx, run, run_both, split};
use crate::support::place::files;
use crate::support::process::{Process, end_with_parent, say, spawn};
use crate::support::random::Random;
use crate::support::resources::{channel_mappings, descriptors};
use crate::support::schemes::url;
use crate::support::watchdog::{eventually, watchdog};

/// The promise.
const SOON: Duration = Duration::from_secs(1);

/// `survivor <first> <step> <end> <seed> <dir> <scheme>`: plays the rounds `first`, `first + step`,
/// … below `end`, and says `ok <milliseconds>` or `failed …` for each.
pub(crate) fn survivor(words: &[&str]) {
    end_with_parent();
    let number = |index: usize| words[index].parse::<u64>().unwrap();
    let (first, step, end, seed, dir) =
        (number(0), number(1), number(2), number(3), Path::new(words[4]));
    // What is made once and kept does not count as a leak.
    let address: &'static str = url(words[5], "kill").leak();
    drop(anyipc::create(address).unwrap());
    let before = descriptors();
    for index in (first..end).step_by(step as usize) {
        let round = Round::new(address, index, seed);
        let _watchdog = watchdog(&format!("{round:?}"), Duration::from_secs(40));
        match play(round, dir).and_then(|slowest| tidy(address, dir, &before).map(|()| slowest)) {
            Ok(slowest) => say(&format!("ok {}", slowest.as_millis())),
            Err(why) => say(&format!("failed {round:?}: {why}")),
        }
    }
    say("done");
}

/// Everything is as it was before the round; the name is free at once.
fn tidy(address: &str, dir: &Path, before: &[String]) -> Result<(), String> {
    let start = Instant::now();
    let next = anyipc::create(address).map_err(|error| format!("no new owner: {error}"))?;
    if start.elapsed() > SOON {
        return Err(format!("a new owner took {:?}", start.elapsed()));
    }
    next.close().map_err(|error| format!("closing the new owner: {error}"))?;
    let left = files(dir);
    if !left.is_empty() {
        return Err(format!("files are left: {left:?}"));
    }
    let swept = Registry::global().sweep(false).map_err(|error| error.to_string())?;
    if !swept.is_empty() {
        return Err(format!("a sweep finds {swept:?}"));
    }
    let after = descriptors();
    let kinds = |all: &[String]| {
        all.iter().map(|t| t.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    if kinds(&after) != kinds(before) {
        return Err(format!("descriptors before {before:?}, after {after:?}"));
    }
    match channel_mappings() {
        0 => Ok(()),
        left => Err(format!("{left} mappings are left")),
    }
}

fn play(round: Round, dir: &Path) -> Result<Duration, String> {
    let path = dir.join("counters");
    let log = Arc::new(Counters::create(&path));
    let url = round.url(round.survivor);
    let owner = (!round.kills_owner).then(|| anyipc::create(&url).unwrap());
    let role =
        format!("victim {} {} {} {}", round.index, round.seed, path.display(), round.address);
    let mut victim = spawn(dir, &role);
    let mut random = Random::new(round.seed ^ !round.index);
    let delay = match round.dawdles && round.capacity.is_none() {
        // The ring is to grow meanwhile.
        true => Duration::from_micros(random.below(60_000)),
        false => random.instant(),
    };
    let result = if round.pattern == Pattern::Connect {
        connect_until_killed(round, owner, &mut victim, delay, &log)
    } else {
        let channel = match &owner {
            Some(owner) => owner.accept_timeout(Duration::from_secs(20)),
            None => anyipc::connect(&url),
        };
        channel.map_err(|e| format!("no channel: {e}")).and_then(|channel| {
            let killer = std::thread::spawn(move || kill(victim, delay));
            let (endings, received) = work(round, channel);
            let death = killer.join().unwrap();
            judge(round, &endings, received, &death, &log)
        })
    };
    std::fs::remove_file(&path).unwrap();
    result
}

/// The victim's end: when it was killed, and when the kernel had cleaned up, which takes long on a
/// busy machine.
struct Death {
    killed: Instant,
    over: Instant,
}

/// Kills at a random instant.
fn kill(mut victim: Process, delay: Duration) -> Death {
    std::thread::sleep(delay);
    let killed = Instant::now();
    victim.kill();
    victim.wait();
    Death { killed, over: Instant::now() }
}

/// Plays the survivor's part until the channel ends: how every call ended, and the number of
/// messages.
fn work(round: Round, channel: Channel) -> (Vec<Ending>, u64) {
    let (mode, way) = (round.survivor, round.way);
    let pace = if round.dawdles { 16 << 10 } else { usize::MAX };
    let (mut out, mut back) = (round.to_victim(), round.to_survivor());
    if round.pattern == Pattern::Both {
        let (sent, received) = run_both(
            mode,
            channel,
            move |mut tx| async move {
                [
                    send_all(&mut tx, &mut out, way, None).await,
                    send_all(&mut tx, &mut out, way, None).await,
                ]
            },
            async |mut rx| {
                [
                    receive_all(&mut rx, &mut back, pace).await,
                    receive_all(&mut rx, &mut back, pace).await,
                ]
            },
        );
        return (sent.into_iter().chain(received).collect(), back.count());
    }
    let endings = run(mode, async {
        let (mut tx, mut rx): (Tx, Rx) = split(channel, mode);
        let first = match round.pattern {
            Pattern::Ask => ask(&mut tx, &mut out, &mut rx, &mut back, way, None).await,
            Pattern::Answer => answer(&mut tx, &mut out, &mut rx, &mut back, way, None).await,
            Pattern::Full => send_all(&mut tx, &mut out, way, None).await,
            _ => receive_all(&mut rx, &mut back, pace).await,
        };
        // Every later call says the same.
        let last = [
            receive_all(&mut rx, &mut back, pace).await,
            send_all(&mut tx, &mut out, way, None).await,
        ];
        [first].into_iter().chain(last).collect()
    });
    (endings, back.count())
}

fn judge(
    round: Round,
    endings: &[Ending],
    received: u64,
    death: &Death,
    log: &Counters,
) -> Result<Duration, String> {
    let mut slowest = Duration::ZERO;
    for ending in endings {
        slowest = slowest.max(ending.at.saturating_duration_since(death.killed));
        if ending.kind != ErrorKind::PeerGone {
            return Err(format!("{} ended with {}", ending.half, ending.text));
        }
        if ending.at > death.over + SOON {
            return Err(format!(
                "{} said PeerGone {:?} after the end",
                ending.half,
                ending.at - death.over
            ));
        }
        if ending.at < death.killed {
            return Err(format!("{} said PeerGone while the victim lived", ending.half));
        }
    }
    let (begun, sent) = (log.get(BEGUN), log.get(SENT));
    if (received < sent && round.delivers()) || received > begun {
        return Err(format!("{received} messages came; {sent} were sent Ok, {begun} were begun"));
    }
    if matches!(round.pattern, Pattern::Idle | Pattern::Full) && received != 0 {
        return Err(format!("{received} messages came out of nowhere"));
    }
    Ok(slowest)
}

/// One short connection after the other, until the victim is dead for sure.
fn connect_until_killed(
    round: Round,
    owner: Option<Endpoint>,
    victim: &mut Process,
    delay: Duration,
    log: &Counters,
) -> Result<Duration, String> {
    let dead = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let peer = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            loop {
                let certain = dead.load(SeqCst);
                let start = Instant::now();
                let met = meet(round, owner.as_ref());
                slowest = slowest.max(start.elapsed());
                match met {
                    Ok(channel) => greeted(round, channel)?,
                    Err(error) => match error.kind() {
                        ErrorKind::TimedOut | ErrorKind::NoOwner if certain => return Ok(slowest),
                        // The victim has not begun yet, or just died.
                        ErrorKind::TimedOut | ErrorKind::NoOwner => {}
                        _ => return Err(format!("{error}")),
                    },
                }
                if slowest > SOON {
                    return Err(format!("a call took {slowest:?}"));
                }
            }
        });
        eventually("the victim has begun", || log.get(BEGUN) == 1 || peer.is_finished());
        std::thread::sleep(delay);
        victim.kill();
        victim.wait();
        dead.store(true, SeqCst);
        peer.join().unwrap()
    })
}

const SHORT_TIMEOUT: Duration = Duration::from_millis(100);

fn meet(round: Round, owner: Option<&Endpoint>) -> anyipc::Result<Channel> {
    let short_url = || round.url(round.survivor).replace("timeout=20s", "timeout=100ms");
    #[cfg(feature = "tokio")]
    if round.survivor == Mode::Async {
        return run(Mode::Async, async {
            let channel = match owner {
                // Giving up is dropping the future.
                Some(owner) => {
                    match tokio::time::timeout(SHORT_TIMEOUT, owner.accept_async()).await {
                        Ok(channel) => channel?,
                        Err(_) => {
                            return Err(anyipc::Error::new(
                                anyipc::Operation::Accept,
                                ErrorKind::TimedOut,
                            ));
                        }
                    }
                }
                None => anyipc::connect_async(short_url()).await?,
            };
            Ok(channel.into_sync())
        });
    }
    match owner {
        Some(owner) => owner.accept_timeout(SHORT_TIMEOUT),
        None => anyipc::connect(short_url()),
    }
}

/// A connection brings its one message and an orderly end, unless the victim died in between.
fn greeted(round: Round, channel: Channel) -> Result<(), String> {
    let mode = round.survivor;
    let mut stream = round.to_survivor();
    let ending = run(mode, async {
        let (_tx, mut rx) = split(channel, mode);
        receive_all(&mut rx, &mut stream, usize::MAX).await
    });
    match (ending.kind, stream.count()) {
        (ErrorKind::Closed, 1) | (ErrorKind::PeerGone, 0 | 1) => Ok(()),
        (_, count) => {
            Err(format!("a connection ended after {count} messages with {}", ending.text))
        }
    }
}
