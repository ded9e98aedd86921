use std::path::PathBuf;

use anyipc::{ErrorKind, Registry};

use crate::commands::doctor::{Finding, Status};

/// A directory that may have a directory of objects.
pub(crate) fn base() -> PathBuf {
    let chosen = std::env::var_os("ANYIPC_DIR").filter(|dir| !dir.is_empty());
    chosen.map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Checks the privacy of the directory of the objects, as each use of it does. `fix` changes
/// nothing.
pub(crate) fn check_directory(_fix: bool) -> Vec<Finding> {
    let (status, detail) = match Registry::global().list() {
        Ok(_) => (Status::Ok, "no other user reaches the objects".to_owned()),
        Err(error) if error.kind() == ErrorKind::Unsupported => (Status::Info, error.to_string()),
        Err(error) => (Status::Problem, error.to_string()),
    };
    vec![Finding::new("directory", status, detail)]
}
