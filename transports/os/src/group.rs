//! Files that belong together, of which their holder keeps one locked: what is known about them, and how they go.
//!
//! Looking takes no lock that could stand in anyone's way; only removing does.

use std::io;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Name, Object, ObjectState, Operation, Result};

use crate::{Dir, Fd, FileKind, FileNaming, Lock, Status, holders, is_held, same_file, try_lock};

/// A kind of files that belong together.
#[derive(Debug)]
pub struct GroupKind {
    /// What the object is called.
    pub object: &'static str,
    /// What the names of its files end with. The locked one's comes last: as long as that stands, whoever comes
    /// waits for it.
    pub ends: &'static [&'static str],
    /// What the locked one is.
    pub lock: FileKind,
    /// Which of them is the text of `alloc_lpsz`.
    pub text: Option<&'static str>,
    /// Where the locked one tells whose it is. Then it is made again when its name is used again; without it,
    /// the name was a random one.
    pub marks: Option<&'static FileNaming>,
}

/// Files that belong together: what their names begin with, and their kind.
#[derive(Debug)]
pub struct Group {
    /// What their names begin with.
    pub stem: String,
    /// What they are.
    pub kind: &'static GroupKind,
}

/// The names of all files in the directory that begin like this.
pub fn files_of(dir: &Dir, prefix: &str) -> Result<Vec<String>> {
    let names = dir
        .list()
        .map_err(|e| Error::io(Operation::List, &format!("reading {}", dir.path().display()), e))?;
    Ok(names
        .iter()
        .filter_map(|n| n.to_str())
        .filter(|n| n.starts_with(prefix))
        .map(str::to_owned)
        .collect())
}

/// Removes groups. What is alive is `Busy` unless `force`: then its channels go on, nobody finds it any more, and
/// its close reports `StatFailed`. What is not of this user is never removed.
pub fn remove_groups(
    dir: &Dir,
    groups: impl IntoIterator<Item = Group>,
    force: bool,
) -> Result<()> {
    let mut found = false;
    for group in groups {
        let Some(object) = group.describe(dir) else { continue };
        found = true;
        group.remove(dir, &object, force)?;
    }
    if found { Ok(()) } else { Err(Error::new(Operation::Remove, ErrorKind::NotFound)) }
}

/// Tells what is stale or invalid. With `fix` the stale is removed.
pub fn sweep_groups(
    dir: &Dir,
    groups: impl IntoIterator<Item = Group>,
    fix: bool,
) -> Result<Vec<Object>> {
    let mut left = Vec::new();
    for group in groups {
        let Some(object) = group.describe(dir).filter(|object| object.state != ObjectState::Live)
        else {
            continue;
        };
        if fix && object.state == ObjectState::Stale {
            group
                .remove_stale(dir)
                .map_err(|error| unremoved(dir, &group.stem, Operation::List, error))?;
        }
        left.push(object);
    }
    Ok(left)
}

impl Group {
    fn files(&self) -> impl Iterator<Item = String> {
        self.kind.ends.iter().map(|end| format!("{}{end}", self.stem))
    }

    fn lock(&self) -> String {
        format!("{}{}", self.stem, self.kind.ends.last().copied().unwrap_or_default())
    }

    /// What is known about it. `None` if nothing of it is left.
    pub fn describe(&self, dir: &Dir) -> Option<Object> {
        let there: Vec<_> =
            self.files().filter_map(|f| dir.stat(&f).ok().map(|status| (f, status))).collect();
        let (first, _) = there.first()?;
        let mut object = Object {
            name: None,
            kind: self.kind.object,
            state: ObjectState::Invalid,
            path: dir.path().join(first).display().to_string(),
            size: None,
            holders: Vec::new(),
            facts: Vec::new(),
        };
        let is_text = |file: &str| self.kind.text.is_some_and(|end| file.ends_with(end));
        if let Some((_, text)) = there.iter().find(|(file, _)| is_text(file)) {
            object.facts.push(("text", format!("{} bytes and a NUL", text.size.saturating_sub(1))));
        }
        if there.iter().any(|(_, status)| !status.ours) {
            object.facts.push(("problem", "a file is another user's".into()));
            return Some(object);
        }
        let lock = self.lock();
        let Some((_, status)) = there.iter().find(|(file, _)| *file == lock) else {
            object.state = ObjectState::Stale;
            object.facts.push(("problem", "what its holder locks is gone".into()));
            return Some(object);
        };
        if status.kind != self.kind.lock {
            object
                .facts
                .push(("problem", format!("{} is in the way of its lock", status.kind.as_str())));
            return Some(object);
        }
        match dir.open_file(&lock) {
            Ok(fd) => self.fill(&mut object, &fd, *status),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => object.facts.push(("problem", error.to_string())),
        }
        Some(object)
    }

