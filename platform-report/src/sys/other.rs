use std::path::Path;

pub(crate) fn system() -> String {
    std::env::consts::OS.to_owned()
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
