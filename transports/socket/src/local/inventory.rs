//! What lies in the directory under this transport's names: live owners, and what crashes left behind.

use std::collections::BTreeSet;

use anyipc_core::{Name, Object, Result};
use anyipc_os::{Dir, FileKind, Group, GroupKind, files_of, remove_groups, sweep_groups};

use super::{MARKS, PREFIX, SOCKET, TEXT};

static RENDEZVOUS: GroupKind = GroupKind {
    object: "rendezvous",
    ends: &[SOCKET, TEXT, MARKS.suffix],
    lock: FileKind::Regular,
    text: Some(TEXT),
    marks: Some(&MARKS),
};

/// All objects of this transport.
pub(super) fn list(dir: &Dir) -> Result<Vec<Object>> {
    Ok(groups(dir)?.filter_map(|group| group.describe(dir)).collect())
}

/// The object of one name; none is an empty list.
pub(super) fn inspect(dir: &Dir, name: &Name) -> Vec<Object> {
    of_name(name).describe(dir).into_iter().collect()
}

/// Removes what stands at a name.
pub(super) fn remove(dir: &Dir, name: &Name, force: bool) -> Result<()> {
    remove_groups(dir, [of_name(name)], force)
}

/// What is stale or invalid. With `fix` the stale is removed.
pub(super) fn sweep(dir: &Dir, fix: bool) -> Result<Vec<Object>> {
    sweep_groups(dir, groups(dir)?, fix)
}

fn of_name(name: &Name) -> Group {
    Group { stem: format!("{PREFIX}{}", name.os_name()), kind: &RENDEZVOUS }
}

/// What all files of this transport belong to.
fn groups(dir: &Dir) -> Result<impl Iterator<Item = Group>> {
    let stem = |file: &String| {
        let cut = RENDEZVOUS.ends.iter().find_map(|end| file.strip_suffix(end));
        cut.unwrap_or(file).to_owned()
    };
    let stems: BTreeSet<_> = files_of(dir, PREFIX)?.iter().map(stem).collect();
    Ok(stems.into_iter().map(|stem| Group { stem, kind: &RENDEZVOUS }))
}
