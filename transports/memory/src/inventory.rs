//! What lies in the directory: blocks, rendezvous, and what crashes left behind.
//!
//! Looking takes no lock that could stand in anyone's way; only removing does.

use std::io;

use anyipc_core::{Error, ErrorKind, Name, Object, ObjectState, Operation, Result};

use crate::header::{Header, LPSZ, PERSIST};
use crate::kind::{BLOCK, Kind, LOCK, SOCKET, TEMPORARY};
use crate::segment::{clean, remove_companions};
use crate::sys::{Dir, Fd, FileKind, Lock, Status, holders, insist, is_held, same_file, try_lock};

/// All objects of the directory, the unknown ones as `Invalid`. Unpublished leftovers are only in [`sweep`].
///
/// # Errors
/// If the directory cannot be read.
pub fn list(dir: &Dir, kind: &Kind) -> Result<Vec<Object>> {
    let files = files(dir, kind)?;
    let published = files.iter().filter(|f| !f.ends_with(TEMPORARY));
    Ok(published.filter_map(|f| describe(dir, kind, f, &files)).collect())
}

/// The objects of one name; none is an empty list.
///
/// # Errors
/// None yet.
pub fn inspect(dir: &Dir, kind: &Kind, name: &Name) -> Result<Vec<Object>> {
    let files = files_of(kind, name);
    Ok(files.iter().filter_map(|f| describe(dir, kind, f, &files)).collect())
}

fn files_of(kind: &Kind, name: &Name) -> [String; 3] {
    [kind.suffix, LOCK, SOCKET].map(|end| kind.stem(name) + end)
}

/// Removes what stands at a name. What is alive is `Busy` unless `force`: then its holders keep their memory
/// without a name, and their close reports `StatFailed`. What is not a file of this user is never removed.
///
/// # Errors
/// `NotFound`, `Busy`, `Corrupt`.
pub fn remove(dir: &Dir, kind: &Kind, name: &Name, force: bool) -> Result<()> {
    let files = files_of(kind, name);
    let found: Vec<_> =
        files.iter().filter_map(|f| Some((f, describe(dir, kind, f, &files)?))).collect();
    if found.is_empty() {
        return Err(Error::new(Operation::Remove, ErrorKind::NotFound));
    }
    let refuse = |object: &Object, kind, why: &str| {
        Err(Error::new(Operation::Remove, kind).because(format!("{}: {why}", object.path)))
    };
    for (_, object) in found.iter().filter(|_| !force) {
        match object.state {
            ObjectState::Live => {
                let holders = match object.holders.as_slice() {
                    [] => "processes that have no number here".to_owned(),
                    numbers => format!("processes {numbers:?}"),
                };
                let why = format!("{holders} hold it; --force removes it all the same");
                return refuse(object, ErrorKind::Busy, &why);
            }
            ObjectState::Invalid => {
                let why = "damaged, or not an object of ours; --force removes a file or a socket";
                return refuse(object, ErrorKind::Corrupt, why);
            }
            ObjectState::Stale | ObjectState::Persistent => {}
        }
    }
    if force {
        for file in &files {
            remove_by_force(dir, kind, file)
                .map_err(|e| unremoved(dir, file, Operation::Remove, e))?;
        }
        return Ok(());
    }
    for (file, object) in found {
        let is_held = || {
            describe(dir, kind, file, &files)
                .is_some_and(|object| object.state == ObjectState::Live)
        };
        if !insist(is_held, || remove_stale(dir, kind, file, true))
            .map_err(|e| unremoved(dir, file, Operation::Remove, e))?
        {
            return refuse(&object, ErrorKind::Busy, "another process holds it again");
        }
    }
    Ok(())
}

/// What is stale, unpublished or invalid. With `fix` the first two are removed; what is not provably ours
/// and dead never is.
///
/// # Errors
/// If the directory cannot be read, or a file cannot be removed.
pub fn sweep(dir: &Dir, kind: &Kind, fix: bool) -> Result<Vec<Object>> {
    let files = files(dir, kind)?;
    let mut left = Vec::new();
    for file in &files {
        let Some(object) = describe(dir, kind, file, &files) else { continue };
        match object.state {
            ObjectState::Live | ObjectState::Persistent => continue,
            ObjectState::Stale if fix => {
                remove_stale(dir, kind, file, false)
                    .map_err(|e| unremoved(dir, file, Operation::List, e))?;
            }
            ObjectState::Stale | ObjectState::Invalid => {}
        }
        left.push(object);
    }
    Ok(left)
}

fn files(dir: &Dir, kind: &Kind) -> Result<Vec<String>> {
    let names = dir
        .list()
        .map_err(|e| Error::io(Operation::List, &format!("reading {}", dir.path().display()), e))?;
    let names = names.into_iter().map(|name| name.to_string_lossy().into_owned());
    Ok(names.filter(|name| kind.owns(name)).collect())
}

fn path(dir: &Dir, file: &str) -> String {
    dir.path().join(file).display().to_string()
}

fn unremoved(dir: &Dir, file: &str, op: Operation, error: io::Error) -> Error {
    Error::io(op, &format!("removing {}", path(dir, file)), error)
}

