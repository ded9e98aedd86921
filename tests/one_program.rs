//! One program over every transport: the address in its environment is all that differs.
#![cfg(all(feature = "config", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use support::place::example;
use support::schemes::{self, url};
use support::watchdog::watchdog;

#[test]
fn the_address_is_all_that_differs() {
    let _watchdog = watchdog("one program", Duration::from_secs(60));
    let mut told = Vec::new();
    for url in schemes::all().iter().map(|scheme| url(scheme, "one")) {
        for wait in ["adaptive", "spin", "block"] {
            let output = Command::new(example("one_program"))
                .env("ANYIPC_ERRORS_URL", format!("{url}?wait={wait}"))
                .stderr(Stdio::inherit())
                .output()
                .unwrap();
            assert!(output.status.success(), "{url} wait={wait}");
            told.push(String::from_utf8(output.stdout).unwrap());
        }
    }
    let first =
        "main.rs:1: unused variable\nmain.rs:2: unused variable\nmain.rs:3: unused variable\n";
    assert_eq!(told[0], format!("{first}and 1048576 bytes\n"));
    assert!(told.iter().all(|text| *text == told[0]), "{told:#?}");
}
