//! Files that appear whole: from its first instant on, a name stands for the whole file.

use std::io;
use std::time::{Duration, Instant};

use crate::{Dir, Fd, Lock, same_file, try_lock};

/// The end of the names of files that are not published yet.
pub const UNPUBLISHED: &str = ".tmp";

/// How long another writer of the same temporary name may take, and how long signals may keep the
/// space from being reserved.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A file, mode 0600, that has no name yet, or a temporary one where there are no nameless files.
/// Its writer holds the shared lock: a temporary file with a free lock is a dead writer's. Dropping
/// it leaves nothing behind.
#[derive(Debug)]
pub struct UnpublishedFile<'a> {
    dir: &'a Dir,
    file: Fd,
    temporary: Option<TemporaryName<'a>>,
}

/// Removed when it has served.
#[derive(Debug)]
struct TemporaryName<'a> {
    dir: &'a Dir,
    name: &'a str,
}

impl Drop for TemporaryName<'_> {
    fn drop(&mut self) {
        let _ = self.dir.unlink(self.name);
    }
}

impl<'a> UnpublishedFile<'a> {
    /// Makes the file. Where it needs the temporary name, it removes what a dead writer left there,
    /// and waits for a living one, for 2 s at most.
    ///
    /// # Errors
    /// `TimedOut` beside another writer that was stopped, and those of the system.
    pub fn new(dir: &'a Dir, temporary: &'a str) -> io::Result<Self> {
        // None on this file system; or a full one, which the other way reports as well.
        if let Ok(file) = dir.nameless_file()
            && try_lock(&file, Lock::Shared)?
        {
            return Ok(Self { dir, file, temporary: None });
        }
        Self::with_temporary_name(dir, temporary)
    }

    /// As [`new`](Self::new), where there are no nameless files.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_temporary_name(dir: &'a Dir, temporary: &'a str) -> io::Result<Self> {
        let start = Instant::now();
        while start.elapsed() <= TIMEOUT {
            match dir.create_file(temporary) {
                Ok(file) => {
                    // Unless another writer or a sweeper took it for a dead writer's before it was
                    // locked.
                    if try_lock(&file, Lock::Shared)? && same_file(dir, temporary, &file)? {
                        let name = TemporaryName { dir, name: temporary };
                        return Ok(Self { dir, file, temporary: Some(name) });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !remove_abandoned(dir, temporary)? {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let why = format!(
            "another process has been writing {temporary} for {TIMEOUT:?}; end it, or remove the \
             file"
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }

    /// The file, to be written.
    pub fn file(&self) -> &Fd {
        &self.file
    }

    /// The file, which never gets a name.
    pub fn into_nameless(self) -> Fd {
        self.file
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken; `NotFound` if a sweeper removed the temporary name
    /// from outside.
    pub fn publish(self, name: &str) -> io::Result<Fd> {
        match &self.temporary {
            None => self.dir.link_nameless(&self.file, name)?,
            Some(temporary) => self.dir.link(temporary.name, name)?,
        }
        Ok(self.file)
    }
}

/// Removes a temporary name unless its writer is alive. True if it is gone.
fn remove_abandoned(dir: &Dir, temporary: &str) -> io::Result<bool> {
    let file = match dir.open_file(temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened?,
    };
    if !try_lock(&file, Lock::Exclusive)? {
        return Ok(false);
    }
    // Else another writer has begun: it is alive.
    let abandoned = same_file(dir, temporary, &file)?;
    if abandoned {
        dir.unlink(temporary)?;
    }
    Ok(abandoned)
}

/// Makes a file of this name and contents, mode 0600: the name stands for all of them from the
/// first instant on.
///
/// # Errors
/// `AlreadyExists` if the name is taken, and those of [`UnpublishedFile::new`].
pub fn write_atomically(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}{UNPUBLISHED}");
    write(UnpublishedFile::new(dir, &temporary)?, name, bytes)
}

fn write(new: UnpublishedFile<'_>, name: &str, bytes: &[u8]) -> io::Result<()> {
    new.file().reserve(bytes.len(), TIMEOUT)?;
    new.file().write_all_at(bytes, 0)?;
    new.publish(name).map(drop)
}

#[cfg(all(test, any(target_os = "linux", windows)))]
mod tests {
    use super::*;
    use crate::Scope;
    use anyipc_core::Operation;

    /// As where there are no nameless files.
    fn write_temporary(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}{UNPUBLISHED}");
        write(UnpublishedFile::with_temporary_name(dir, &temporary)?, name, bytes)
    }

    #[test]
    fn under_a_temporary_name_it_is_whole_and_the_first_ones_after_any_death() {
        let dir = Dir::open(Scope::User, Operation::Create).unwrap();
        let name = format!("put-{}", std::process::id());
        let temporary = format!("{name}{UNPUBLISHED}");
        // One died before it gave the file its name, and then one after.
        dir.create_file(&temporary).unwrap();
        write_temporary(&dir, &name, b"first").unwrap();
        dir.link(&name, &temporary).unwrap();
        let wins = std::thread::scope(|scope| {
            let tasks: Vec<_> =
                (0..4).map(|_| scope.spawn(|| write_temporary(&dir, &name, b"second"))).collect();
            tasks.into_iter().map(|task| task.join().unwrap()).filter(Result::is_ok).count()
        });
        assert_eq!(wins, 0);
        let mut got = [0; 16];
        let count = dir.open_file(&name).unwrap().read_at(&mut got, 0).unwrap();
        assert_eq!(&got[..count], b"first");
        assert!(dir.stat(&temporary).is_err());
        dir.unlink(&name).unwrap();
        let wins = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..4u8)
                .map(|i| {
                    scope.spawn({
                        let (dir, name) = (&dir, &name);
                        move || write_temporary(dir, name, &[i; 9])
                    })
                })
                .collect();
            tasks.into_iter().map(|task| task.join().unwrap()).filter(Result::is_ok).count()
        });
        assert_eq!(wins, 1);
        let count = dir.open_file(&name).unwrap().read_at(&mut got, 0).unwrap();
        assert!(count == 9 && got[..9].iter().all(|byte| *byte == got[0]));
        dir.unlink(&name).unwrap();
    }

    #[test]
    fn a_stopped_writer_delays_others_only_briefly() {
        let dir = Dir::open(Scope::User, Operation::Create).unwrap();
        let name = format!("put-stopped-{}", std::process::id());
        let temporary = format!("{name}{UNPUBLISHED}");
        let stopped = dir.create_file(&temporary).unwrap();
        assert!(try_lock(&stopped, Lock::Exclusive).unwrap());
        let start = Instant::now();
        let error = write_temporary(&dir, &name, b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains(&temporary), "{error}");
        assert!(start.elapsed() < TIMEOUT * 5);
        drop(stopped);
        write_temporary(&dir, &name, b"third").unwrap();
        dir.unlink(&name).unwrap();
    }
}
