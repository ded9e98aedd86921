//! What the system is. Nothing here names the user or the machine.

use std::env::consts::ARCH;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyipc::Operation;
use anyipc_os::{Dir, Scope};
use serde::Serialize;

use crate::sys;

/// A fact, in words.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// The platform in a few words, for the table.
pub(crate) fn platform() -> String {
    let (system, under) = (sys::system(), sys::emulation());
    let under = if under.is_empty() { under } else { format!(" ({under})") };
    format!("{system}, {ARCH}{under}")
}

pub(crate) fn all() -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |name, value: String| facts.push(Fact { name, value });
    fact("anyipc", format!("{}{}", env!("CARGO_PKG_VERSION"), commit()));
    fact("system", sys::system());
    fact("kernel", sys::kernel());
    fact("architecture", format!("{ARCH}, {} bits, {}", usize::BITS, sys::environment()));
    fact("emulation", or_none(sys::emulation()));
    fact("container", sys::container());
    fact("processors", thread::available_parallelism().map_or(0, |n| n.get()).to_string());
    fact("memory", sys::memory());
    fact("page size", format!("{} bytes", anyipc_os::page_size()));
    match Dir::open(Scope::User, Operation::Create) {
        Ok(directory) => {
            fact("private directory", chosen());
            fact("its file system", sys::file_system(directory.path()));
        }
        Err(error) => fact("private directory", error.to_string()),
    }
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    fact("build", profile.to_owned());
    facts
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none seen".to_owned() } else { text }
}

/// Whether the private directory is the default one.
fn chosen() -> String {
    match std::env::var_os("ANYIPC_DIR") {
        Some(directory) if !directory.is_empty() => "below ANYIPC_DIR".to_owned(),
        _ => "the default".to_owned(),
    }
}

/// The commit of the tree that this program was built from, if git knows.
fn commit() -> String {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            format!(", commit {}", String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => String::new(),
    }
}

/// What a command prints, if it succeeds.
pub(crate) fn printed(program: impl AsRef<Path>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The names in the private directory, in order.
pub(crate) fn files_of_the_private_directory() -> Vec<String> {
    let names = Dir::open(Scope::User, Operation::List)
        .map(|directory| directory.list().unwrap_or_default())
        .unwrap_or_default();
    let mut names: Vec<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A size as a person says it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mib @ 1..10240 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib >> 10),
    }
}
