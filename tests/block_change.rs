//! Waiting for a change of a block: between processes, by threads, tasks and selects.
#![cfg(feature = "shared-memory")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Block, BlockExt, BlockWatch, Endpoint, Error, ErrorKind, Registry, Select};
use support::process::{end_with_parent, linger, say, serve, spawn_here};
use support::schemes::unique;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn child() {
    serve(&[
        ("writer", writer),
        ("reader", reader),
        ("answer", answer),
        ("echo", echo),
        ("opener", opener),
    ]);
}

fn create(tag: &str) -> (String, Endpoint) {
    let name = format!("shm://{}", unique(tag));
    let owner = anyipc::create(format!("{name}?size=4KiB")).unwrap();
    (name, owner)
}

fn open(name: &str) -> Endpoint {
    anyipc::open(name).unwrap()
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value[..8].try_into().unwrap())
}

fn store(block: &Block, value: u64) {
    block.store_bytes(&value.to_le_bytes()).unwrap();
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().unwrap().kind()
}

/// Stores 1 to `last`, one each 100 µs.
fn writer(words: &[&str]) {
    end_with_parent();
    let endpoint = open(words[0]);
    let (block, start) = (endpoint.block().unwrap(), Instant::now());
    for value in 1..=words[1].parse().unwrap() {
        store(block, value);
        while start.elapsed() < Duration::from_micros(100) * value as u32 {
            thread::yield_now();
        }
    }
}

/// Reads until the last value, and says how many it saw.
fn reader(words: &[&str]) {
    end_with_parent();
    let endpoint = open(words[0]);
    let (block, last) = (endpoint.block().unwrap(), words[2].parse().unwrap());
    let mut count = 0;
    let (mut now, mut seen) = (0, 0);
    say("ready");
    let mut next: Box<dyn FnMut(&mut u64) -> u64> = match words[1] {
        "newer" => Box::new(|seen| number(&block.load_newer_bytes(seen, LONG).unwrap())),
        "select" => {
            let (mut watch, mut select) = (block.watch().unwrap(), Select::new().unwrap());
            *watch.seen_mut() = 0;
            Box::new(move |seen| {
                select.wait_timeout(&mut [&mut watch], LONG).unwrap();
                let value = block.load_newer_bytes(watch.seen_mut(), Duration::ZERO).unwrap();
                *seen = watch.seen();
                number(&value)
            })
        }
        #[cfg(feature = "tokio")]
        "task" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let (mut watch, runtime) = (block.watch().unwrap(), runtime.unwrap());
            *watch.seen_mut() = 0;
            Box::new(move |seen| {
                runtime.block_on(watch.changed()).unwrap();
                let value = block.load_newer_bytes(&mut 0, Duration::ZERO).unwrap();
                *seen = watch.seen();
                number(&value)
            })
        }
        other => panic!("{other}"),
    };
    while now < last {
        let before = (now, seen);
        now = next(&mut seen);
        assert!(now >= before.0 && seen > before.1, "{now} ({seen}) after {before:?}");
        count += 1;
    }
    say(&count.to_string());
}

#[test]
fn no_reader_misses_the_last_value() {
    let _watchdog = watchdog("last_value", MINUTE);
    const LAST: u64 = 10_000;
    let (name, owner) = create("change.last");
    let mut kinds = vec!["newer", "newer", "select"];
    if cfg!(feature = "tokio") {
        kinds.push("task");
    }
    let start =
        |kind: &&str| (spawn_here(&format!("reader {name} {kind} {LAST}")), kind.to_string());
    let mut readers: Vec<_> = kinds.iter().map(start).collect();
    readers.iter_mut().for_each(|(reader, _)| reader.expect("ready"));
    let mut writer = spawn_here(&format!("writer {name} {LAST}"));
    writer.finish();
    for (reader, kind) in &mut readers {
        println!("{kind}: {} of {LAST} values", reader.hear());
        reader.finish();
    }
    assert_eq!(owner.block().unwrap().version().unwrap(), LAST);
}

/// Stores each value of one block in another.
fn answer(words: &[&str]) {
    end_with_parent();
    let endpoints = [open(words[0]), open(words[1])];
    let [questions, answers] = endpoints.each_ref().map(|endpoint| endpoint.block().unwrap());
    let mut seen = 0;
    loop {
        store(answers, number(&questions.load_newer_bytes(&mut seen, LONG).unwrap()));
    }
}

