//! What lies in the directory under this transport's names: live owners, and what crashes left behind.
//!
//! Looking takes no lock that could stand in anyone's way; only removing does.

use std::collections::BTreeSet;
use std::io;

use anyipc_core::{Error, ErrorKind, Name, Object, ObjectState, Operation, Result};
use anyipc_os::{Dir, Fd, FileKind, Lock, Status, holders, is_held, same_file, try_lock};

use super::{MARKS, PREFIX, SOCKET, TEXT};

/// All objects of this transport.
pub(super) fn list(dir: &Dir) -> Result<Vec<Object>> {
    Ok(stems(dir)?.iter().filter_map(|stem| describe(dir, stem)).collect())
}

/// The object of one name; none is an empty list.
pub(super) fn inspect(dir: &Dir, name: &Name) -> Vec<Object> {
    describe(dir, &format!("{PREFIX}{}", name.os_name())).into_iter().collect()
}

/// Removes what stands at a name. What is alive is `Busy` unless `force`: then its channels go on, nobody finds
/// it any more, and its close reports `StatFailed`. What is not of this user is never removed.
pub(super) fn remove(dir: &Dir, name: &Name, force: bool) -> Result<()> {
    let stem = format!("{PREFIX}{}", name.os_name());
    let Some(object) = describe(dir, &stem) else {
        return Err(Error::new(Operation::Remove, ErrorKind::NotFound));
    };
    let refuse =
        |kind, why: &str| Err(Error::new(Operation::Remove, kind).because(format!("{}: {why}", object.path)));
    if force {
        for file in files(&stem) {
            remove_by_force(dir, &file).map_err(|e| unremoved(dir, &file, Operation::Remove, e))?;
        }
        return Ok(());
    }
    match object.state {
        ObjectState::Live => refuse(ErrorKind::Busy, "its owner lives; --force removes it all the same"),
        ObjectState::Stale => match remove_stale(dir, &stem) {
            Ok(true) => Ok(()),
            Ok(false) => refuse(ErrorKind::Busy, "someone holds it again"),
            Err(error) => Err(unremoved(dir, &stem, Operation::Remove, error)),
        },
        _ => refuse(
            ErrorKind::Corrupt,
            "damaged, or not an object of ours; --force removes a file or a socket",
        ),
    }
}

/// What is stale or invalid. With `fix` the stale is removed.
pub(super) fn sweep(dir: &Dir, fix: bool) -> Result<Vec<Object>> {
    let mut left = Vec::new();
    for stem in stems(dir)? {
        let Some(object) = describe(dir, &stem).filter(|object| object.state != ObjectState::Live) else {
            continue;
        };
        if fix && object.state == ObjectState::Stale {
            remove_stale(dir, &stem).map_err(|error| unremoved(dir, &stem, Operation::List, error))?;
        }
        left.push(object);
    }
    Ok(left)
}

/// The names of this transport's files, without what tells the kinds apart.
fn stems(dir: &Dir) -> Result<BTreeSet<String>> {
    let names = dir
        .list()
        .map_err(|e| Error::io(Operation::List, &format!("reading {}", dir.path().display()), e))?;
    let names = names.iter().filter_map(|name| name.to_str()).filter(|name| name.starts_with(PREFIX));
    let stem = |name: &str| {
        let cut = [MARKS.suffix, SOCKET, TEXT].iter().find_map(|end| name.strip_suffix(end));
        cut.unwrap_or(name).to_owned()
    };
    Ok(names.map(stem).collect())
}

fn files(stem: &str) -> [String; 3] {
    // The lock last: as long as it stands, whoever comes waits for it.
    [SOCKET, TEXT, MARKS.suffix].map(|end| format!("{stem}{end}"))
}

/// What is known about a name's files. `None` if there are none.
fn describe(dir: &Dir, stem: &str) -> Option<Object> {
    let [socket, text, lock] = files(stem);
    let status = |file: &str| dir.stat(file).ok();
    let (socket_there, text_there) = (status(&socket), status(&text));
    let path = dir.path().join(&socket).display().to_string();
    let mut object = Object {
        name: None,
        kind: "rendezvous",
        state: ObjectState::Invalid,
        path,
        size: None,
        holders: Vec::new(),
        facts: Vec::new(),
    };
    if let Some(text) = text_there {
        object.facts.push(("text", format!("{} bytes and a NUL", text.size.saturating_sub(1))));
    }
    if [socket_there, text_there].iter().flatten().any(|status| !status.ours) {
        object.facts.push(("problem", "a file is another user's".into()));
        return Some(object);
    }
    let Some(status) = status(&lock) else {
        let there = socket_there.is_some() || text_there.is_some();
        object.state = ObjectState::Stale;
        object.facts.push(("problem", "its lock file is gone".into()));
        return there.then_some(object);
    };
    if status.kind != FileKind::Regular || !status.ours {
        object.facts.push(("problem", format!("{} is in the way of its lock", status.kind.as_str())));
        return Some(object);
    }
    match dir.open_file(&lock) {
        Ok(fd) => fill(&mut object, &fd, status),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => object.facts.push(("problem", error.to_string())),
    }
    Some(object)
}

/// Fills in what the lock tells.
fn fill(object: &mut Object, lock: &Fd, status: Status) {
    let live = is_held(lock).unwrap_or(false);
    let state = if live { ObjectState::Live } else { ObjectState::Stale };
    if live {
        object.holders = holders(status.id);
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

/// Removes a name's files if nobody holds it. True if they are gone.
fn remove_stale(dir: &Dir, stem: &str) -> io::Result<bool> {
    let [socket, text, lock] = files(stem);
    let fd = match dir.open_file(&lock) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match dir.create_file(&lock) {
            // It has a lock by now, and goes with it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            made => made?,
        },
        opened => opened?,
    };
    if !try_lock(&fd, Lock::Exclusive)? || !same_file(dir, &lock, &fd)? {
        return Ok(false);
    }
    for file in [socket, text, lock] {
        gone_is_none(dir.unlink(&file))?;
    }
    Ok(true)
}

fn remove_by_force(dir: &Dir, file: &str) -> io::Result<()> {
    let Some(status) = gone_is_none(dir.stat(file))? else { return Ok(()) };
    match status.kind {
        FileKind::Regular | FileKind::Socket if status.ours => gone_is_none(dir.unlink(file)).map(drop),
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
