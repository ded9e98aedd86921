use crate::commands::doctor::{Finding, Status};

/// There is no directory of objects to check.
pub(crate) fn check_directory(_fix: bool) -> Vec<Finding> {
    vec![Finding::new("directory", Status::Info, "this platform keeps no directory of objects yet")]
}
