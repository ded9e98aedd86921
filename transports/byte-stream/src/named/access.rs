use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Key, KeyKind, Operation, Options, Result, Side};
use anyipc_os::{Dir, Scope, user};

use crate::sys::Credentials;

/// `scope`: who may reach the name.
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
    "with scope=system: numbers of other users, separated by commas, that may connect, or own what is connected to",
);

/// With whom this side has to do: processes of its own user, and perhaps of some others.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The name lies where other users can reach it.
    shared: bool,
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

    /// That user's number, if this side has nothing to do with it.
    pub(crate) fn unauthorised(&self, who: &Credentials) -> Option<u32> {
        who.uid.filter(|uid| *uid != user() && !self.others.contains(uid))
    }

    /// Where this user's own objects lie; made if need be.
    pub(super) fn directory(&self, operation: Operation) -> Result<Arc<Dir>> {
        let dir =
            if self.shared { Dir::shared(operation) } else { Dir::open(Scope::User, operation) };
        dir.map(Arc::new)
    }

    /// Where other users' objects lie, as far as there are any.
    pub(super) fn directories_of_others(
        &self,
        operation: Operation,
    ) -> impl Iterator<Item = Result<Arc<Dir>>> {
        let dirs = self.others.iter().map(move |uid| Dir::shared_of(*uid, operation));
        dirs.filter_map(|dir| dir.map(|dir| dir.map(Arc::new)).transpose())
    }
}
