//! Runs the platform report. It knows every transport, so it is a package of its own: a crate that
//! tests its transport with this suite must not depend on all of ours. This program hands it the
//! arguments. It is not part of the published package.

use std::env;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--manifest-path"]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../platform-report/Cargo.toml"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    match command.arg("--").args(env::args_os().skip(1)).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) => ExitCode::from(code),
            None => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("platform-report: cargo could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}
