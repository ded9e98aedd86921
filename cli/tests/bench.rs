//! `anyipc bench` works and leaves nothing behind; no test judges its figures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use common::{Place, parse};
use serde_json::Value;

/// Runs it with the shortest rows, and returns all figures.
#[track_caller]
fn measured(place: &Place, args: &[&str]) -> Value {
    let short = ["bench", "--json", "--slice", "5ms", "--repetitions", "2"];
    let done = place.run([&short, args].concat());
    done.ok();
    let [record]: [Value; 1] = done.records().try_into().unwrap();
    assert!(place.files().is_empty(), "{:?}", place.files());
    record
}

fn rows(record: &Value) -> &[Value] {
    record["rows"].as_array().unwrap()
}

/// The values of these fields in the rows, in order, each once.
fn said(record: &Value, fields: &[&str]) -> Vec<Vec<Value>> {
    let mut said: Vec<Vec<_>> = Vec::new();
    for row in rows(record) {
        let row = fields.iter().map(|field| row[field].clone()).collect();
        if !said.contains(&row) {
            said.push(row);
        }
    }
    said
}

#[test]
fn every_transport_pattern_and_size_has_its_row() {
    let place = Place::new();
    let file = place.path().join("bench.json");
    let done =
        place.run(["bench", "--quick", "--sizes", "64,64KiB", "--json", file.to_str().unwrap()]);
    let table = done.ok();
    let figures = parse(&std::fs::read_to_string(&file).unwrap());
    std::fs::remove_file(&file).unwrap();
    let repetitions = figures["settings"]["repetitions"].as_u64().unwrap();
    assert!((1..=5).contains(&repetitions));
    for (transport, peer) in [
        ("shm", "process"),
        ("local", "process"),
        ("pipe", "process"),
        ("tcp", "process"),
        ("inproc", "thread"),
    ] {
        for pattern in ["round-trip", "stream"] {
            for size in [64, 64 << 10] {
                let row = rows(&figures).iter().find(|row| {
                    row["transport"] == transport
                        && row["pattern"] == pattern
                        && row["size"] == size
                });
                let row = row.unwrap_or_else(|| panic!("no row for {transport} {pattern} {size}"));
                assert_eq!((&row["peer"], &row["wait"]), (&peer.into(), &"adaptive".into()));
                // A busy machine may give too few samples.
                if pattern == "stream" || size == 64 {
                    assert!(row["ratio"].as_f64().unwrap() >= 1.0);
                    assert_eq!(row["median"]["p50_ns"].is_null(), pattern == "stream");
                }
                assert!(row["times_limit"].is_null() && row["unstable"].is_array());
                if cfg!(target_os = "linux") {
                    // Other platforms do not tell what the cores or a process used.
                    assert!((0.0..=1.0).contains(&row["foreign"].as_f64().unwrap()));
                    assert!(row["median"]["peer_cpu_ns_per_message"].as_f64().unwrap() > 0.0);
                }
                assert_eq!(row["repetitions"].as_array().unwrap().len() as u64, repetitions);
                assert!(row["median"]["messages_per_second"].as_f64().unwrap() > 0.0);
            }
        }
        assert!(table.contains(transport), "{table}");
    }
    assert!(table.contains("1.00×") && table.contains("Not shown"), "{table}");
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[test]
fn the_matrix_is_complete() {
    let record = measured(&Place::new(), &["--transports", "shm,inproc", "--sizes", "64,100"]);
    assert_eq!(rows(&record).len(), 2 * 2 * 2 * 3);
    let groups = said(&record, &["pattern", "size", "wait"]);
    assert_eq!(groups.len(), 12, "{groups:?}");
    // Only rows that wait alike are compared: each group has its own fastest.
    let fastest = said(&record, &["pattern", "size", "wait", "ratio"]);
    let fastest = fastest.iter().filter(|row| row[0] == "stream" && row[3] == 1.0);
    assert_eq!(fastest.count(), 6);
}

/// Bare system calls are measured on Linux only.
#[cfg(target_os = "linux")]
#[test]
fn baselines_are_measured_in_the_same_table() {
    let place = Place::new();
    let args = ["--compare", "--transports", "shm", "--sizes", "64,5000", "--verify", "line"];
    let record = measured(&place, &args);
    assert_eq!(record["settings"]["verify"], "line");
    for (wait, names) in [
        ("spin", &["bare cache line", "bare pipe", "bare unix", "bare tcp", "memcpy", "shm"][..]),
        (
            "adaptive",
            &["bare futex", "bare eventfd", "bare pipe", "bare unix", "bare tcp", "memcpy", "shm"],
        ),
        (
            "block",
            &["bare futex", "bare eventfd", "bare pipe", "bare unix", "bare tcp", "memcpy", "shm"],
        ),
    ] {
        for (pattern, size) in
            [("round-trip", 64), ("round-trip", 5000), ("stream", 64), ("stream", 5000)]
        {
            let group = |row: &&Value| {
                row["wait"] == wait && row["pattern"] == pattern && row["size"] == size
            };
            let mut found: Vec<_> = rows(&record)
                .iter()
                .filter(group)
                .map(|row| row["transport"].as_str().unwrap())
                .collect();
            found.sort_unstable();
            let mut names = names.to_vec();
            names.sort_unstable();
            assert_eq!(found, names, "{wait} {pattern} {size}");
        }
    }
    for row in
        rows(&record).iter().filter(|row| row["transport"] == "shm" && row["pattern"] == "stream")
    {
        assert!(row["times_limit"].as_f64().unwrap() > 0.0 && row["ratio"] == 1.0, "{row}");
    }
    let few = measured(
        &place,
        &["--compare=futex", "--transports", "shm", "--sizes", "64", "--waits", "block"],
    );
    assert_eq!(said(&few, &["carrier", "baseline"]).len(), 2);
}

#[test]
fn files_hold_the_same_rows() {
    let place = Place::new();
    let path = |name: &str| place.path().join(name);
    let mut args =
        vec!["bench", "--slice", "5ms", "--repetitions", "1", "--transports", "inproc", "--quick"];
    let names = ["all.json", "all.csv", "all.md", "all.svg"];
    let paths = names.map(|name| path(name).to_str().unwrap().to_owned());
    for (flag, path) in ["--json", "--csv", "--markdown", "--svg"].iter().zip(&paths) {
        args.extend([flag, path.as_str()]);
    }
    let table = place.run(args).ok();
    let [json, csv, markdown, svg] = paths.map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        text
    });
    let record = parse(&json);
    assert_eq!(rows(&record).len(), 8);
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let titles = lines.next().unwrap();
    let field = |fields: &[&str], title: &str| {
        fields[titles.iter().position(|t| *t == title).unwrap()].to_owned()
    };
    for (row, fields) in rows(&record).iter().zip(lines) {
        assert_eq!(field(&fields, "size"), row["size"].to_string());
        assert_eq!(field(&fields, "pattern"), row["pattern"].as_str().unwrap());
        let rate: f64 = field(&fields, "messages_per_second").parse().unwrap();
        assert!((rate / row["median"]["messages_per_second"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    }
    assert_eq!(markdown.lines().filter(|line| line.starts_with("| ")).count(), 2 + 8);
    assert!(markdown.contains("| round-trip | 64 B | adaptive | inproc |"), "{markdown}");
    assert!(svg.starts_with("<svg") && svg.contains("inproc"), "{svg}");
    assert!(table.contains("round-trip"), "{table}");
}

#[cfg(target_os = "linux")]
#[test]
fn gaps_and_rates_pace_round_trips() {
    let place = Place::new();
    let only = ["--transports", "shm", "--sizes", "64", "--waits", "block"];
    let record =
        measured(&place, &[&only[..], &["--gap", "20us,500us", "--compare=futex"]].concat());
    let gaps = [20_000, 500_000].map(|gap| vec![Value::from("round-trip"), Value::from(gap)]);
    assert_eq!(said(&record, &["pattern", "gap_ns"]), gaps);
    assert_eq!(rows(&record).len(), 4);
    for row in rows(&record) {
        // A gap after each bounds their number; each is two messages.
        let most = 2e9 / row["gap_ns"].as_f64().unwrap();
        assert!(row["median"]["messages_per_second"].as_f64().unwrap() < most, "{row}");
        assert!(row["median"]["messages"].as_u64().unwrap() > 0);
    }
    let record = measured(&place, &[&only[..], &["--rate", "2000"]].concat());
    let [row] = rows(&record) else { panic!("{record}") };
    assert_eq!((&row["rate"], &row["gap_ns"]), (&2000.0.into(), &Value::Null));
    assert!(row["median"]["messages_per_second"].as_f64().unwrap() < 2.0 * 2000.0 * 1.05, "{row}");
}

#[cfg(target_os = "linux")]
#[test]
fn messages_in_place_in_batches_and_on_one_core() {
    let place = Place::new();
    let only = ["--transports", "shm,local,inproc", "--sizes", "64,100KiB", "--waits", "adaptive"];
    let record = measured(&place, &[&only[..], &["--in-place", "--trust", "same-user"]].concat());
    assert_eq!(record["settings"]["in_place"], true);
    let trusting = |row: &&Value| {
        row["options"].as_array().unwrap().contains(&serde_json::json!(["trust", "same-user"]))
    };
    assert_eq!(rows(&record).iter().filter(trusting).count(), 3 * 2 * 2);
    let streams = ["--patterns", "stream", "--batch", "7", "--compare=unix,cache-line"];
    let record = measured(&place, &[&only[..], &streams].concat());
    assert_eq!((&record["settings"]["batch"], rows(&record).len()), (&7.into(), 2 * 4));
    let one = [
        "--pin",
        "0,0",
        "--gap",
        "1ms",
        "--transports",
        "shm",
        "--sizes",
        "64",
        "--waits",
        "block",
    ];
    let record = measured(&place, &one);
    assert_eq!(record["settings"]["pinned"], serde_json::json!({"driver": 0, "peer": 0}));
    assert_eq!(record["settings"]["cache_line_ns"], serde_json::json!([]));
    let free = measured(
        &place,
        &["--no-pin", "--transports", "inproc", "--sizes", "64", "--waits", "block"],
    );
    assert!(free["settings"]["pinned"].is_null());
}

#[test]
fn queues_have_rows_where_there_are_queues() {
    let queues = anyipc::Registry::new()
        .transports()
        .any(|t| t.capabilities().contains(anyipc::Capabilities::QUEUE));
    if queues {
        let args = ["--patterns", "queue", "--sizes", "64", "--waits", "adaptive"];
        let record = measured(&Place::new(), &args);
        assert!(rows(&record).iter().all(|row| row["carrier"] == "queue"));
        assert_eq!(said(&record, &["pattern"]).len(), 2);
    } else {
        let done = Place::new().run(["bench", "--patterns", "queue", "--json"]);
        assert_eq!(done.failure(), (2, "usage".into(), None));
    }
}

#[test]
fn several_senders_share_a_queue() {
    let (place, files) = (Place::new(), Place::new());
    let file = files.path().join("senders.csv");
    let args =
        ["--transports", "mq", "--patterns", "queue", "--sizes", "64,64KiB", "--senders", "1,3"];
    let record = measured(&place, &[&args[..], &["--csv", file.to_str().unwrap()]].concat());
    let csv = std::fs::read_to_string(&file).unwrap();
    let streams = |n: u64| {
        let of = rows(&record)
            .iter()
            .filter(move |row| row["senders"] == n && row["pattern"] == "stream");
        of.collect::<Vec<_>>()
    };
    assert_eq!((streams(1).len(), streams(3).len(), rows(&record).len()), (6, 6, 18));
    for row in streams(3) {
        // All senders have sent the same number.
        assert_eq!(row["median"]["messages"].as_u64().unwrap() % 3, 0, "{row}");
        assert_eq!(row["ratio"], 1.0);
        let cpu = row["median"]["driver_cpu_ns_per_message"].as_f64();
        assert!(cfg!(windows) || cpu.unwrap() > 0.0, "{row}");
    }
    assert!(record["notes"].to_string().contains("Several senders"), "{}", record["notes"]);
    assert_eq!(
        csv.lines().filter(|line| line.starts_with("mq,queue,process,stream,64,3,")).count(),
        3,
        "{csv}"
    );
    let args = [&["bench", "--quick", "--slice", "5ms"], &args[..]].concat();
    let table = place.run(args).ok();
    assert!(table.contains("mq queue, 3 senders"), "{table}");
    for (args, advice) in [
        (["--senders", "3", "--patterns", "round-trip"], "--patterns queue"),
        (["--senders", "3", "--patterns", "queue"], "--senders 1,4"),
    ] {
        let done = place.run([&["bench", "--json", "--compare"][..], &args].concat());
        assert_eq!(done.failure(), (2, "usage".into(), None), "{args:?}");
        assert!(done.stderr().contains(advice), "{}", done.stderr());
    }
}

#[test]
fn what_is_unknown_is_a_usage_error_with_the_choices() {
    let place = Place::new();
    for (args, choice) in [
        (["--transports", "carrier-pigeon"], "shm"),
        (["--patterns", "circle"], "round-trip"),
        (["--waits", "patiently"], "adaptive"),
        (["--compare=string", "--quick"], "cache-line"),
        (["--verify", "nothing"], "line"),
        (["--trust", "everybody"], "same-user"),
        (["--sizes", "15"], "16"),
        (["--gap", "1h"], "20us"),
        (["--rate", "0"], "choose 1"),
        (["--pin", "1"], "0,1"),
        (["--pin", "99999,0"], "99999"),
        (["--option", "wait=spin"], "--waits"),
        (["--option", "bogus=1"], "max_message, priorities"),
        (["--option", "native=posix"], "posix-mq://"),
        (["--option", "persist=true"], "do not stay"),
        (["--option", "full=drop-new"], "full=block"),
    ] {
        let done = place.run([&["bench", "--json"][..], &args].concat());
        assert_eq!(done.failure(), (2, "usage".into(), None), "{args:?}");
        assert!(done.stderr().contains(choice), "{}", done.stderr());
    }
}

#[test]
fn a_file_without_json_may_be_meant_as_a_baseline() {
    let done = Place::new().run(["bench", "--compare", "futex"]);
    assert_eq!(done.code(), Some(2));
    assert!(done.stderr().contains("--compare=futex"), "{}", done.stderr());
}

#[test]
fn an_unwritable_file_is_named() {
    let args = [
        "bench",
        "--transports",
        "inproc",
        "--slice",
        "5ms",
        "--quick",
        "--csv",
        "/nonexistent/a.csv",
    ];
    let done = Place::new().run(args);
    assert_eq!(done.code(), Some(1));
    assert!(done.stderr().contains("/nonexistent/a.csv"), "{}", done.stderr());
}

/// Processes as `/proc` shows them.
#[cfg(target_os = "linux")]
mod processes {
    use std::time::Instant;

    use rustix::process::{Pid, Signal};

    use crate::common::{Place, WATCHDOG};

    /// The second process of a benchmark that has begun.
    fn second_process(first: u32) -> u32 {
        let started = Instant::now();
        loop {
            let children =
                std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
            if let Some(child) = children.split_whitespace().next() {
                return child.parse().unwrap();
            }
            assert!(started.elapsed() < WATCHDOG, "no second process");
            std::thread::yield_now();
        }
    }

    fn is_gone(process: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
        // Without a reaper of orphans, one that has ended stays as a zombie.
        status
            .map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
    }

    #[test]
    fn signals_leave_nothing_behind() {
        for signal in [Signal::INT, Signal::TERM] {
            let place = Place::new();
            let bench = place.start(["bench", "--transports", "shm"]);
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
        let spinning = ["bench", "--transports", "shm", "--compare=cache-line", "--waits", "spin"];
        for args in [&["bench", "--transports", "shm"][..], &spinning] {
            let place = Place::new();
            let bench = place.start(args);
            let second = second_process(bench.pid());
            bench.kill();
            let started = Instant::now();
            while !is_gone(second) {
                assert!(started.elapsed() < WATCHDOG, "the second process goes on");
                std::thread::yield_now();
            }
        }
    }

    /// Waits until a process has used this many hundredths of a second: it then spins within a row.
    fn used(process: u32, ticks: u64) {
        let started = Instant::now();
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
            let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            if fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap() >= ticks {
                return;
            }
            assert!(started.elapsed() < WATCHDOG, "the second process does nothing");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_death_of_the_second_process_is_an_error() {
        for args in [
            &["--transports", "shm"][..],
            &["--transports", "mq", "--patterns", "queue"],
            // The only pattern of several senders: their queue is always full.
            &["--transports", "mq", "--patterns", "queue", "--senders", "3"],
            // The sides of inproc:// are threads: the second process serves the baseline only.
            &["--transports", "inproc", "--compare=cache-line", "--patterns", "round-trip"],
        ] {
            let place = Place::new();
            let common = [
                "bench",
                "--waits",
                "spin",
                "--sizes",
                "64",
                "--slice",
                "3s",
                "--repetitions",
                "1",
            ];
            let bench = place.start([&common[..], args].concat());
            let second = second_process(bench.pid());
            used(second, 5);
            let second = Pid::from_raw(second.try_into().unwrap()).unwrap();
            rustix::process::kill_process(second, Signal::KILL).unwrap();
            let (status, _, errors) = bench.end();
            assert_eq!(status.code(), Some(1));
            assert!(
                errors.iter().any(|line| line.contains("the second process ended")),
                "{errors:?}"
            );
            assert!(place.files().is_empty(), "{:?}", place.files());
        }
    }
}
