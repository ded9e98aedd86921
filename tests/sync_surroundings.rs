//! The locks of `anyipc::sync` in unfriendly surroundings: more participants than there is room
//! for, names that are removed, programs that replace themselves, clocks that differ, a full file
//! system; and how long the unluckiest one waits.
#![cfg(all(target_os = "linux", feature = "sync"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyipc::sync::{Mutex, RwLock, Semaphore};
use anyipc::{Error, ErrorKind, Registry, Result};
use support::place::Scratch;
use support::process::{end_with_parent, hear, linger, say, serve, spawn_here, spawn_under};
use support::schemes::unique;
use support::settings::setting;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(20);
/// What a death may cost the next locker.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn child() {
    serve(&[
        ("hold", hold),
        ("hold_and_exec", hold_and_exec),
        ("elsewhen", elsewhen),
        ("full", full),
        ("turns", turns),
    ]);
}

fn name(tag: &str) -> String {
    format!("shm://{}", unique(tag))
}

/// A way to lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Mutex,
    Read,
    Write,
    Permit,
}

const WAYS: [Way; 4] = [Way::Mutex, Way::Read, Way::Write, Way::Permit];

impl Way {
    fn parse(text: &str) -> Self {
        WAYS.into_iter().find(|way| format!("{way:?}") == text).unwrap()
    }

    /// What keeps this out.
    fn blocker(self) -> Self {
        match self {
            Self::Read => Self::Write,
            Self::Write => Self::Read,
            same => same,
        }
    }

    /// Makes the object, with 7 in it or one permit. It lives as long as what this returns.
    fn create(self, name: &str) -> Box<dyn std::any::Any> {
        match self {
            Self::Mutex => Box::new(Mutex::create(name, 7u64).unwrap()),
            Self::Read | Self::Write => Box::new(RwLock::create(name, 7u64).unwrap()),
            Self::Permit => Box::new(Semaphore::create(name, 1).unwrap()),
        }
    }

    /// Opens the object, locks it within this time, and calls `then`. True if an owner died.
    fn lock(self, name: &str, timeout: Duration, then: impl FnOnce()) -> Result<bool> {
        match self {
            Self::Mutex => {
                let mutex = Mutex::<u64>::open(name)?;
                let guard = mutex.lock_timeout(timeout)?;
                let died = guard.owner_died();
                let _guard = guard.recover(|_| {});
                then();
                Ok(died)
            }
            Self::Read => {
                let lock = RwLock::<u64>::open(name)?;
                let guard = lock.read_timeout(timeout)?;
                then();
                Ok(guard.owner_died())
            }
            Self::Write => {
                let lock = RwLock::<u64>::open(name)?;
                let guard = lock.write_timeout(timeout)?;
                let died = guard.owner_died();
                let _guard = guard.recover(|_| {});
                then();
                Ok(died)
            }
            Self::Permit => {
                let semaphore = Semaphore::open(name)?;
                let _permit = semaphore.acquire_timeout(timeout)?;
                then();
                Ok(false)
            }
        }
    }
}

fn hold(arguments: &[&str]) {
    let hold = || {
        say("held");
        linger();
    };
    Way::parse(arguments[0]).lock(arguments[1], LONG, hold).unwrap();
}

/// The program that replaces this one goes on until the parent ends its input.
fn hold_and_exec(arguments: &[&str]) {
    Way::parse(arguments[0])
        .lock(arguments[1], LONG, || {
            say("held");
            hear();
            panic!("{}", Command::new("cat").exec());
        })
        .unwrap();
}

#[test]
fn exec_gives_back_what_is_held() {
    let _watchdog = watchdog("exec", Duration::from_secs(50));
    for way in WAYS {
        let name = name("sync.exec");
        let _object = way.create(&name);
        let mut holder = spawn_here(&format!("hold_and_exec {way:?} {name}"));
        holder.expect("held");
        let refused = way.blocker().lock(&name, Duration::ZERO, || {}).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut, "{way:?}");
        holder.say("go on");
        let start = Instant::now();
        let died = way.blocker().lock(&name, LONG, || {}).unwrap();
        assert_eq!(died, matches!(way, Way::Mutex | Way::Write), "{way:?}");
        assert!(start.elapsed() < 2 * TOLD_WITHIN, "{way:?}: {:?}", start.elapsed());
        // The process lives: it is the lock that has gone.
        assert!(
            rustix::process::test_kill_process(
                rustix::process::Pid::from_raw(holder.pid() as i32).unwrap()
            )
            .is_ok()
        );
        holder.hush();
        holder.finish();
    }
}

