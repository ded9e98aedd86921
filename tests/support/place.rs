//! A directory of a test's own, and the files in it.

use std::path::{Path, PathBuf};

use super::schemes::unique;

/// A directory for the objects of one test, in memory on Linux; its drop removes it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(tag: &str) -> Self {
        let memory = cfg!(target_os = "linux").then(|| PathBuf::from("/dev/shm"));
        Self::under(&memory.unwrap_or_else(std::env::temp_dir), tag)
    }

    /// One in this directory.
    pub(crate) fn under(base: &Path, tag: &str) -> Self {
        let path = base.join(unique(tag));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The private directory of this user under `base`.
pub(crate) fn private_dir(base: &Path) -> PathBuf {
    #[cfg(unix)]
    let name = format!("anyipc-{}", rustix::process::geteuid().as_raw());
    #[cfg(not(unix))]
    let name = "anyipc";
    base.join(name)
}

/// The names in the private directory under `base`.
pub(crate) fn files(base: &Path) -> Vec<String> {
    match std::fs::read_dir(private_dir(base)) {
        Ok(entries) => {
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// An example, which cargo builds with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = format!("examples/{name}{}", std::env::consts::EXE_SUFFIX);
    let program = tests.parent().and_then(|deps| deps.parent()).unwrap().join(program);
    assert!(
        program.exists(),
        "{} is missing: `cargo build --examples` makes it",
        program.display()
    );
    program
}
