use std::path::Path;

use crate::facts::printed;

pub(crate) fn system() -> String {
    printed("uname", &["-sr"]).unwrap_or_else(|| std::env::consts::OS.to_owned())
}

pub(crate) fn emulation() -> String {
    String::new()
}

pub(crate) fn container() -> String {
    "unknown".to_owned()
}

pub(crate) fn memory() -> String {
    "unknown".to_owned()
}

pub(crate) fn file_system(path: &Path) -> String {
    super::free(path)
}
