//! What lies in the directory under this transport's names: live owners and connectors, and what crashes left
//! behind.
//!
//! Looking takes no lock that could stand in anyone's way; only removing does.

use std::collections::BTreeSet;
use std::io;

use anyipc_core::{Error, ErrorKind, Name, Object, ObjectState, Operation, Result};
use anyipc_os::{Dir, Fd, FileKind, Lock, Status, holders, is_held, same_file, try_lock};

use crate::files::{CONNECTION, DOOR, MARKS, PREFIX, TEXT, UP, stem};
use crate::request::{TICKET, is_ticket};

/// What files are, of those that belong together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// A name's: by what their names begin with.
    Rendezvous(String),
    /// A connection's on its way.
    Connection(String),
}

/// All objects of this transport.
pub(crate) fn list(dir: &Dir) -> Result<Vec<Object>> {
    Ok(groups(dir)?.iter().filter_map(|group| group.describe(dir)).collect())
}

/// The objects of one name; none is an empty list.
pub(crate) fn inspect(dir: &Dir, name: &Name) -> Result<Vec<Object>> {
    Ok(of_name(dir, name)?.iter().filter_map(|group| group.describe(dir)).collect())
}

/// Removes what stands at a name. What is alive is `Busy` unless `force`: then its channels go on, nobody finds
/// it any more, and its close reports `StatFailed`. What is not of this user is never removed.
pub(crate) fn remove(dir: &Dir, name: &Name, force: bool) -> Result<()> {
    let found: Vec<_> = of_name(dir, name)?
        .into_iter()
        .filter_map(|group| group.describe(dir).map(|object| (group, object)))
        .collect();
    if found.is_empty() {
        return Err(Error::new(Operation::Remove, ErrorKind::NotFound));
    }
    for (group, object) in found {
        let refuse = |kind, why: &str| {
            Err(Error::new(Operation::Remove, kind).because(format!("{}: {why}", object.path)))
        };
        if force {
            for file in group.files() {
                remove_by_force(dir, &file).map_err(|e| unremoved(dir, &file, Operation::Remove, e))?;
            }
            continue;
        }
        match object.state {
            ObjectState::Live => refuse(ErrorKind::Busy, "its owner lives; --force removes it all the same")?,
            ObjectState::Stale => match group.remove_stale(dir) {
                Ok(true) => {}
                Ok(false) => refuse(ErrorKind::Busy, "someone holds it again")?,
                Err(error) => return Err(unremoved(dir, group.stem(), Operation::Remove, error)),
            },
            _ => refuse(
                ErrorKind::Corrupt,
                "damaged, or not an object of ours; --force removes a file or a FIFO",
            )?,
        }
    }
    Ok(())
}

/// What is stale or invalid. With `fix` the stale is removed.
pub(crate) fn sweep(dir: &Dir, fix: bool) -> Result<Vec<Object>> {
    let mut left = Vec::new();
    for group in groups(dir)? {
        let Some(object) = group.describe(dir).filter(|object| object.state != ObjectState::Live) else {
            continue;
        };
        if fix && object.state == ObjectState::Stale {
            group.remove_stale(dir).map_err(|error| unremoved(dir, group.stem(), Operation::List, error))?;
        }
        left.push(object);
    }
    Ok(left)
}

/// Removes what stands beside the lock, which the caller holds, and what dead connectors left. Whatever is no
/// FIFO and no text of ours stays, and is in the way.
pub(crate) fn clear(dir: &Dir, name: &Name) {
    let stem = stem(name);
    for (end, kind) in [(DOOR, FileKind::Fifo), (TEXT, FileKind::Regular)] {
        let file = format!("{stem}{end}");
        if dir.stat(&file).is_ok_and(|status| status.kind == kind && status.ours) {
            let _ = dir.unlink(&file);
        }
    }
    for group in of_name(dir, name).unwrap_or_default() {
        if matches!(group, Group::Connection(_)) {
            let _ = group.remove_stale(dir);
        }
    }
}

