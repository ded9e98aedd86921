use std::path::Path;
use std::time::Duration;

use anyipc_measure::baseline::Baseline;
use anyipc_measure::cores::Pinning;
use anyipc_measure::machine::Machine;
use anyipc_measure::pattern::Pattern;
use anyipc_measure::pattern::pace::Pace;
use anyipc_measure::payload::Coverage;
use anyipc_measure::wait::Wait;

use super::*;
use crate::bench::carrier::Carrier;
use crate::bench::case::tests::{baseline, case};
use crate::bench::case::{Case, PeerKind};
use crate::bench::figures::{Figures, rank};
use crate::bench::noise::Placement;
use crate::bench::setting::Setting;

fn report(measured: Vec<(Case, Vec<Figures>)>) -> Report {
    let placement = Placement(vec![120.0, 480.0]);
    let rows = rank(measured, &placement);
    let clock = Duration::from_nanos(25);
    let setting =
        Setting { pinning: None, clock, verify: Coverage::Full, in_place: false, batch: 1 };
    Report {
        machine: Machine::look(),
        setting,
        placement,
        repetitions: 2,
        repetition: Duration::from_millis(100),
        rows,
    }
}

fn round_trip(nanos: f64) -> Figures {
    Figures { p50_ns: Some(nanos), messages_per_second: Some(2e9 / nanos), ..Figures::default() }
}

/// A fast row, a slow one, and one that is not stable.
fn three() -> Report {
    let case = |transport| case(transport, Pattern::RoundTrip);
    let wild = Case { options: vec![("allow_uid".into(), "1,2".into())], ..case("wild") };
    report(vec![
        (case("slow"), vec![round_trip(500.0)]),
        (case("fast"), vec![round_trip(200.0)]),
        (wild, vec![round_trip(600.0), round_trip(1800.0)]),
    ])
}

fn text(report: &Report, format: Format) -> String {
    String::from_utf8(format(report).unwrap()).unwrap()
}

#[test]
fn the_table_says_each_thing_once() {
    let text = table(&three().rows, None).0;
    let line = |word: &str| text.lines().find(|l| l.contains(word)).unwrap().to_owned();
    assert!(line("fast").contains("round-trip") && line("fast").contains("0.200"), "{text}");
    assert!(line("fast").contains("1.00×") && line("slow").contains("2.50×"), "{text}");
    assert!(
        !line("slow").contains("round-trip") && line("wild").contains("differs by ±50 %"),
        "{text}"
    );
    assert!(text.contains("ratio") && !text.contains("pace") && !text.contains("limit"), "{text}");
    let stable = table(&three().rows[..2], None).0;
    assert!(!stable.contains("unstable"), "{stable}");
}

#[test]
fn a_narrow_terminal_gets_what_fits() {
    let rows = three().rows;
    let (whole, left_out) = table(&rows, None);
    assert!(left_out.is_empty() && whole.contains("cores moved"), "{whole}");
    let width = |table: &str| table.lines().map(|line| line.chars().count()).max().unwrap();
    assert_eq!(table(&rows, Some(width(&whole))), (whole.clone(), Vec::new()));
    for columns in [width(&whole) - 1, 120, 100, 80] {
        let (text, left_out) = table(&rows, Some(columns));
        assert!(width(&text) <= columns, "{text}");
        // The reasons went first; which rows they are for is still said.
        assert_eq!(left_out[0], "why rows are unstable (!)");
        assert_eq!(text.lines().filter(|line| line.ends_with("! │")).count(), 2, "{text}");
        for title in ["pattern", "size", "wait", "transport", "p50 µs", "M msg/s", "ratio"] {
            assert!(text.contains(title), "{text}");
        }
        for title in &left_out[1..] {
            assert!(whole.contains(title) && !text.contains(title), "{text}");
        }
    }
}

#[test]
fn baselines_are_the_limit() {
    let rows = report(vec![
        (case("shm", Pattern::RoundTrip), vec![round_trip(300.0)]),
        (baseline(Baseline::Futex, Pattern::RoundTrip), vec![round_trip(200.0)]),
    ]);
    let text = table(&rows.rows, None).0;
    assert!(
        text.contains("× limit") && text.contains("1.50×") && text.contains("bare futex"),
        "{text}"
    );
    let notes = notes(&rows).join("\n");
    assert!(notes.contains("fastest baseline") && notes.contains("50 µs"), "{notes}");
}

#[test]
fn paces_have_a_column() {
    let gap = Pace::Gap(Duration::from_millis(1));
    let rows = report(vec![(
        Case { pace: gap, ..case("shm", Pattern::RoundTrip) },
        vec![round_trip(300.0)],
    )]);
    let text = table(&rows.rows, None).0;
    assert!(text.contains("pace") && text.contains("gap 1 ms"), "{text}");
    assert!(notes(&rows).join("\n").contains("waits for the gap awake"));
}