/// Asks and waits for the answer, again and again. By the end of slices alone each answer would
/// take 100 ms.
fn ask(how: &str, mut wait: impl FnMut(&mut BlockWatch)) {
    let [(questions, asker), (answers, reader)] = ["ask", "answer"].map(create);
    let mut child = spawn_here(&format!("answer {questions} {answers}"));
    let mut watch = reader.block().unwrap().watch().unwrap();
    let mut times: Vec<_> = (1..=200)
        .map(|value| {
            let start = Instant::now();
            store(asker.block().unwrap(), value);
            wait(&mut watch);
            assert_eq!(watch.seen(), value);
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{how}: {:?} in the median, {:?} at worst", times[100], times[199]);
    assert!(times[100] < Duration::from_millis(50), "{how}: {times:?}");
    child.kill();
}

#[test]
fn a_store_wakes_all_kinds_of_readers() {
    let _watchdog = watchdog("wakes", MINUTE);
    ask("thread", |watch| assert_ne!(watch.wait_timeout(LONG).unwrap(), 0));
    let mut select = Select::new().unwrap();
    ask("select", |watch| {
        select.wait_timeout(&mut [watch], LONG).unwrap();
        watch.try_wait().unwrap();
    });
    #[cfg(feature = "tokio")]
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        ask("task", |watch| assert_ne!(runtime.block_on(watch.changed()).unwrap(), 0));
    }
}

#[test]
fn versions_count_the_stores() {
    let (name, owner) = create("change.versions");
    let block = owner.block().unwrap();
    let (mut seen, mut watch) = (0, block.watch().unwrap());
    assert_eq!((block.version().unwrap(), watch.seen()), (0, 0));
    assert_eq!(kind(block.try_load_newer_bytes(&mut seen)), ErrorKind::WouldBlock);
    assert_eq!(kind(block.load_newer_bytes(&mut seen, Duration::ZERO)), ErrorKind::TimedOut);
    assert_eq!(kind(watch.wait_timeout(Duration::from_millis(1))), ErrorKind::TimedOut);
    let other = open(&name);
    for value in 1..=5 {
        store(other.block().unwrap(), value * 10);
    }
    assert_eq!(block.version().unwrap(), 5);
    assert_eq!(number(&block.load_newer_bytes(&mut seen, LONG).unwrap()), 50);
    assert_eq!(seen, 5);
    assert_eq!(kind(block.load_newer_bytes(&mut seen, Duration::ZERO)), ErrorKind::TimedOut);
    assert_eq!(watch.wait().unwrap(), 5);
    assert_eq!(kind(watch.try_wait()), ErrorKind::WouldBlock);
    // A version of a future that does not come: any other one is a change.
    seen = 99;
    assert_eq!(number(&block.load_newer_bytes(&mut seen, LONG).unwrap()), 50);
    assert_eq!(seen, 5);
    owner.close().unwrap();
    other.close().unwrap();
    assert_eq!(watch.seen(), 5);
    assert_eq!(open(&name).block().unwrap().version().unwrap(), 5, "a watch holds the memory");
    drop(watch);
    assert_eq!(kind(anyipc::open(&name)), ErrorKind::NotFound);
}

#[cfg(feature = "serde")]
#[test]
fn values_of_a_type() {
    let (_name, owner) = create("change.typed");
    let block = owner.block().unwrap();
    let mut seen = 0;
    thread::scope(|scope| {
        let reader = scope.spawn(|| block.load_newer::<(String, u32)>(&mut seen, LONG));
        block.store(&("dark", 11u32)).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), ("dark".into(), 11));
    });
    block.store_bytes(b"\xff").unwrap();
    assert_eq!(kind(block.load_newer::<String>(&mut seen, LONG)), ErrorKind::Codec);
    assert_eq!(seen, 2, "what cannot be decoded counts as seen");
    assert_eq!(kind(block.load_newer::<String>(&mut seen, Duration::ZERO)), ErrorKind::TimedOut);
}

/// Answers each change of the word at 8 in the one at 12.
fn echo(words: &[&str]) {
    end_with_parent();
    let endpoint = open(words[0]);
    let block = endpoint.block().unwrap();
    for seen in 0..words[1].parse().unwrap() {
        let word = block.wait_u32(8, seen, LONG).unwrap();
        assert_eq!(word, seen + 1);
        block.atomic_u32(12).unwrap().store(word, SeqCst);
        block.wake_u32(12).unwrap();
    }
}

#[test]
fn words_wake_threads() {
    let _watchdog = watchdog("words", MINUTE);
    const ROUNDS: u32 = 2000;
    let (name, owner) = create("change.words");
    let block = owner.block().unwrap();
    let mut echo = spawn_here(&format!("echo {name} {ROUNDS}"));
    for round in 0..ROUNDS {
        block.write_at(8, &(round + 1).to_ne_bytes()).unwrap();
        block.wake_u32(8).unwrap();
        assert_eq!(block.wait_u32(12, round, LONG).unwrap(), round + 1);
    }
    echo.finish();
    let start = Instant::now();
    let timeout = Duration::from_millis(150);
    assert_eq!(kind(block.wait_u32(12, ROUNDS, timeout)), ErrorKind::TimedOut);
    assert!(start.elapsed() >= timeout);
    for offset in [2, 4094, 4096, usize::MAX - 3] {
        assert_eq!(kind(block.wait_u32(offset, 0, timeout)), ErrorKind::OutOfBounds);
        assert_eq!(kind(block.wake_u32(offset)), ErrorKind::OutOfBounds);
    }
}

/// Opens it, does what tells it to be woken, and stays.
fn opener(words: &[&str]) {
    let endpoint = open(words[0]);
    say("ready");
    linger();
    drop(endpoint);
}

#[test]
fn a_removed_name_is_reported() {
    let _watchdog = watchdog("removed", MINUTE);
    let (name, owner) = create("change.removed");
    let mut holder = spawn_here(&format!("opener {name}"));
    holder.expect("ready");
    let block = owner.block().unwrap();
    let mut watches: [_; 2] = std::array::from_fn(|_| block.watch().unwrap());
    thread::scope(|scope| {
        let [waits, selects] = &mut watches;
        let reports: [thread::ScopedJoinHandle<'_, Result<(), Error>>; 4] = [
            scope.spawn(|| block.load_newer_bytes(&mut 0, LONG).map(drop)),
            scope.spawn(|| block.wait_u32(0, 0, LONG).map(drop)),
            scope.spawn(|| waits.wait_timeout(LONG).map(drop)),
            scope.spawn(|| {
                Select::new()?.wait_timeout(&mut [&mut *selects], LONG)?;
                selects.try_wait().map(drop)
            }),
        ];
        thread::sleep(Duration::from_millis(50));
        Registry::global().remove(&name, true).unwrap();
        for report in reports {
            assert_eq!(kind(report.join().unwrap()), ErrorKind::Removed);
        }
    });
    assert_eq!(kind(block.load_newer_bytes(&mut 0, LONG)), ErrorKind::Removed);
    assert_eq!(kind(block.store_bytes(b"x")), ErrorKind::Removed);
}
