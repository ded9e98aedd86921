//! Files of objects in a directory: what is known about them, and how they are removed.
//!
//! Looking takes no lock that could stand in another process's way; only removing does.

use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Name, Object, ObjectState, Operation, Result};

use crate::{
    Dir, Fd, FileKind, FileNaming, Lock, Status, holders, is_held, is_stopped, same_file, try_lock,
};

/// A kind of objects: files that belong together, one of which its holder keeps locked.
#[derive(Debug, Clone, Copy)]
pub struct GroupKind {
    /// What the object is called.
    pub object: &'static str,
    /// The ends of the files' names, in the order in which they are removed. The last is the locked
    /// file's: while that name stands, a process that makes the object anew waits for the lock.
    pub ends: &'static [&'static str],
    /// The end of the file that people are shown, if it is there.
    pub shown: &'static str,
    /// What kind of file the locked one is.
    pub lock: FileKind,
    /// The end of the file with the text of `alloc_lpsz`.
    pub text: Option<&'static str>,
    /// What the locked file contains.
    pub contents: Contents,
}

/// What an object's locked file contains.
#[derive(Debug, Clone, Copy)]
pub enum Contents {
    /// Nothing about the object. Its stem is random, so no later object needs the name.
    Unnamed,
    /// The owner's process id and full name. It is made again when the name is used again.
    Owner(FileNaming),
    /// The object itself.
    Object(&'static dyn ObjectFile),
    /// Unknown: never removed.
    Unknown,
}

/// A kind of objects that are one file, locked by all its holders.
pub trait ObjectFile: Debug + Sync {
    /// Reads what the file says of the object.
    ///
    /// # Errors
    /// Why the file is no such object.
    fn read(&self, file: &Fd) -> std::result::Result<ObjectFacts, String>;

    /// Removes what belongs to the object, before its file loses its name. The caller has the lock
    /// alone, unless the object is removed by force. `None` for a file that does not open.
    fn release(&self, dir: &Dir, name: &str, file: Option<&Fd>);
}

/// What a file says of its object.
#[derive(Debug)]
pub struct ObjectFacts {
    /// The full name.
    pub name: Name,
    /// Bytes of contents.
    pub size: u64,
    /// It stays without holders.
    pub persists: bool,
    /// What the contents are, where that can differ.
    pub contents: Option<&'static str>,
}

/// The files of one object.
#[derive(Debug, Clone)]
pub struct Group {
    /// What their names begin with.
    pub stem: String,
    /// What they are.
    pub kind: GroupKind,
}

/// The names of all files in the directory that begin with a prefix.
pub fn files_of(dir: &Dir, prefix: &str) -> Result<Vec<String>> {
    let names = dir
        .list()
        .map_err(|e| Error::io(Operation::List, &format!("reading {}", dir.path().display()), e))?;
    let names = names.into_iter().map(|name| name.to_string_lossy().into_owned());
    Ok(names.filter(|name| name.starts_with(prefix)).collect())
}

/// Removes groups. A live one is `Busy` unless `force`: then its holders keep what they have
/// without a name, and their close reports `StatFailed`. What belongs to another user is never
/// removed.
///
/// # Errors
/// `NotFound`, and without `force` `Busy` and `Corrupt`, before anything is removed.
pub fn remove_groups(
    dir: &Dir,
    groups: impl IntoIterator<Item = Group>,
    force: bool,
) -> Result<()> {
    let groups: Vec<_> = groups.into_iter().collect();
    let objects: Vec<_> = groups.iter().map(|group| group.describe(dir)).collect();
    if objects.iter().all(Option::is_none) {
        return Err(Error::new(Operation::Remove, ErrorKind::NotFound));
    }
    if force {
        return groups.iter().try_for_each(|group| group.remove_by_force(dir));
    }
    objects.iter().flatten().try_for_each(check_removable)?;
    for (group, object) in groups.iter().zip(&objects) {
        if let Some(object) = object {
            group.remove(dir, object)?;
        }
    }
    Ok(())
}

/// Reports the groups that are stale or invalid. With `fix` the stale ones are removed.
///
/// # Errors
/// If a file cannot be removed.
pub fn sweep_groups(
    dir: &Dir,
    groups: impl IntoIterator<Item = Group>,
    fix: bool,
) -> Result<Vec<Object>> {
    let mut left = Vec::new();
    for group in groups {
        let Some(object) = group.describe(dir) else { continue };
        match object.state {
            ObjectState::Live | ObjectState::Persistent => continue,
            ObjectState::Stale if fix => {
                group
                    .remove_stale(dir, false)
                    .map_err(|error| unremoved(dir, &group.stem, Operation::List, error))?;
            }
            ObjectState::Stale | ObjectState::Invalid => {}
        }
        left.push(object);
    }
    Ok(left)
}

/// `Busy` or `Corrupt` for an object that only force removes.
fn check_removable(object: &Object) -> Result<()> {
    match object.state {
        ObjectState::Live => {
            let holders = match object.holders.as_slice() {
                [] => "processes that have no number here".to_owned(),
                numbers => format!("processes {numbers:?}"),
            };
            let why = format!("{holders} hold it; --force removes it all the same");
            Err(refuse(object, ErrorKind::Busy, &why))
        }
        ObjectState::Invalid => Err(refuse(
            object,
            ErrorKind::Corrupt,
            "damaged, or not an object of ours; --force removes a file, a FIFO or a socket",
        )),
        ObjectState::Stale | ObjectState::Persistent => Ok(()),
    }
}

fn refuse(object: &Object, kind: ErrorKind, why: &str) -> Error {
    Error::new(Operation::Remove, kind).because(format!("{}: {why}", object.path))
}

impl Group {
    fn files(&self) -> impl Iterator<Item = String> {
        self.kind.ends.iter().map(|end| format!("{}{end}", self.stem))
    }