#[test]
fn a_removed_object_ends_all_waits() {
    let _watchdog = watchdog("removed", Duration::from_secs(50));
    for way in WAYS {
        let name = name("sync.removed");
        let _object = way.create(&name);
        let mut holder = spawn_here(&format!("hold {:?} {name}", way.blocker()));
        holder.expect("held");
        let errors: Vec<Error> = std::thread::scope(|scope| {
            let waiters: Vec<_> =
                (0..2).map(|_| scope.spawn(|| way.lock(&name, LONG, || {}).unwrap_err())).collect();
            std::thread::sleep(Duration::from_millis(50));
            Registry::global().remove(name.as_str(), true).unwrap();
            waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect()
        });
        for error in errors {
            // A waiter that had not yet opened it finds nothing.
            let kinds = [ErrorKind::Removed, ErrorKind::NotFound];
            assert!(kinds.contains(&error.kind()), "{way:?}: {error}");
        }
    }
}

/// Each handle is a participant, and each has its lock at the same time; one more is refused, and
/// finds room when another one goes.
#[test]
fn participants_come_to_an_end() {
    let _watchdog = watchdog("participants", Duration::from_secs(50));
    let name = name("sync.crowd");
    let first = RwLock::create(&name, 1u8).unwrap();
    let mut crowd = vec![first];
    let error = loop {
        match RwLock::<u8>::open(&name) {
            Ok(lock) => crowd.push(lock),
            Err(error) => break error,
        }
        assert!(crowd.len() < 1000);
    };
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert!(error.to_string().contains("176"), "{error}");
    assert_eq!(crowd.len(), 176);
    let guards: Vec<_> = crowd.iter().map(|lock| lock.read().unwrap()).collect();
    // Each one alone keeps the writer out.
    for guard in guards {
        assert_eq!(crowd[0].try_write().unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(guard);
    }
    drop(crowd[0].try_write().unwrap());
    // A waiter without room for another participant waits all the same.
    let guard = crowd[0].write().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(crowd[1].read_timeout(LONG).unwrap()));
        std::thread::sleep(Duration::from_millis(20));
        drop(guard);
        waiter.join().unwrap();
    });
    crowd.truncate(175);
    drop(RwLock::<u8>::open(&name).unwrap());
}

/// A process with a monotonic clock of its own, a day ahead.
fn elsewhen(arguments: &[&str]) {
    let (name, start) = (arguments[0], Instant::now());
    let timeout = Duration::from_millis(300);
    for way in WAYS {
        let refused = way.lock(&format!("{name}.{way:?}"), timeout, || {}).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut, "{way:?}");
    }
    let passed = start.elapsed();
    assert!(passed >= 4 * timeout && passed < 40 * timeout, "{passed:?}");
    say("timed out");
    for way in WAYS {
        way.lock(&format!("{name}.{way:?}"), LONG, || {}).unwrap();
    }
    say("locked");
    let hold = || {
        say("held");
        linger();
    };
    Way::Mutex.lock(&format!("{name}.Mutex"), LONG, hold).unwrap();
}

