//! What the library was made for, over every transport between processes: the examples that take an
//! address. Each starts its processes, kills some and starts them again, and fails if anything is
//! lost.
#![cfg(all(
    feature = "derive",
    feature = "postcard",
    feature = "single-instance",
    feature = "sync"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::process::Command;
use std::time::Duration;

use support::place::{Scratch, example};
use support::schemes::{between_processes, url};
use support::watchdog::watchdog;

/// What the example prints.
fn run(name: &str) -> Vec<String> {
    let _watchdog = watchdog(name, Duration::from_secs(60));
    assert!(between_processes().len() >= 3 || cfg!(not(target_os = "linux")));
    let mut outputs = Vec::new();
    for scheme in between_processes() {
        let place = Scratch::new(name);
        let url = url(scheme, name);
        let output =
            Command::new(example(name)).arg(&url).env("ANYIPC_DIR", place.path()).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{url}: {told}\n{errors}");
        outputs.push(told);
    }
    outputs
}

#[test]
fn an_editor_shows_what_compilers_report_through_kills_and_restarts() {
    for told in run("compiler_to_editor") {
        for file in ["main.rs", "lib.rs", "util.rs"] {
            let line = format!("{file}:20: unused variable\n");
            assert!(told.contains(&line), "{told}");
        }
    }
}

#[test]
fn an_editor_answers_requests_through_kills_and_restarts() {
    for told in run("edit_requests") {
        for file in ["main.rs", "lib.rs"] {
            assert!(told.contains(&format!("{file}: 100 lines were opened")), "{told}");
        }
    }
}

#[test]
fn readers_find_an_index_that_is_ready_after_a_kill() {
    for told in run("index_ready") {
        assert_eq!(told.matches("the index has 5 words").count(), 3, "{told}");
    }
}

#[test]
fn a_second_launch_hands_its_file_over() {
    for told in run("single_instance") {
        assert!(told.contains("notes.txt") && told.contains("Some(3)"), "{told}");
    }
}
