use crate::Name;

/// What is known about a named object on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The full name. `None` if the object is too damaged to tell.
    pub name: Option<Name>,
    /// What it is: `block`, `rendezvous`, `queue`.
    pub kind: &'static str,
    /// Whether anyone holds it.
    pub state: ObjectState,
    /// The operating-system object, usually a path.
    pub path: String,
    /// Bytes of content, where it has any.
    pub size: Option<u64>,
    /// The processes that hold it, as far as the platform tells.
    pub holders: Vec<u32>,
    /// Further facts, as label and value.
    pub facts: Vec<(&'static str, String)>,
}

/// Whether anyone holds an object. The kernel's locks tell, never a pid or an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectState {
    /// At least one process holds it.
    Live,
    /// Nobody holds it: what a crash left, reclaimed by the next `create` or `open`, or by a sweep.
    Stale,
    /// Nobody holds it and it is meant to stay.
    Persistent,
    /// Not an object of ours, or damaged.
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
