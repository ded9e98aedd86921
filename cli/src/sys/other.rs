use anyipc::{ErrorKind, Registry};

use crate::commands::doctor::{Finding, Status};

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
