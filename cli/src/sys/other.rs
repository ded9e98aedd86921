use crate::commands::doctor::{Finding, Status};

/// There is no directory of objects to check.
pub(crate) fn check_directory(_fix: bool) -> Vec<Finding> {
    vec![Finding::new("directory", Status::Info, "not looked at on this platform yet")]
}