/// What all files of this transport belong to.
fn groups(dir: &Dir) -> Result<BTreeSet<Group>> {
    let names = dir
        .list()
        .map_err(|e| Error::io(Operation::List, &format!("reading {}", dir.path().display()), e))?;
    let names = names.iter().filter_map(|name| name.to_str()).filter(|name| name.starts_with(PREFIX));
    Ok(names.map(Group::of).collect())
}

fn of_name(dir: &Dir, name: &Name) -> Result<BTreeSet<Group>> {
    let stem = stem(name);
    let mut groups = groups(dir)?;
    groups.retain(|group| match group {
        Group::Rendezvous(of) => *of == stem,
        Group::Connection(of) => of.rsplit_once('.').is_some_and(|(of, _)| of == stem),
    });
    Ok(groups)
}

impl Group {
    /// What a file belongs to.
    fn of(file: &str) -> Self {
        let connection = CONNECTION.iter().find_map(|end| file.strip_suffix(end));
        let ticket = connection.and_then(|stem| stem.rsplit_once('.')).map(|(_, ticket)| ticket);
        if let (Some(stem), Some(TICKET)) = (connection, ticket.filter(|text| is_ticket(text)).map(str::len))
        {
            return Self::Connection(stem.to_owned());
        }
        let stem = [MARKS.suffix, DOOR, TEXT].iter().find_map(|end| file.strip_suffix(end));
        Self::Rendezvous(stem.unwrap_or(file).to_owned())
    }

    fn stem(&self) -> &str {
        match self {
            Self::Rendezvous(stem) | Self::Connection(stem) => stem,
        }
    }

    /// Its files, the locked one last: as long as it stands, whoever comes waits for it.
    fn files(&self) -> Vec<String> {
        match self {
            Self::Rendezvous(stem) => [DOOR, TEXT, MARKS.suffix].map(|end| format!("{stem}{end}")).to_vec(),
            Self::Connection(stem) => CONNECTION.map(|end| format!("{stem}{end}")).to_vec(),
        }
    }

    fn lock(&self) -> String {
        let end = if matches!(self, Self::Rendezvous(_)) { MARKS.suffix } else { UP };
        format!("{}{end}", self.stem())
    }

    /// What is known about it. `None` if nothing of it is left.
    fn describe(&self, dir: &Dir) -> Option<Object> {
        let there: Vec<_> =
            self.files().into_iter().filter_map(|f| dir.stat(&f).ok().map(|s| (f, s))).collect();
        let (first, _) = there.first()?;
        let (kind, lock_kind) = match self {
            Self::Rendezvous(_) => ("rendezvous", FileKind::Regular),
            Self::Connection(_) => ("connection", FileKind::Fifo),
        };
        let mut object = Object {
            name: None,
            kind,
            state: ObjectState::Invalid,
            path: dir.path().join(first).display().to_string(),
            size: None,
            holders: Vec::new(),
            facts: Vec::new(),
        };
        if let Some((_, text)) = there.iter().find(|(file, _)| file.ends_with(TEXT)) {
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
        if status.kind != lock_kind {
            object.facts.push(("problem", format!("{} is in the way of its lock", status.kind.as_str())));
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
        if matches!(self, Self::Connection(_)) {
            object.state = state;
            return;
        }
        match MARKS.owner_of(lock) {
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

    /// Removes its files if nobody holds it. True if they are gone.
    fn remove_stale(&self, dir: &Dir) -> io::Result<bool> {
        let lock = self.lock();
        let fd = match dir.open_file(&lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self {
                Self::Rendezvous(_) => match dir.create_file(&lock) {
                    // It has a lock by now, and goes with it.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                    made => Some(made?),
                },
                // Nobody makes it again: its name was a random one.
                Self::Connection(_) => None,
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

fn remove_by_force(dir: &Dir, file: &str) -> io::Result<()> {
    let Some(status) = gone_is_none(dir.stat(file))? else { return Ok(()) };
    match status.kind {
        FileKind::Regular | FileKind::Fifo if status.ours => gone_is_none(dir.unlink(file)).map(drop),
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
