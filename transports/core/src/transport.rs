use std::fmt::Debug;

use crate::{
    Capabilities, Endpoint, Error, ErrorKind, Key, Name, Object, Operation, Options, Result,
};

/// One way for processes of a machine to reach each other: creates and opens named objects.
///
/// A transport is a value, usually a unit struct, that a registry keeps and shares between threads.
/// It must do what its [`Capabilities`] claim, and answer `Unsupported` to what they do not claim.
///
/// # Blocking
/// Every method may block, but only for a bounded time: until an object that another process is
/// creating or reclaiming at this moment is in a stable state (at most a few seconds, then `Busy`),
/// or for the address's `timeout` where the system has to look something up. Waiting for a peer is
/// never done here; see [`Endpoint::try_connect`].
///
/// # Crashes
/// What a killed process leaves must not keep a name taken: the next `create` of that name
/// succeeds. Whether a process is alive is the kernel's to say (a lock that dies with its holder),
/// never a process id's or a file age's.
///
/// # Errors
/// Errors carry the [`Operation`] of the method. Together with the kind it selects the classic
/// error value, such as −1; [`SmCode`](crate::SmCode) has the table. Options arrive parsed and
/// checked against [`keys`](Self::keys); what a transport cannot do for an option's value is
/// `InvalidOption` or `Unsupported`. An option is never ignored.
pub trait Transport: Debug + Send + Sync + 'static {
    /// The handle that `create`, `open` and `alloc_lpsz` return.
    type Endpoint: Endpoint;

    /// The schemes it answers to, such as `shm`. At least one. Each begins with a lower-case ASCII
    /// letter and contains only such letters, digits, `-` and `+`.
    fn schemes(&self) -> &'static [&'static str];

    /// The options it understands beside [`COMMON_KEYS`](crate::COMMON_KEYS).
    fn keys(&self) -> &'static [Key];

    /// What it can do. Constant.
    fn capabilities(&self) -> Capabilities;

    /// One sentence for people: which objects of the operating system it is made of, and their
    /// limits.
    fn about(&self) -> &'static str {
        ""
    }

    /// True if an address may have an absolute path in place of a name: `scheme:///path`. Constant.
    fn takes_paths(&self) -> bool {
        false
    }

    /// The common beginning of the file names of a name's objects; `None` if they are no files.
    fn file_stem(&self, _name: &Name, _options: &Options) -> Option<String> {
        None
    }

    /// A name that no object has, from 128 random bits in hexadecimal digits. `start` is what it
    /// begins with, if the address says so. A transport for which the system finds free names gives
    /// the one that asks for that.
    ///
    /// # Errors
    /// `InvalidName` if there is no such name, for example since `start` is too long.
    fn unique_name(&self, start: Option<&Name>, random: &str) -> Result<Name> {
        Name::new(&format!("{}-{random}", start.map_or("unique", Name::as_str)))
    }

    /// Creates the named object and becomes its owner. With `create=open_or_create` a live object
    /// is opened instead, and the handle is an opener's.
    ///
    /// Of several callers that race for a name, in any processes, exactly one becomes the owner.
    ///
    /// # Errors
    /// `Exists` (−1) if the object is alive, `OutOfMemory` (−4); any other kind means −2.
    /// Among them `Busy` if the object stays in an unstable state, `NameCollision`,
    /// `PermissionDenied`, `Corrupt` if something that is not this transport's has the name.
    fn create(&self, name: &Name, options: &Options) -> Result<Self::Endpoint>;

    /// Opens a live object. Its owner need not accept at that moment.
    ///
    /// # Errors
    /// `NotFound` if no live object has the name, `Mismatch` if it differs from what the options
    /// insist on, `Corrupt`, `NameCollision`, `PermissionDenied` (all −3), `OutOfMemory` (−4).
    fn open(&self, name: &Name, options: &Options) -> Result<Self::Endpoint>;

    /// Creates an object that contains `text` and a NUL. `text` itself contains no NUL. The text
    /// stays until the last holder leaves with
    /// [`OUTLIVES_CREATOR`](Capabilities::OUTLIVES_CREATOR), otherwise until its creator leaves.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); `Unsupported` without [`LPSZ`](Capabilities::LPSZ).
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Self::Endpoint>;

    /// Gives the handle up. Dropping the endpoint does the same without a report.
    ///
    /// # Errors
    /// `StatFailed` (−5) if the name was removed by force while the handle held it; `Forked` in a
    /// child of the process that made the handle. The handle is released in either case.
    fn close(&self, endpoint: Self::Endpoint) -> Result<()>;

    /// All objects of this transport that the user can see, live ones and leftovers of crashes.
    ///
    /// # Errors
    /// `Unsupported` without [`INVENTORY`](Capabilities::INVENTORY), as for the next three.
    fn list(&self, _options: &Options) -> Result<Vec<Object>> {
        Err(no_inventory(Operation::List))
    }

    /// The objects of one name (a block and a rendezvous are two); none of them is an empty list or
    /// `NotFound`.
    fn inspect(&self, _name: &Name, _options: &Options) -> Result<Vec<Object>> {
        Err(no_inventory(Operation::Stat))
    }

    /// Removes the objects of one name. With `force` also live ones: their holders keep working
    /// with the peers they have, and the owner's next accept is `Removed`.
    ///
    /// # Errors
    /// `Busy` if an object is alive, unless `force`; `NotFound` if there is none.
    fn remove(&self, _name: &Name, _options: &Options, _force: bool) -> Result<()> {
        Err(no_inventory(Operation::Remove))
    }

    /// The leftovers of crashes. With `fix` they are removed. Live objects are never among them.
    fn sweep(&self, _options: &Options, _fix: bool) -> Result<Vec<Object>> {
        Err(no_inventory(Operation::List))
    }
}

fn no_inventory(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Unsupported)
        .because("this transport keeps no list of its objects; they go with their owners")
}
