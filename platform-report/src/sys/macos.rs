use std::path::Path;

use crate::facts::{printed, size};

pub(crate) fn system() -> String {
    let version = printed("sw_vers", &["-productVersion"]).unwrap_or_default();
    let build = printed("sw_vers", &["-buildVersion"]).unwrap_or_default();
    format!("macOS {version} ({build})")
}

/// Rosetta.
pub(crate) fn emulation() -> String {
    match control("sysctl.proc_translated").as_deref() {
        Some("1") => "Rosetta".to_owned(),
        _ => String::new(),
    }
}

fn control(name: &str) -> Option<String> {
    printed("sysctl", &["-n", name])
}

/// Programs in a sandbox are told which one it is.
pub(crate) fn container() -> String {
    match std::env::var("APP_SANDBOX_CONTAINER_ID") {
        Ok(_) => "an app's sandbox".to_owned(),
        Err(_) => "none seen".to_owned(),
    }
}

pub(crate) fn memory() -> String {
    let bytes = control("hw.memsize").and_then(|bytes| bytes.parse().ok());
    bytes.map_or_else(|| "unknown".to_owned(), size)
}

/// Its type, and what is free.
pub(crate) fn file_system(path: &Path) -> String {
    let kind = rustix::fs::statfs(path).map_or_else(
        |error| error.to_string(),
        |status| {
            let bytes = status.f_fstypename.iter().take_while(|byte| **byte != 0);
            bytes.map(|byte| char::from(byte.cast_unsigned())).collect()
        },
    );
    format!("{kind}, {}", super::free(path))
}