    /// Fills in what the lock tells.
    fn fill(&self, object: &mut Object, lock: &Fd, status: Status) {
        let live = is_held(lock).unwrap_or(false);
        let state = if live { ObjectState::Live } else { ObjectState::Stale };
        if live {
            object.holders = holders(status.id);
        }
        let Some(marks) = self.kind.marks else {
            object.state = state;
            return;
        };
        match marks.owner_of(lock) {
            Some((pid, name)) => {
                object.state = state;
                object.name = Name::new(&name).ok();
                object.facts.push(("owner", pid.to_string()));
            }
            // Killed before it wrote, or about to write.
            None if status.size == 0 => object.state = state,
            None => object.facts.push(("problem", "its lock file is not one of ours".into())),
        }
    }

    fn remove(&self, dir: &Dir, object: &Object, force: bool) -> Result<()> {
        let operation = Operation::Remove;
        let refuse = |kind, why: &str| {
            Err(Error::new(operation, kind).because(format!("{}: {why}", object.path)))
        };
        if force {
            return self.files().try_for_each(|f| {
                remove_by_force(dir, &f).map_err(|e| unremoved(dir, &f, operation, e))
            });
        }
        match object.state {
            ObjectState::Live => {
                refuse(ErrorKind::Busy, "its owner lives; --force removes it all the same")
            }
            ObjectState::Stale => {
                let is_held =
                    || self.describe(dir).is_some_and(|object| object.state == ObjectState::Live);
                match insist(is_held, || self.remove_stale(dir)) {
                    Ok(true) => Ok(()),
                    Ok(false) => refuse(ErrorKind::Busy, "another process holds it again"),
                    Err(error) => Err(unremoved(dir, &self.stem, operation, error)),
                }
            }
            _ => refuse(
                ErrorKind::Corrupt,
                "damaged, or not an object of ours; --force removes a file, a FIFO or a socket",
            ),
        }
    }

    /// Removes its files if nobody holds it. True if they are gone.
    pub fn remove_stale(&self, dir: &Dir) -> io::Result<bool> {
        let lock = self.lock();
        let fd = match dir.open_file(&lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.kind.marks {
                Some(_) => match dir.create_file(&lock) {
                    // It has a lock by now, and goes with it.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                    // What has a lock makes room for this.
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(false),
                    made => Some(made?),
                },
                None => None,
            },
            opened => Some(opened?),
        };
        if let Some(fd) = &fd
            && (!try_lock(fd, Lock::Exclusive)? || !same_file(dir, &lock, fd)?)
        {
            return Ok(false);
        }
        for file in self.files() {
            gone_is_none(dir.unlink(&file))?;
        }
        Ok(true)
    }
}

/// Tries to remove what is stale, while others that look at it or remove it have its lock for an instant. True if it is
/// gone; false if it is held again, or its lock was taken for a second.
pub fn insist(
    is_held: impl Fn() -> bool,
    mut remove: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    let deadline = Instant::now() + Duration::from_secs(1);
    while !remove()? {
        if is_held() || Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::yield_now();
    }
    Ok(true)
}

fn remove_by_force(dir: &Dir, file: &str) -> io::Result<()> {
    let Some(status) = gone_is_none(dir.stat(file))? else { return Ok(()) };
    match status.kind {
        FileKind::Regular | FileKind::Fifo | FileKind::Socket if status.ours => {
            gone_is_none(dir.unlink(file)).map(drop)
        }
        kind => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} that may not be ours: remove it by hand", kind.as_str()),
        )),
    }
}

fn unremoved(dir: &Dir, file: &str, operation: Operation, error: io::Error) -> Error {
    Error::io(operation, &format!("removing {}", dir.path().join(file).display()), error)
}

fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
