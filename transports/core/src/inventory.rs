use crate::Name;

/// A named object on this machine, as an inventory shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The full name. `None` if the object is too damaged to tell.
    pub name: Option<Name>,
    /// The kind of object, such as `block`, `rendezvous` or `queue`.
    pub kind: &'static str,
    /// Whether a process holds it.
    pub state: ObjectState,
    /// The object of the operating system, usually a path.
    pub path: String,
    /// The length of its content in bytes, if it has any.
    pub size: Option<u64>,
    /// The ids of the processes that hold it, as far as the platform knows them.
    pub holders: Vec<u32>,
    /// Further facts for people, as label and value.
    pub facts: Vec<(&'static str, String)>,
}

/// Whether a process holds an object. A lock that dies with its holder decides that, never a
/// process id or the age of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectState {
    /// At least one process holds it.
    Live,
    /// No process holds it: the leftover of a crash. The next `create` or `open` of its name, or a
    /// sweep, reclaims it.
    Stale,
    /// No process holds it, and it is meant to stay (`persist=true`).
    Persistent,
    /// Not an object of this transport, or damaged.
    Invalid,
}

impl ObjectState {
    /// The state in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Persistent => "persistent",
            Self::Invalid => "invalid",
        }
    }
}
