use std::sync::Arc;

use anyipc_byte_stream::capacity;
use anyipc_core::{
    Capabilities, Error, ErrorKind, Key, KeyKind, Name, Operation, Options, Result, Side,
    Transport, keys,
};

use crate::accept::Acceptor;
use crate::endpoint::{PlainEndpoint, Settings};
use crate::framing::Framing;
use crate::sys;

/// `frames`: how messages are told apart.
const FRAMES: Key = Key::new(
    "frames",
    KeyKind::Choice(Framing::WORDS),
    Side::Both,
    "lines: a line feed ends each message; length32le, length32be: 4 bytes of length before it; \
     content-length: the header of language servers. The same on both sides",
)
.or("lines");
/// `capacity`: the size of this side's send buffer.
const CAPACITY: Key = Key::new(
    "capacity",
    KeyKind::Bytes,
    Side::Both,
    "bytes of this side's send buffer; else the system's",
);
/// `allow_uid`: the other users.
const ALLOW_UID: Key = Key::new(
    "allow_uid",
    KeyKind::Text,
    Side::Both,
    "numbers of other users, separated by commas, that may be the other side",
);

/// `plain://`: local sockets for peers that do not run this library.
///
/// A name is the `GenericNamespaced` one of the [interprocess](https://docs.rs/interprocess) crate:
/// on Linux an abstract socket. An absolute path is its `GenericFilePath`: a socket in the file
/// system. Peers of other users are turned away, unless `allow_uid` names them.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainSocket;

impl Transport for PlainSocket {
    type Endpoint = PlainEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["plain"]
    }

    fn keys(&self) -> &'static [Key] {
        &[ALLOW_UID, CAPACITY, FRAMES, keys::TRUST_ANYWAY]
    }

    fn about(&self) -> &'static str {
        "one Unix stream socket per channel, of any program: plain://name is an abstract one, as \
         the interprocess crate's GenericNamespaced, plain:///path a file; nothing but messages \
         on it"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::CHANNEL
            | Capabilities::DELIVERS_AFTER_DEATH
            | Capabilities::PEER_CREDENTIALS
    }

    fn takes_paths(&self) -> bool {
        true
    }

    fn unique_name(&self, start: Option<&Name>, random: &str) -> Result<Name> {
        let name = format!("{}-{random}", start.map_or("unique", Name::as_str));
        if name.starts_with('/') { Name::path(&name) } else { Name::new(&name) }
    }

    fn create(&self, name: &Name, options: &Options) -> Result<PlainEndpoint> {
        let operation = Operation::Create;
        let settings = read(options, operation)?;
        match sys::bind(name, settings.is_shared(), operation)? {
            Some((listener, file)) => {
                let acceptor = Acceptor::new(listener, operation)?;
                Ok(PlainEndpoint::owner(name.clone(), settings, acceptor, file))
            }
            None if options.text(keys::CREATE) == Some("open_or_create") => {
                Ok(PlainEndpoint::opener(name.clone(), settings, None))
            }
            None => Err(Error::new(operation, ErrorKind::Exists)
                .because("a program listens there; open it, or say create=open_or_create")),
        }
    }

    /// Where no list tells of a listener, this connects; then the first channel is that connection,
    /// since a peer may accept only one.
    fn open(&self, name: &Name, options: &Options) -> Result<PlainEndpoint> {
        let operation = Operation::Open;
        let settings = read(options, operation)?;
        if sys::is_listed(name) {
            return Ok(PlainEndpoint::opener(name.clone(), settings, None));
        }
        match sys::connect(name) {
            Ok(stream) => Ok(PlainEndpoint::opener(name.clone(), settings, Some(stream))),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Ok(PlainEndpoint::opener(name.clone(), settings, None))
            }
            Err(error) => Err(sys::unreachable(name, operation, ErrorKind::NotFound, error)),
        }
    }

    fn alloc_lpsz(&self, _: &Name, _: &[u8], _: &Options) -> Result<PlainEndpoint> {
        Err(Error::new(Operation::AllocLpsz, ErrorKind::Unsupported)
            .because("plain:// is a socket and nothing beside it; local:// keeps texts"))
    }

    fn close(&self, endpoint: PlainEndpoint) -> Result<()> {
        endpoint.close()
    }
}

fn read(options: &Options, operation: Operation) -> Result<Settings> {
    let invalid = |why: String| Error::new(operation, ErrorKind::InvalidOption).because(why);
    if let Some(codec) = options.text(keys::CODEC).filter(|codec| *codec != "json") {
        return Err(invalid(format!(
            "codec={codec}: a peer without this library reads json; write codec=json or leave it \
             out"
        )));
    }
    let others: Result<Arc<[u32]>> = match options.text(ALLOW_UID) {
        None => Ok(Arc::default()),
        Some(list) => list
            .split(',')
            .map(|uid| {
                uid.parse().map_err(|_| {
                    invalid(format!("allow_uid={list}: users are numbers, such as 1000,1001"))
                })
            })
            .collect(),
    };
    let word = options.text(FRAMES).unwrap_or("lines");
    Ok(Settings {
        framing: Framing::from_word(word).unwrap_or(Framing::Lines),
        capacity: capacity(options, operation)?,
        others: others?,
    })
}
