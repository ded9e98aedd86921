//! The report itself, of the transport that is there everywhere.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use std::process::{Command, Output};

use anyipc_conformance::CHECKS;
use serde_json::Value;

fn report(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anyipc-platform-report")).args(options).output().unwrap()
}

#[test]
fn json_has_every_check_by_name_and_the_counts() {
    let output = report(&["--json", "--only", "inproc://", "--only", "timer"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for suite in report["suites"].as_array().unwrap() {
        let names = suite["checks"].as_array().unwrap().iter().map(|check| &check["name"]);
        assert!(names.eq(CHECKS.iter().map(|check| check.name)));
    }
    let suite = &report["table"][0];
    let count = |what: &str| suite[what].as_u64().unwrap();
    assert_eq!((count("failed"), suite["transport"].as_str()), (0, Some("inproc://")));
    assert_eq!(count("passed") + count("skipped"), CHECKS.len() as u64);
    let skipped = suite_checks(&report).filter(|check| check["verdict"] == "skipped");
    assert!(skipped.clone().count() > 0);
    for check in skipped {
        assert!(!check["detail"].as_str().unwrap().is_empty(), "{check} has no reason");
    }
    // The one that was asked for, and the one about the whole run.
    let probes: Vec<_> =
        report["probes"].as_array().unwrap().iter().map(|probe| &probe["name"]).collect();
    assert_eq!(probes, ["timer", "leftovers"]);
}

fn suite_checks(report: &Value) -> impl Iterator<Item = &Value> + Clone {
    report["suites"][0]["checks"].as_array().unwrap().iter()
}

#[test]
fn text_ends_with_the_table_and_progress_is_no_part_of_it() {
    let output = report(&["--only", "timer"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("# anyipc on ") && text.contains("\n## Facts\n"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.ends_with("| `probes` | 2 | 0 | 0 |"), "{last}");
    assert!(!text.contains("[1/1]") && String::from_utf8_lossy(&output.stderr).contains("[1/1]"));
}

#[test]
fn what_takes_too_long_has_failed_and_so_has_the_report() {
    let output = report(&["--json", "--only", "kill-local", "--kills", "1000000", "--limit", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let killed = &report["probes"][0];
    assert_eq!(killed["verdict"], "failed", "{killed}");
    assert_eq!(killed["detail"], "no answer within 1s");
}

#[test]
fn wrong_options_are_refused_with_the_help() {
    for options in [&["--nothing"][..], &["--kills", "0"], &["--limit"], &["--only"]] {
        let output = report(options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(
            output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("Usage")
        );
    }
    assert!(report(&["--help"]).status.success() && report(&["--list"]).status.success());
}
