//! What lies in the directory under this transport's names: live owners and connectors, and what crashes left
//! behind.

use std::collections::BTreeMap;

use anyipc_core::{Name, Object, Result};
use anyipc_os::{Dir, FileKind, Group, GroupKind, files_of, remove_groups, sweep_groups};

use crate::fifos::files::{CONNECTION, LISTENER, NAMING, PREFIX, TEXT, UNFINISHED_TEXT, stem};
use crate::fifos::request::{CONNECTION_ID, is_connection_id};

/// A name's files.
static RENDEZVOUS: GroupKind = GroupKind {
    object: "rendezvous",
    ends: &[LISTENER, TEXT, UNFINISHED_TEXT, NAMING.suffix],
    lock: FileKind::Regular,
    text: Some(TEXT),
    marks: Some(&NAMING),
};

/// A connection's on its way.
static ASKING: GroupKind = GroupKind {
    object: "connection",
    ends: &CONNECTION,
    lock: FileKind::Fifo,
    text: None,
    marks: None,
};

/// All objects of this transport.
pub(crate) fn list(dir: &Dir) -> Result<Vec<Object>> {
    Ok(groups(dir)?.filter_map(|group| group.describe(dir)).collect())
}

/// The objects of one name; none is an empty list.
pub(crate) fn inspect(dir: &Dir, name: &Name) -> Result<Vec<Object>> {
    Ok(of_name(dir, name)?.filter_map(|group| group.describe(dir)).collect())
}

/// Removes what stands at a name, and the connections that are on their way to it.
pub(crate) fn remove(dir: &Dir, name: &Name, force: bool) -> Result<()> {
    remove_groups(dir, of_name(dir, name)?, force)
}

/// What is stale or invalid. With `fix` the stale is removed.
pub(crate) fn sweep(dir: &Dir, fix: bool) -> Result<Vec<Object>> {
    sweep_groups(dir, groups(dir)?, fix)
}

/// Removes what stands beside the lock, which the caller holds, and what dead connectors left. Whatever is no
/// FIFO and no text of ours stays, and is in the way.
pub(crate) fn clear(dir: &Dir, name: &Name) {
    let stem = stem(name);
    for (end, kind) in [
        (LISTENER, FileKind::Fifo),
        (TEXT, FileKind::Regular),
        (UNFINISHED_TEXT, FileKind::Regular),
    ] {
        let file = format!("{stem}{end}");
        if dir.stat(&file).is_ok_and(|status| status.kind == kind && status.ours) {
            let _ = dir.unlink(&file);
        }
    }
    for group in of_name(dir, name).into_iter().flatten().filter(is_asking) {
        let _ = group.remove_stale(dir);
    }
}

/// What all files of this transport belong to.
fn groups(dir: &Dir) -> Result<impl Iterator<Item = Group>> {
    let stems: BTreeMap<_, _> = files_of(dir, PREFIX)?.iter().map(|file| group_of(file)).collect();
    Ok(stems.into_iter().map(|(stem, kind)| Group { stem, kind }))
}

fn of_name(dir: &Dir, name: &Name) -> Result<impl Iterator<Item = Group>> {
    let wanted = stem(name);
    Ok(groups(dir)?.filter(move |group| match group.stem.rsplit_once('.') {
        Some((of, _)) if is_asking(group) => of == wanted,
        _ => group.stem == wanted,
    }))
}

fn is_asking(group: &Group) -> bool {
    group.kind.object == ASKING.object
}

/// The stem of a file's group, and its kind.
fn group_of(file: &str) -> (String, &'static GroupKind) {
    let connection = ASKING.ends.iter().find_map(|end| file.strip_suffix(end));
    let connection_id =
        connection.and_then(|stem| stem.rsplit_once('.')).map(|(_, connection_id)| connection_id);
    if let (Some(stem), Some(CONNECTION_ID)) =
        (connection, connection_id.filter(|text| is_connection_id(text)).map(str::len))
    {
        return (stem.to_owned(), &ASKING);
    }
    let stem = RENDEZVOUS.ends.iter().find_map(|end| file.strip_suffix(end));
    (stem.unwrap_or(file).to_owned(), &RENDEZVOUS)
}
