//! `anyipc bench`: what it measures is for people; here it must work and leave nothing behind.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::time::Instant;

use common::{Place, WATCHDOG, parse};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn every_transport_pattern_and_size_has_its_row() {
    let place = Place::new();
    let file = place.path().join("bench.json");
    let done = place.run(["bench", "--quick", "--size", "64,64KiB", "--json", file.to_str().unwrap()]);
    let table = done.ok();
    let figures = parse(&std::fs::read_to_string(&file).unwrap());
    std::fs::remove_file(&file).unwrap();
    let rows = figures["rows"].as_array().unwrap();
    for (transport, peer) in [("shm", "process"), ("inproc", "thread")] {
        for pattern in ["round-trip", "stream"] {
            for size in [64, 64 << 10] {
                let row = rows.iter().find(|row| {
                    row["transport"] == transport && row["pattern"] == pattern && row["size"] == size
                });
                let row = row.unwrap_or_else(|| panic!("no row for {transport} {pattern} {size}"));
                assert_eq!(row["peer"], peer);
                assert!(row["ratio"].as_f64().unwrap() >= 1.0);
                assert!(row["median"]["messages_per_second"].as_f64().unwrap() > 0.0);
                assert!(row["median"]["peer_cpu_ns_per_message"].as_f64().unwrap() > 0.0);
                assert_eq!(row["median"]["p50_ns"].is_null(), pattern == "stream");
            }
        }
        assert!(table.contains(transport), "{table}");
    }
    assert!(table.contains("1.00×") && table.contains("Not shown"), "{table}");
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[test]
fn json_without_a_file_is_the_output() {
    let place = Place::new();
    let done = place.run(["bench", "--quick", "--json", "--transport", "inproc", "--size", "64"]);
    done.ok();
    let [record]: [Value; 1] = done.records().try_into().unwrap();
    assert_eq!(record["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn an_unknown_transport_is_a_usage_error() {
    let done = Place::new().run(["bench", "--json", "--transport", "carrier-pigeon"]);
    assert_eq!(done.failure(), (2, "usage".into(), None));
}

/// The second process of a benchmark that has begun.
fn second_process(first: u32) -> u32 {
    let started = Instant::now();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        if let Some(child) = children.split_whitespace().next() {
            return child.parse().unwrap();
        }
        assert!(started.elapsed() < WATCHDOG, "no second process");
        std::thread::yield_now();
    }
}

fn is_gone(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
    // Where nobody reaps orphans, one that has ended stays as a zombie.
    status.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

#[test]
fn signals_leave_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let bench = place.start(["bench", "--transport", "shm"]);
        let second = second_process(bench.pid());
        bench.signal(signal);
        let (status, data, errors) = bench.end();
        assert_eq!(status.code(), Some(130), "{errors:?}");
        assert!(data.is_empty() && errors.is_empty(), "{data:?} {errors:?}");
        assert!(is_gone(second));
        assert!(place.files().is_empty(), "{:?}", place.files());
    }
}

#[test]
fn the_second_process_ends_with_the_first() {
    let place = Place::new();
    let bench = place.start(["bench", "--transport", "shm"]);
    let second = second_process(bench.pid());
    bench.kill();
    let started = Instant::now();
    while !is_gone(second) {
        assert!(started.elapsed() < WATCHDOG, "the second process goes on");
        std::thread::yield_now();
    }
}

#[test]
fn the_death_of_the_second_process_is_an_error() {
    let place = Place::new();
    let bench = place.start(["bench", "--transport", "shm"]);
    let second = second_process(bench.pid());
    let second = rustix::process::Pid::from_raw(second.try_into().unwrap()).unwrap();
    rustix::process::kill_process(second, Signal::KILL).unwrap();
    let (status, _, errors) = bench.end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.iter().any(|line| line.contains("the second process ended")), "{errors:?}");
    assert!(place.files().is_empty(), "{:?}", place.files());
}
