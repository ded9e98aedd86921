use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::commands::doctor::{Finding, Status};

const CHECK: &str = "directory";

/// Checks the directory of the objects: its privacy, and the abilities of its file system. With
/// `fix` its mode is corrected.
pub(crate) fn check_directory(fix: bool) -> Vec<Finding> {
    let path = directory();
    let shown = path.display();
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Finding::new(
                CHECK,
                Status::Info,
                format!("{shown} is created when it is needed"),
            )];
        }
        Err(error) => {
            return vec![Finding::new(CHECK, Status::Problem, format!("{shown}: {error}"))];
        }
    };
    let user = rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || metadata.uid() != user {
        let detail =
            format!("{shown} is not a directory of user {user}: remove it, or set ANYIPC_DIR");
        return vec![Finding::new(CHECK, Status::Problem, detail)];
    }
    let mode = metadata.mode() & 0o7777;
    let privacy = if mode == 0o700 {
        Finding::new(CHECK, Status::Ok, format!("{shown} is private"))
    } else if !fix {
        let detail = format!("{shown} has mode {mode:04o} instead of 0700: --fix sets it");
        Finding::new(CHECK, Status::Problem, detail)
    } else {
        match fs::set_permissions(&path, Permissions::from_mode(0o700)) {
            Ok(()) => {
                Finding::new(CHECK, Status::Fixed, format!("{shown} had mode {mode:04o}, now 0700"))
            }
            Err(error) => {
                Finding::new(CHECK, Status::Problem, format!("{shown}: setting mode 0700: {error}"))
            }
        }
    };
    vec![privacy, nameless_files(&path)]
}

/// Checks whether a file can be created without a name and get one when it is complete.
fn nameless_files(path: &Path) -> Finding {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let missing = match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) if Path::new("/proc/self/fd").exists() => {
            return Finding::new("O_TMPFILE", Status::Ok, "objects appear complete or not at all");
        }
        Ok(_) => "/proc is not mounted".to_owned(),
        Err(error) => io::Error::from(error).to_string(),
    };
    let detail = format!(
        "{missing}: objects are created under a temporary name, which a crash can leave behind"
    );
    Finding::new("O_TMPFILE", Status::Info, detail)
}

/// The directory of the shared-memory transport's objects.
fn directory() -> PathBuf {
    base().join(format!("anyipc-{}", rustix::process::geteuid().as_raw()))
}

/// The directory that has the directory of the objects.
pub(crate) fn base() -> PathBuf {
    let chosen = std::env::var_os("ANYIPC_DIR").filter(|dir| !dir.is_empty());
    chosen.map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from)
}
