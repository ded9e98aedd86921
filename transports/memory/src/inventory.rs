//! The files of the directory as objects: named memory, rendezvous, and what crashes left.

use std::slice;

use anyipc_core::{Name, Object, Result};

use crate::attachment::{clean, remove_companions};
use crate::header::{Header, LPSZ, PERSIST};
use crate::kind::{Kind, LOCK, SOCKET};
use crate::sys::{
    Contents, Dir, Fd, FileKind, Group, GroupKind, ObjectFacts, ObjectFile, UNPUBLISHED, WakeFifo,
    files_of, remove_groups, sweep_groups,
};

/// All objects of the directory, the unknown ones as `Invalid`. Unpublished leftovers are only in
/// [`sweep`].
///
/// # Errors
/// If the directory cannot be read.
pub fn list(dir: &Dir, kind: &'static Kind) -> Result<Vec<Object>> {
    let published = groups(dir, kind)?.into_iter().filter(|group| group.kind.object != UNFINISHED);
    Ok(published.filter_map(|group| group.describe(dir)).collect())
}

/// The objects of one name; none is an empty list.
///
/// # Errors
/// None yet.
pub fn inspect(dir: &Dir, kind: &'static Kind, name: &Name) -> Result<Vec<Object>> {
    Ok(of_name(kind, name).iter().filter_map(|group| group.describe(dir)).collect())
}

/// Removes the objects of a name. A live one is `Busy` unless `force`: then its holders keep their
/// memory without a name, and their close reports `StatFailed`. Another user's file is never
/// removed.
///
/// # Errors
/// `NotFound`, `Busy`, `Corrupt`.
pub fn remove(dir: &Dir, kind: &'static Kind, name: &Name, force: bool) -> Result<()> {
    remove_groups(dir, of_name(kind, name), force)
}

/// What is stale, unpublished or invalid. With `fix` the first two are removed; a file that is not
/// provably ours and dead never is.
///
/// # Errors
/// If the directory cannot be read, or a file cannot be removed.
pub fn sweep(dir: &Dir, kind: &'static Kind, fix: bool) -> Result<Vec<Object>> {
    sweep_groups(dir, groups(dir, kind)?, fix)
}

/// The kind of a file that is not published yet.
const UNFINISHED: &str = "unpublished";

fn memory(kind: &'static Kind) -> GroupKind {
    GroupKind {
        object: kind.noun,
        ends: slice::from_ref(&kind.suffix),
        shown: kind.suffix,
        lock: FileKind::Regular,
        text: None,
        contents: Contents::Object(kind),
    }
}

fn rendezvous(kind: &'static Kind) -> GroupKind {
    GroupKind {
        object: "rendezvous",
        ends: &[SOCKET, LOCK],
        shown: LOCK,
        lock: FileKind::Regular,
        text: None,
        contents: Contents::Owner(kind.naming()),
    }
}

/// A file that is an object by itself.
fn alone(object: &'static str, lock: FileKind, contents: Contents) -> GroupKind {
    GroupKind { object, ends: &[""], shown: "", lock, text: None, contents }
}

fn of_name(kind: &'static Kind, name: &Name) -> [Group; 2] {
    [memory(kind), rendezvous(kind)].map(|files| Group { stem: kind.stem(name), kind: files })
}

/// The groups of this kind's files.
fn groups(dir: &Dir, kind: &'static Kind) -> Result<Vec<Group>> {
    let mut files = files_of(dir, kind.prefix)?;
    files.retain(|file| kind.owns(file));
    files.sort();
    Ok(files.iter().filter_map(|file| group_of(file, kind, &files)).collect())
}

/// The group of a file. `None` for all of its files but one. `files` are sorted.
fn group_of(file: &str, kind: &'static Kind, files: &[String]) -> Option<Group> {
    let is_there = |stem: &str, end| files.binary_search(&format!("{stem}{end}")).is_ok();
    let (stem, files) = if let Some(stem) = file.strip_suffix(kind.suffix) {
        (stem, memory(kind))
    } else if let Some(stem) = file.strip_suffix(LOCK) {
        (stem, rendezvous(kind))
    } else if let Some(stem) = file.strip_suffix(SOCKET) {
        if is_there(stem, LOCK) {
            return None;
        }
        (stem, rendezvous(kind))
    } else if let Some(stem) = kind.master_of(file) {
        if is_there(stem, kind.suffix) {
            return None;
        }
        (file, alone("wake FIFO", WakeFifo::KIND, Contents::Unnamed))
    } else if file.ends_with(UNPUBLISHED) {
        (file, alone(UNFINISHED, FileKind::Regular, Contents::Unnamed))
    } else {
        (file, alone("unknown", FileKind::Regular, Contents::Unknown))
    };
    Some(Group { stem: stem.to_owned(), kind: files })
}

impl ObjectFile for Kind {
    fn read(&self, file: &Fd) -> Result<ObjectFacts, String> {
        let header = Header::read(file, self).map_err(|bad| bad.why)?;
        let contents = if header.flags & LPSZ != 0 { "a text and a NUL" } else { "bytes" };
        Ok(ObjectFacts {
            name: header.name,
            size: header.size as u64,
            persists: header.flags & PERSIST != 0,
            contents: self.is_plain().then_some(contents),
        })
    }

    fn release(&self, dir: &Dir, name: &str, file: Option<&Fd>) {
        remove_companions(dir, self, name);
        if let Some(file) = file {
            clean(self, file);
        }
    }
}
