use std::fs;
use std::path::Path;

use crate::facts::{printed, size};

pub(crate) fn system() -> String {
    let name = if cfg!(anyipc_as_macos) { "as macOS on Linux" } else { "Linux" };
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    format!("{name}, {}", pretty.unwrap_or("unknown").trim_matches('"'))
}

/// An emulator of another processor keeps the Linux of its host.
pub(crate) fn emulation() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = rustix::system::uname().machine().to_string_lossy().into_owned();
    if cfg!(any(target_arch = "aarch64", target_arch = "arm"))
        && (kernel.contains("86") || processor.contains("GenuineIntel"))
    {
        return "an emulated processor".to_owned();
    }
    String::new()
}

pub(crate) fn container() -> String {
    if Path::new("/.dockerenv").exists() {
        return "docker".to_owned();
    }
    if Path::new("/run/.containerenv").exists() {
        return "podman".to_owned();
    }
    if let Some(kind) = printed("systemd-detect-virt", &["--container"]) {
        return kind;
    }
    let of_init = fs::read_to_string("/proc/1/environ").unwrap_or_default();
    if of_init.contains("container=") { "yes" } else { "none seen" }.to_owned()
}

pub(crate) fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |label: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(label))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    match (kib("MemTotal:"), kib("MemAvailable:")) {
        (Some(all), Some(free)) => {
            format!("{}, {} available", size(all << 10), size(free << 10))
        }
        _ => "unknown".to_owned(),
    }
}

/// Its type, and what is free.
pub(crate) fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let found = mounts
        .lines()
        .filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            Some((place.split(' ').nth(4)?, kind.split(' ').next()?))
        })
        .filter(|(place, _)| path.starts_with(place))
        // Of two mounts at one place the last one is seen.
        .max_by_key(|(place, _)| place.len());
    format!("{}, {}", found.map_or("unknown", |(_, kind)| kind), super::free(path))
}
