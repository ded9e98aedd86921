//! The objects of this transport in the directory: live owners and connectors, and leftovers of
//! crashes.

use std::collections::BTreeMap;

use anyipc_core::{Name, Object, Result};
use anyipc_os::{Contents, Dir, FileKind, Group, GroupKind, files_of, remove_groups, sweep_groups};

use crate::fifos::files::{CONNECTION, LISTENER, NAMING, PREFIX, TEXT, UNFINISHED_TEXT, stem};
use crate::fifos::request::{CONNECTION_ID, is_connection_id};

/// The files of a name.
static RENDEZVOUS: GroupKind = GroupKind {
    object: "rendezvous",
    ends: &[LISTENER, TEXT, UNFINISHED_TEXT, NAMING.suffix],
    shown: LISTENER,
    lock: FileKind::Regular,
    text: Some(TEXT),
    contents: Contents::Owner(NAMING),
};

/// The files of a connection that the owner has not joined yet.
static OFFER: GroupKind = GroupKind {
    object: "connection",
    ends: &CONNECTION,
    shown: CONNECTION[0],
    lock: FileKind::Fifo,
    text: None,
    contents: Contents::Unnamed,
};

/// All objects of this transport.
pub(crate) fn list(dir: &Dir) -> Result<Vec<Object>> {
    Ok(groups(dir)?.filter_map(|group| group.describe(dir)).collect())
}

/// The objects of one name; an empty list if there are none.
pub(crate) fn inspect(dir: &Dir, name: &Name) -> Result<Vec<Object>> {
    Ok(of_name(dir, name)?.filter_map(|group| group.describe(dir)).collect())
}

/// Removes the objects of a name, and the connections that its owner has not joined yet.
pub(crate) fn remove(dir: &Dir, name: &Name, force: bool) -> Result<()> {
    remove_groups(dir, of_name(dir, name)?, force)
}

/// The stale and the invalid objects. With `fix` the stale ones are removed.
pub(crate) fn sweep(dir: &Dir, fix: bool) -> Result<Vec<Object>> {
    sweep_groups(dir, groups(dir)?, fix)
}

/// Removes the files beside the lock, which the caller holds, and what dead connectors left. A file
/// that is no FIFO or text of this user's stays; the next step then fails on it.
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
    for group in of_name(dir, name).into_iter().flatten().filter(is_offer) {
        let _ = group.remove_stale(dir, false);
    }
}

/// All files of this transport, in groups.
fn groups(dir: &Dir) -> Result<impl Iterator<Item = Group>> {
    let stems: BTreeMap<_, _> = files_of(dir, PREFIX)?.iter().map(|file| group_of(file)).collect();
    Ok(stems.into_iter().map(|(stem, kind)| Group { stem, kind: *kind }))
}

fn of_name(dir: &Dir, name: &Name) -> Result<impl Iterator<Item = Group>> {
    let wanted = stem(name);
    Ok(groups(dir)?.filter(move |group| match group.stem.rsplit_once('.') {
        Some((of, _)) if is_offer(group) => of == wanted,
        _ => group.stem == wanted,
    }))
}

fn is_offer(group: &Group) -> bool {
    group.kind.object == OFFER.object
}

/// The stem and the kind of a file's group.
fn group_of(file: &str) -> (String, &'static GroupKind) {
    let connection = OFFER.ends.iter().find_map(|end| file.strip_suffix(end));
    let connection_id =
        connection.and_then(|stem| stem.rsplit_once('.')).map(|(_, connection_id)| connection_id);
    if let (Some(stem), Some(CONNECTION_ID)) =
        (connection, connection_id.filter(|text| is_connection_id(text)).map(str::len))
    {
        return (stem.to_owned(), &OFFER);
    }
    let stem = RENDEZVOUS.ends.iter().find_map(|end| file.strip_suffix(end));
    (stem.unwrap_or(file).to_owned(), &RENDEZVOUS)
}