#[test]
fn clocks_that_differ_by_a_day_share_a_lock() {
    let _watchdog = watchdog("clocks", Duration::from_secs(50));
    let ahead = ["unshare", "--time", "--fork", "--kill-child", "--monotonic", "86400"];
    let may = Command::new(ahead[0]).args(&ahead[1..]).arg("true").output();
    if !may.is_ok_and(|done| done.status.success()) {
        return println!("no time namespace for this user: not tested");
    }
    let name = name("sync.day");
    let objects: Vec<_> = WAYS.map(|way| way.create(&format!("{name}.{way:?}"))).into();
    let mut holders: Vec<_> = WAYS
        .iter()
        .map(|way| {
            let mut holder = spawn_here(&format!("hold {:?} {name}.{way:?}", way.blocker()));
            holder.expect("held");
            holder
        })
        .collect();
    let base = std::env::var_os("ANYIPC_DIR").unwrap_or("/dev/shm".into());
    let mut child = spawn_under(&ahead, base.as_ref(), &format!("elsewhen {name}"));
    child.expect("timed out");
    holders.iter_mut().for_each(|holder| holder.hush());
    child.expect("locked");
    child.expect("held");
    // Its death is the kernel's word, not a clock's.
    let mutex = format!("{name}.Mutex");
    assert_eq!(
        Way::Mutex.lock(&mutex, Duration::ZERO, || {}).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    child.kill();
    assert!(Way::Mutex.lock(&mutex, LONG, || {}).unwrap());
    holders.iter_mut().for_each(|holder| holder.finish());
    drop(objects);
}

/// In a directory of its own that has no room left.
fn full(_: &[&str]) {
    let objects: Vec<_> = WAYS.map(|way| (way, way.create(&format!("shm://{way:?}")))).into();
    let mut rest = Vec::new();
    let error = loop {
        match Mutex::create(format!("shm://rest{}", rest.len()), 0u64) {
            Ok(mutex) => rest.push(mutex),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    // What there is works on, with waits.
    for (way, _) in &objects {
        let address = format!("shm://{way:?}");
        std::thread::scope(|scope| {
            way.blocker()
                .lock(&address, LONG, || {
                    scope.spawn(|| way.lock(&address, LONG, || {}).unwrap());
                    let waits = way.lock(&address, Duration::from_millis(30), || {}).unwrap_err();
                    assert_eq!(waits.kind(), ErrorKind::TimedOut);
                })
                .unwrap();
        });
    }
    say("good");
}

#[test]
fn a_full_file_system_harms_no_lock() {
    let _watchdog = watchdog("full", Duration::from_secs(50));
    let script = "mount -t tmpfs -o size=1m,mode=0700 none \"$ANYIPC_DIR\" && exec \"$@\"";
    let wrapper = ["unshare", "-m", "sh", "-c", script, "sh"];
    let place = Scratch::new("sync.full");
    let may = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg("true")
        .env("ANYIPC_DIR", place.path())
        .output();
    if !may.is_ok_and(|done| done.status.success()) {
        return println!("no mount namespace for this user: not tested");
    }
    let mut child = spawn_under(&wrapper, place.path(), "full");
    child.expect("good");
    child.finish();
}

/// Time that this thread could run and another one ran, as the kernel counts it.
fn in_queue() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').nth(1).and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Takes turns with others, and says how long it waited at worst, without the time in which it
/// waited for a processor, and how long it had the lock on average.
fn turns(arguments: &[&str]) {
    let mutex = Mutex::<u64>::open(arguments[0]).unwrap();
    let rounds: u32 = arguments[1].parse().unwrap();
    let hold = Duration::from_micros(arguments[2].parse().unwrap());
    say("ready");
    hear();
    end_with_parent();
    let (mut longest, mut held) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let (before, start) = (in_queue(), Instant::now());
        let mut guard = mutex.lock().unwrap().into_inner();
        let locked = Instant::now();
        *guard += 1;
        while locked.elapsed() < hold {
            std::hint::spin_loop();
        }
        drop(guard);
        held += locked.elapsed();
        longest = longest.max((locked - start).saturating_sub(in_queue() - before));
    }
    say(&format!("{} {}", longest.as_nanos(), (held / rounds).as_nanos()));
}

/// Four processes: none waits out of proportion. `ANYIPC_TURNS=250000` for a million rounds.
#[test]
fn nobody_waits_much_longer_than_the_others_hold() {
    let _watchdog = watchdog("turns", Duration::from_secs(500));
    let rounds = setting("ANYIPC_TURNS", 2000);
    let hold = setting("ANYIPC_TURNS_HOLD", 80);
    let name = name("sync.turns");
    let mutex = Mutex::create(&name, 0u64).unwrap();
    let mut children: Vec<_> =
        (0..4).map(|_| spawn_here(&format!("turns {name} {rounds} {hold}"))).collect();
    children.iter_mut().for_each(|child| child.expect("ready"));
    children.iter_mut().for_each(|child| child.say("go"));
    let numbers: Vec<Vec<u64>> = children
        .iter_mut()
        .map(|child| {
            let line = child.hear_within(Duration::from_secs(400));
            line.split(' ').map(|number| number.parse().unwrap()).collect()
        })
        .collect();
    let longest = numbers.iter().map(|numbers| numbers[0]).max().unwrap();
    let mean = numbers.iter().map(|numbers| numbers[1]).sum::<u64>() / 4;
    println!(
        "{rounds} rounds each: held for {mean} ns, waited {longest} ns at worst: {} times",
        longest / mean
    );
    assert_eq!(*mutex.lock().unwrap().into_inner(), 4 * rounds);
    // How many times is a question for a quiet machine; here others want the processor, too.
    assert!(longest < 5_000_000_000, "{numbers:?}");
}
