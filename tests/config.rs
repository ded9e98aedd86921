//! Addresses from a file, overridden by the environment of a real process.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

use std::process::Command;

use anyipc::Config;

const CHILD: &str = "FACADE_CONFIG_CHILD";

#[test]
fn a_file_and_the_environment() {
    if let Some(path) = std::env::var_os(CHILD) {
        let config = Config::from_file(path).unwrap();
        assert_eq!(config.address("errors").unwrap().to_string(), "shm://other?wait=block");
        assert_eq!(config.address("edits").unwrap().to_string(), "inproc://edits");
        assert_eq!(config.names().collect::<Vec<_>>(), ["edits", "errors"]);
        return;
    }
    let path = std::env::temp_dir().join(format!("anyipc-config-{}.toml", std::process::id()));
    std::fs::write(
        &path,
        "[addresses]\nerrors = \"shm://edix.errors\"\nedits = \"inproc://edits\"\n",
    )
    .unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_file_and_the_environment"])
        .env(CHILD, &path)
        .env("ANYIPC_ERRORS_URL", "shm://other?wait=block")
        .output()
        .unwrap();
    let again = Config::from_file(&path).unwrap();
    std::fs::write(&path, "[addresses]\nerrors = \"shm://a/b\"\n").unwrap();
    let error = Config::from_file(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(again.address("errors").unwrap().to_string(), "shm://edix.errors");
    assert_eq!(error.kind(), anyipc::ErrorKind::InvalidName);
    assert!(error.to_string().contains("anyipc-config-"), "{error}");
}
