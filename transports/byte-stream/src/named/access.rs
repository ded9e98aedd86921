use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Key, KeyKind, Operation, Options, Result, Side};
use anyipc_os::{Dir, Scope, user};

use crate::sys::Credentials;

/// `scope`: which users may reach the name.
pub const SCOPE: Key = Key::new(
    "scope",
    KeyKind::Choice(&["user", "system"]),
    Side::Both,
    "user: this user only; system: the users that allow_uid names, too",
)
.or("user");
/// `allow_uid`: the other users.
pub const ALLOW_UID: Key = Key::new(
    "allow_uid",
    KeyKind::Text,
    Side::Both,
    "with scope=system: numbers of other users, separated by commas, that may connect, or own \
     what is connected to",
);

/// The authorised users: this side's own, and those of `allow_uid`.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// True if the name is in a directory that other users can reach.
    shared: bool,
    /// The users of `allow_uid`.
    others: Arc<[u32]>,
}

impl Access {
    pub(super) fn read(options: &Options, operation: Operation) -> Result<Self> {
        let invalid = |why: String| Error::new(operation, ErrorKind::InvalidOption).because(why);
        let shared = options.text(SCOPE) == Some("system");
        let Some(list) = options.text(ALLOW_UID) else {
            return Ok(Self { shared, ..Self::default() });
        };
        if !shared {
            return Err(invalid("allow_uid= says nothing without scope=system".into()));
        }
        let number = |text: &str| {
            text.parse().map_err(|_| {
                invalid(format!("allow_uid={list}: users are numbers, such as 1000,1001"))
            })
        };
        Ok(Self { shared, others: list.split(',').map(number).collect::<Result<_>>()? })
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// The user's number if it is not authorised.
    pub(crate) fn unauthorised(&self, peer: &Credentials) -> Option<u32> {
        peer.uid.filter(|uid| *uid != user() && !self.others.contains(uid))
    }

    /// The directory of this user's own objects, created if it is missing.
    pub(super) fn directory(&self, operation: Operation) -> Result<Arc<Dir>> {
        let dir =
            if self.shared { Dir::shared(operation) } else { Dir::open(Scope::User, operation) };
        dir.map(Arc::new)
    }

    /// The directories of the other users' objects, those that exist.
    pub(super) fn directories_of_others(
        &self,
        operation: Operation,
    ) -> impl Iterator<Item = Result<Arc<Dir>>> {
        let dirs = self.others.iter().map(move |uid| Dir::shared_of(*uid, operation));
        dirs.filter_map(|dir| dir.map(|dir| dir.map(Arc::new)).transpose())
    }
}
