//! Other users of the machine see and reach nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyipc::Capabilities;
use common::{Place, schemes};

/// Everything under a directory.
fn all(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() { [vec![path.clone()], all(&path)].concat() } else { vec![path] }
        })
        .collect()
}

#[test]
fn every_file_is_private_and_no_socket_is_abstract() {
    let place = Place::new();
    let queue = "mq://kept?persist=true";
    place.run(["queue", "send", queue, "x"]).ok();
    let mut owners = Vec::new();
    // A peer without this library finds plain:// by an abstract name.
    for scheme in schemes(Capabilities::CHANNEL | Capabilities::HANDSHAKE) {
        let name = if scheme == "tcp" { "127.0.0.1:0" } else { "o" };
        owners.push(place.start_owner(["serve", &format!("{scheme}://{name}"), "--echo"]));
    }
    owners.push(place.hold(["block", "create", "shm://b", "--size", "4KiB", "--hold"]));
    for scheme in schemes(Capabilities::LPSZ | Capabilities::INVENTORY) {
        owners.push(place.hold(["lpsz", &format!("{scheme}://t"), "text", "--hold"]));
    }
    for scheme in schemes(Capabilities::CHANNEL | Capabilities::INVENTORY) {
        assert_eq!(place.run(["call", &format!("{scheme}://o"), "ping"]).ok(), "ping\n");
    }
    let ours = rustix::process::geteuid().as_raw();
    let files = all(place.path());
    assert!(files.len() > 12, "{files:?}");
    for path in files {
        let file = fs::symlink_metadata(&path).unwrap();
        let kind = file.file_type();
        assert!(kind.is_dir() || kind.is_file() || kind.is_socket() || kind.is_fifo(), "{path:?}");
        assert_eq!(file.uid(), ours, "{path:?}");
        // Sockets have the mode of the umask: their directory protects them.
        if !kind.is_socket() {
            let mode = if kind.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(file.mode() & 0o7777, mode, "{path:?}");
        }
    }
    for owner in &owners {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", owner.pid())).unwrap();
        let held: Vec<_> = descriptors
            .filter_map(|entry| {
                Some(fs::read_link(entry.unwrap().path()).ok()?.display().to_string())
            })
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let sockets = fs::read_to_string(format!("/proc/{}/net/unix", owner.pid())).unwrap();
        for line in sockets.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_held = held.iter().any(|inode| inode == fields[6]);
            assert!(!is_held || fields.get(7).is_none_or(|path| !path.starts_with('@')), "{line}");
        }
    }
    // Kernel queues would outlive the directory.
    drop(owners);
    for name in ["o", "t"] {
        place.run(["rm", &format!("posix-mq://{name}")]).ok();
    }
}
