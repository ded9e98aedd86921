use std::path::Path;

/// True if 127.0.0.1 is the only address of the loopback.
pub(crate) const ONE_LOOPBACK_ADDRESS: bool = true;

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