#[test]
fn json_reads_back() {
    let value: serde_json::Value = serde_json::from_str(&text(&three(), json::file)).unwrap();
    assert_eq!(value["schema"], 1);
    assert_eq!(value["settings"]["clock_ns"], 25.0);
    assert_eq!(value["settings"]["cache_line_ns"], serde_json::json!([120.0, 480.0]));
    let row = &value["rows"][0];
    assert_eq!(
        (&row["pattern"], &row["wait"], &row["peer"]),
        (&"round-trip".into(), &"adaptive".into(), &"process".into())
    );
    assert_eq!((&row["median"]["p50_ns"], &row["ratio"]), (&200.0.into(), &1.0.into()));
    assert_eq!(value["rows"][2]["unstable"][1], "cores moved (120 to 480 ns)");
    assert!(value["machine"]["cores"].as_u64().unwrap() >= 1);
}

#[test]
fn csv_has_a_field_for_each_title() {
    let text = text(&three(), csv::file);
    let lines: Vec<_> = text.lines().collect();
    let titles: Vec<_> = lines[0].split(',').collect();
    let fields: Vec<_> = lines[1].split(',').collect();
    assert_eq!((lines.len(), titles.len()), (4, fields.len()));
    let field = |title| fields[titles.iter().position(|t| *t == title).unwrap()];
    assert_eq!(
        [field("transport"), field("wait"), field("p50_ns"), field("gap_ns")],
        ["fast", "adaptive", "200", ""]
    );
    assert!(lines[3].ends_with("\"allow_uid=1,2\""), "{}", lines[3]);
}

#[test]
fn markdown_is_a_table() {
    let text = text(&three(), markdown::file);
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
    let bars = |line: &str| line.matches('|').count();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| bars(row) == bars(rows[0])), "{text}");
    assert!(rows[1].starts_with("| --- | ---: | --- | --- | ---: |"), "{text}");
    assert!(rows[3].contains("| slow |") && text.contains("- Not shown"), "{text}");
}

#[test]
fn the_picture_names_what_it_shows() {
    let sizes = [64, 1024, 1 << 20].into_iter();
    let rows = sizes.flat_map(|size| {
        let queue = Case { size, carrier: Carrier::Queue, ..case("mq", Pattern::RoundTrip) };
        let spin = Case { size, wait: Wait::Spin, ..case("shm", Pattern::RoundTrip) };
        [queue, spin].map(|case| (case, vec![round_trip(size as f64)]))
    });
    let text = text(&report(rows.collect()), picture::file);
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
    for word in ["mq queue", "shm", "1 MiB", "spin", "adaptive", "round trip"] {
        assert!(text.contains(word), "no {word}");
    }
}

#[test]
fn a_picture_of_gaps_stands_over_them() {
    let rows = [20, 1000].map(|micros| {
        let pace = Pace::Gap(Duration::from_micros(micros));
        (Case { pace, ..case("shm", Pattern::RoundTrip) }, vec![round_trip(300.0)])
    });
    let text = text(&report(rows.into()), picture::file);
    for word in ["gap between round trips", "20 µs", "1 ms", "adaptive, 64 B: p50"] {
        assert!(text.contains(word), "no {word}");
    }
    assert_eq!(text.matches("p50").count(), 1, "{text}");
}

#[test]
fn a_picture_of_nothing_is_one() {
    assert!(text(&report(Vec::new()), picture::file).contains("</svg>"));
    let none = (case("shm", Pattern::Stream), vec![Figures::default()]);
    assert!(text(&report(vec![none]), picture::file).contains("</svg>"));
}

#[test]
fn threads_and_pinning_are_said() {
    let said = |peer, pinning| {
        let mut report = report(vec![(
            Case { peer, ..case("inproc", Pattern::Stream) },
            vec![Figures::default()],
        )]);
        report.setting.pinning = pinning;
        notes(&report).join("\n")
    };
    let text = said(PeerKind::Thread, None);
    assert!(
        text.contains("inproc:// reaches no other process") && text.contains("not pinned"),
        "{text}"
    );
    let text = said(PeerKind::Process, Some(Pinning { driver: 2, peer: 5 }));
    let range = "cores 2 and 5; a bare cache line takes 120 to 480 ns";
    assert!(
        !text.contains("inproc") && text.contains(range) && text.contains("moved during"),
        "{text}"
    );
}

#[test]
fn an_unwritable_file_is_named() {
    let error =
        save(&three(), Path::new("/nonexistent/bench.json"), json::file).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/bench.json"), "{error}");
}