    fn lock(&self) -> String {
        format!("{}{}", self.stem, self.kind.ends.last().copied().unwrap_or_default())
    }

    /// What is known about it. `None` if none of its files is there.
    pub fn describe(&self, dir: &Dir) -> Option<Object> {
        let there: Vec<_> =
            self.files().filter_map(|f| dir.stat(&f).ok().map(|status| (f, status))).collect();
        let lock = self.lock();
        let locked = there.iter().find(|(file, _)| *file == lock);
        let is_shown = |(file, _): &&(String, Status)| file.ends_with(self.kind.shown);
        let (shown, _) = there.iter().find(is_shown).or_else(|| there.first())?;
        let mut object = Object {
            name: None,
            kind: self.kind.object,
            state: ObjectState::Invalid,
            path: dir.path().join(shown).display().to_string(),
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
        let Some((_, status)) = locked else {
            object.state = ObjectState::Stale;
            object.facts.push(("problem", "what its holder locks is gone".into()));
            return Some(object);
        };
        if status.kind != self.kind.lock {
            object.facts.push(("problem", format!("{} is in the way", status.kind.as_str())));
            return Some(object);
        }
        match dir.open_file(&lock) {
            Ok(fd) => self.fill(&mut object, &fd, *status),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => object.facts.push(("problem", error.to_string())),
        }
        Some(object)
    }

    /// Fills in what the locked file says.
    fn fill(&self, object: &mut Object, lock: &Fd, status: Status) {
        let live = is_held(lock).unwrap_or(false);
        let known = if live { holders(status.id) } else { None };
        // The number that an owner of another PID namespace has there is another process's here.
        let is_elsewhere = |pid| known.as_ref().is_some_and(|known| !known.contains(&pid));
        let persists = match self.kind.contents {
            Contents::Unnamed => Ok(false),
            Contents::Unknown => Err("its name is not one of ours".to_owned()),
            Contents::Object(held) => held.read(lock).map(|seen| {
                object.size = Some(seen.size);
                object.name = Some(seen.name);
                object.facts.extend(seen.contents.map(|what| ("contents", what.to_owned())));
                seen.persists
            }),
            Contents::Owner(naming) => match naming.owner_of(lock) {
                Some((pid, name)) => {
                    object.name = Name::new(&name).ok();
                    let elsewhere =
                        if is_elsewhere(pid) { " of another PID namespace" } else { "" };
                    object.facts.push(("owner", format!("{pid}{elsewhere}")));
                    Ok(false)
                }
                // Killed before it wrote, or about to write.
                None if status.size == 0 => Ok(false),
                None => Err("its lock file is not one of ours".to_owned()),
            },
        };
        object.holders = known.unwrap_or_default();
        let stopped = object.holders.iter().filter(|pid| is_stopped(**pid));
        let stopped: Vec<_> = stopped.map(u32::to_string).collect();
        if !stopped.is_empty() {
            object.facts.push(("stopped", stopped.join(", ")));
        }
        match persists {
            Ok(_) if live => object.state = ObjectState::Live,
            Ok(true) => object.state = ObjectState::Persistent,
            Ok(false) => object.state = ObjectState::Stale,
            Err(problem) => object.facts.push(("problem", problem)),
        }
    }

    fn remove(&self, dir: &Dir, object: &Object) -> Result<()> {
        let is_held = || self.describe(dir).is_some_and(|now| now.state == ObjectState::Live);
        match retry_while_free(is_held, || self.remove_stale(dir, true)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(refuse(object, ErrorKind::Busy, "another process holds it again")),
            Err(error) => Err(unremoved(dir, &self.stem, Operation::Remove, error)),
        }
    }

    /// Removes its files if it has no holder; a persistent object only with `persistent_too`. True
    /// if they are gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_stale(&self, dir: &Dir, persistent_too: bool) -> io::Result<bool> {
        let lock = self.lock();
        let fd = match dir.open_file(&lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.kind.contents {
                // Under the lock the other files are no new owner's.
                Contents::Owner(_) => match dir.create_file(&lock) {
                    // It has a lock by now, and goes with it.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                    // What has a lock makes room for this.
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(false),
                    made => Some(made?),
                },
                _ => None,
            },
            opened => Some(opened?),
        };
        if let Some(fd) = &fd
            && (!try_lock(fd, Lock::Exclusive)? || !same_file(dir, &lock, fd)?)
        {
            return Ok(false);
        }
        if let (Contents::Object(held), Some(fd)) = (self.kind.contents, &fd) {
            // Read again under the lock.
            if !persistent_too && held.read(fd).map_or(true, |seen| seen.persists) {
                return Ok(false);
            }
            held.release(dir, &lock, Some(fd));
        }
        // Without the locked file there was nothing to lock: by now its name may be a new object's.
        let last = self.kind.ends.len().saturating_sub(usize::from(fd.is_none()));
        for end in &self.kind.ends[..last] {
            gone_is_none(dir.unlink(&format!("{}{end}", self.stem)))?;
        }
        Ok(true)
    }

    fn remove_by_force(&self, dir: &Dir) -> Result<()> {
        if let Contents::Object(held) = self.kind.contents {
            let lock = self.lock();
            let ours =
                dir.stat(&lock).is_ok_and(|status| status.ours && status.kind == self.kind.lock);
            let file = if ours { dir.open_file(&lock).ok() } else { None };
            held.release(dir, &lock, file.as_ref());
        }
        self.files().try_for_each(|file| {
            unlink_by_force(dir, &file).map_err(|e| unremoved(dir, &file, Operation::Remove, e))
        })
    }
}

/// Repeats a removal that other processes hinder, which look at the object or remove it and have
/// its lock for an instant. True if it is gone; false if it is held again, or its lock was taken
/// for a second.
fn retry_while_free(
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

fn unlink_by_force(dir: &Dir, file: &str) -> io::Result<()> {
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