/// What is known about a file. `None` if it is gone, or a part of an object listed by another file.
fn describe(dir: &Dir, kind: &Kind, file: &str, files: &[String]) -> Option<Object> {
    let mut object = Object {
        name: None,
        kind: "unknown",
        state: ObjectState::Invalid,
        path: path(dir, file),
        size: None,
        holders: Vec::new(),
        facts: Vec::new(),
    };
    let status = dir.stat(file).ok()?;
    if let Some(stem) = file.strip_suffix(SOCKET) {
        if files.iter().any(|other| other.strip_suffix(LOCK) == Some(stem))
            && dir.stat(&format!("{stem}{LOCK}")).is_ok()
        {
            return None;
        }
        object.kind = "rendezvous";
        object.facts.push(("problem", "a socket without its lock file".into()));
        if status.kind == FileKind::Socket && status.ours {
            object.state = ObjectState::Stale;
        }
        return Some(object);
    }
    if let Some(stem) = kind.master_of(file) {
        if files.iter().any(|other| other.strip_suffix(kind.suffix) == Some(stem)) {
            return None;
        }
        object.kind = "bell";
        object.facts.push(("problem", "what it belonged to is gone".into()));
        if status.ours {
            object.state = ObjectState::Stale;
        }
        return Some(object);
    }
    object.kind = match file {
        _ if file.ends_with(kind.suffix) => kind.noun,
        _ if file.ends_with(LOCK) => "rendezvous",
        _ if file.ends_with(TEMPORARY) => "unpublished",
        _ => "unknown",
    };
    if status.kind != FileKind::Regular || !status.ours {
        let what = if status.kind == FileKind::Regular {
            "another user's file"
        } else {
            status.kind.as_str()
        };
        object.facts.push(("problem", format!("{what} is in the way")));
        return Some(object);
    }
    let fd = match dir.open_file(file) {
        Ok(fd) => fd,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            object.facts.push(("problem", error.to_string()));
            return Some(object);
        }
    };
    fill(&mut object, kind, &fd, status);
    Some(object)
}

/// Fills in what the file itself tells.
fn fill(object: &mut Object, kind: &Kind, fd: &Fd, status: Status) {
    let live = is_held(fd).unwrap_or(false);
    let state = |persists| match (live, persists) {
        (true, _) => ObjectState::Live,
        (false, true) => ObjectState::Persistent,
        (false, false) => ObjectState::Stale,
    };
    if live {
        object.holders = holders(status.id);
    }
    match object.kind {
        noun if noun == kind.noun => match Header::read(fd, kind) {
            Ok(header) => {
                object.state = state(header.flags & PERSIST != 0);
                object.size = Some(header.size as u64);
                if noun == BLOCK.noun {
                    let contents =
                        if header.flags & LPSZ != 0 { "a text and a NUL" } else { "bytes" };
                    object.facts.push(("contents", contents.into()));
                }
                object.name = Some(header.name);
            }
            Err(bad) => object.facts.push(("problem", bad.why)),
        },
        "rendezvous" => match kind.marks().owner_of(fd) {
            Some((pid, name)) => {
                object.state = state(false);
                object.name = Name::new(&name).ok();
                object.facts.push(("owner", pid.to_string()));
            }
            // Killed before it wrote, or about to write.
            None if status.size == 0 => object.state = state(false),
            None => object.facts.push(("problem", "it does not start like a rendezvous".into())),
        },
        "unpublished" => object.state = state(false),
        _ => object.facts.push(("problem", "its name is not one of ours".into())),
    }
}

/// Removes a file that nobody holds. True if it is gone.
fn remove_stale(dir: &Dir, kind: &Kind, file: &str, persistent_too: bool) -> io::Result<bool> {
    if kind.master_of(file).is_some() {
        // What it belonged to is gone, and nobody makes one before that is there again.
        return gone_is_none(dir.unlink(file)).map(|_| true);
    }
    if let Some(stem) = file.strip_suffix(SOCKET) {
        return remove_socket(dir, file, &format!("{stem}{LOCK}"));
    }
    let Some(fd) = gone_is_none(dir.open_file(file))? else { return Ok(true) };
    if !try_lock(&fd, Lock::Exclusive)? {
        return Ok(false);
    }
    if !same_file(dir, file, &fd)? {
        // Another came in its place; it looks after itself.
        return Ok(false);
    }
    let memory = file.ends_with(kind.suffix);
    if memory && !persistent_too {
        // Looked at again under the lock.
        match Header::read(&fd, kind) {
            Ok(header) if header.flags & PERSIST == 0 => {}
            _ => return Ok(false),
        }
    }
    if let Some(stem) = file.strip_suffix(LOCK) {
        gone_is_none(dir.unlink(&format!("{stem}{SOCKET}")))?;
    }
    if memory {
        remove_companions(dir, kind, file);
        clean(kind, &fd);
    }
    gone_is_none(dir.unlink(file))?;
    Ok(true)
}

/// Removes a socket under its lock, so that it is no new owner's.
fn remove_socket(dir: &Dir, socket: &str, lock: &str) -> io::Result<bool> {
    let fd = match dir.create_file(lock) {
        Ok(fd) => fd,
        // It has a lock by now, and goes with it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    if !try_lock(&fd, Lock::Exclusive)? || !same_file(dir, lock, &fd)? {
        return Ok(false);
    }
    gone_is_none(dir.unlink(socket))?;
    gone_is_none(dir.unlink(lock))?;
    Ok(true)
}

fn remove_by_force(dir: &Dir, kind: &Kind, file: &str) -> io::Result<()> {
    remove_companions(dir, kind, file);
    let Some(status) = gone_is_none(dir.stat(file))? else { return Ok(()) };
    match status.kind {
        FileKind::Regular | FileKind::Socket if status.ours => {
            if file.ends_with(kind.suffix)
                && let Ok(fd) = dir.open_file(file)
            {
                clean(kind, &fd);
            }
            gone_is_none(dir.unlink(file)).map(drop)
        }
        kind => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} that may not be ours: remove it by hand", kind.as_str()),
        )),
    }
}

fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
