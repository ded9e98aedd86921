//! The private directory of a run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyipc_measure::process::second_process;

use crate::failure::{Failure, Result};

const PREFIX: &str = "anyipc-torture-";
/// The file that a run has locked: a directory without a lock is one of a run that was killed.
const LOCK: &str = "run.lock";

/// A directory for the objects of a run. Its drop removes it.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// `None` only in the drop: Windows removes no open file.
    lock: Option<File>,
}

impl Place {
    /// Makes it, and removes those of runs that were killed.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn new(base: &Path) -> Result<Self> {
        remove_dead(base);
        let path = base.join(format!("{PREFIX}{}", std::process::id()));
        let made = fs::create_dir(&path).and_then(|()| {
            // It has its name when it is locked.
            let new = path.join("new");
            let lock = File::create(&new)?;
            lock.lock()?;
            fs::rename(&new, path.join(LOCK))?;
            Ok(lock)
        });
        let failed = |why| Failure::Io(format!("making {}", path.display()), why);
        let lock = made.map_err(failed)?;
        Ok(Self { path, lock: Some(lock) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lock = None;
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories of runs that were killed, and what is not in them: the kernel's queues.
fn remove_dead(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        if let Ok(mut sweeper) = second_process() {
            sweeper.args(["doctor", "--fix"]).env("ANYIPC_DIR", &path);
            sweeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let _ = sweeper.status();
        }
        drop(lock);
        let _ = fs::remove_dir_all(&path);
    }
}
