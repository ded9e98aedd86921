//! Files that appear whole.

use std::io;
use std::time::{Duration, Instant};

use crate::{Dir, Fd, Lock, same_file, try_lock};

/// What the name of a file ends with while it is being written, where the file system has none without a name. Only its
/// writer's lock makes it anyone's.
const UNFINISHED: &str = ".tmp";

/// How long another writer of the same name may take, and how long signals may keep the space from being reserved.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes a file of this name and contents, mode 0600: whoever sees the name sees all of them. Where the file system has
/// no nameless files, it waits for another writer of the same name, for 2 s at most.
///
/// # Errors
/// `AlreadyExists` if the name is taken, `TimedOut` beside another writer that was stopped, and those of the system.
pub fn write_atomically(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    // None on this file system; or a full one, which the other way reports as well.
    let Ok(file) = dir.nameless_file() else { return put_aside(dir, name, bytes) };
    fill(&file, bytes)?;
    match dir.link_nameless(&file, name) {
        // No `/proc`.
        Err(error) if error.kind() == io::ErrorKind::NotFound => put_aside(dir, name, bytes),
        done => done,
    }
}

fn fill(file: &Fd, bytes: &[u8]) -> io::Result<()> {
    file.reserve(bytes.len(), PATIENCE)?;
    file.write_all_at(bytes, 0)
}

/// The same by way of another name, which the next writer takes away if we die here.
fn put_aside(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = format!("{name}{UNFINISHED}");
    let start = Instant::now();
    loop {
        if start.elapsed() > PATIENCE {
            let why = format!(
                "another process has been writing {aside} for {PATIENCE:?}; end it, or remove the file"
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        let (file, fresh) = match dir.create_file(&aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match dir.open_file(&aside) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    opened => (opened?, false),
                }
            }
            made => (made?, true),
        };
        if !try_lock(&file, Lock::Exclusive)? || !same_file(dir, &aside, &file)? {
            drop(file);
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        // Never written again: a dead writer's may have its name already.
        let done =
            if fresh { fill(&file, bytes).and_then(|()| dir.link(&aside, name)) } else { Ok(()) };
        let _ = dir.unlink(&aside);
        if fresh {
            return done;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::Scope;
    use anyipc_core::Operation;

    #[test]
    fn aside_it_is_whole_and_the_first_ones_whoever_died_before() {
        let dir = Dir::open(Scope::User, Operation::Create).unwrap();
        let name = format!("put-{}", std::process::id());
        let aside = format!("{name}{UNFINISHED}");
        // One died before it gave the file its name, and then one after.
        dir.create_file(&aside).unwrap();
        put_aside(&dir, &name, b"first").unwrap();
        dir.link(&name, &aside).unwrap();
        let wins = std::thread::scope(|scope| {
            let tasks: Vec<_> =
                (0..4).map(|_| scope.spawn(|| put_aside(&dir, &name, b"second"))).collect();
            tasks.into_iter().map(|task| task.join().unwrap()).filter(Result::is_ok).count()
        });
        assert_eq!(wins, 0);
        let mut got = [0; 16];
        let count = dir.open_file(&name).unwrap().read_at(&mut got, 0).unwrap();
        assert_eq!(&got[..count], b"first");
        assert!(dir.stat(&aside).is_err());
        dir.unlink(&name).unwrap();
        let wins = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..4u8)
                .map(|i| {
                    scope.spawn({
                        let (dir, name) = (&dir, &name);
                        move || put_aside(dir, name, &[i; 9])
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
    fn a_stopped_writer_holds_nobody_for_long() {
        let dir = Dir::open(Scope::User, Operation::Create).unwrap();
        let name = format!("put-stopped-{}", std::process::id());
        let aside = format!("{name}{UNFINISHED}");
        let stopped = dir.create_file(&aside).unwrap();
        assert!(try_lock(&stopped, Lock::Exclusive).unwrap());
        let start = Instant::now();
        let error = put_aside(&dir, &name, b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains(&aside), "{error}");
        assert!(start.elapsed() < PATIENCE * 5);
        drop(stopped);
        put_aside(&dir, &name, b"third").unwrap();
        dir.unlink(&name).unwrap();
    }
}
