//! `tcp://host:port`: ports in place of names, and a secret, because the kernel does not tell a
//! peer's user.

mod key;
mod place;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyipc_byte_stream::{
    Acceptor, Authentication, CAPACITY, Listener, Place, Stream, StreamEndpoint, Text, capacity,
};
use anyipc_core::{
    Capabilities, Error, ErrorKind, Key as OptionKey, KeyKind, Name, Operation, Options, Result,
    Side as For, Transport, keys,
};

/// `allow_remote`: addresses beyond this machine.
const ALLOW_REMOTE: OptionKey = OptionKey::new(
    "allow_remote",
    KeyKind::Flag,
    For::Both,
    "true: other addresses than this machine's loopback, too; authenticated, not encrypted",
)
.or("false");
/// `key_file`: the shared secret.
const KEY_FILE: OptionKey = OptionKey::new(
    "key_file",
    KeyKind::Text,
    For::Both,
    "file of the secret that both sides share, this user's alone (mode 0600); without it one is \
     made on first use",
);

/// The longest wait for a port that its last owner is leaving, and for the answer of a port.
const PORT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a call waits for the look-up of a host, and for the owner to send its text, unless the
/// address says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit of the first try to connect. Each later try has twice as long.
const FIRST_TRY: Duration = Duration::from_millis(20);

/// `tcp://host:port`: channels over TCP between processes that know the secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Transport for Tcp {
    type Endpoint = StreamEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["tcp"]
    }

    fn keys(&self) -> &'static [OptionKey] {
        &[ALLOW_REMOTE, CAPACITY, KEY_FILE, keys::TRUST_ANYWAY]
    }

    fn about(&self) -> &'static str {
        "a listening TCP port and two connections per channel, without delay; buffers within \
         net.core.wmem_max and rmem_max where there are such"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::LPSZ
            | Capabilities::CHANNEL
            | Capabilities::HANDSHAKE
    }

    /// The system finds a free port.
    fn unique_name(&self, start: Option<&Name>, _random: &str) -> Result<Name> {
        match start {
            None => Name::new("127.0.0.1:0"),
            Some(start) if start.as_str().ends_with(":0") => Ok(start.clone()),
            Some(start) => Err(Error::new(Operation::Create, ErrorKind::InvalidName).because(
                format!("{start}: with ?unique leave the name out, or end it with port 0"),
            )),
        }
    }

    fn create(&self, name: &Name, options: &Options) -> Result<StreamEndpoint> {
        own(name, options, None, Operation::Create)
    }

    fn open(&self, name: &Name, options: &Options) -> Result<StreamEndpoint> {
        let operation = Operation::Open;
        let deadline = Deadline::new(options);
        let addresses =
            place::resolve(name, options.flag(ALLOW_REMOTE), operation, deadline.left())?;
        let key = Arc::new(key::load(options.text(KEY_FILE), operation)?);
        for address in addresses {
            let asked = answers(&address, deadline.left().min(PORT_TIMEOUT));
            if asked.map_err(|e| Error::io(operation, &format!("reaching {address}"), e))? {
                return Ok(StreamEndpoint::opener(Place::Tcp {
                    address,
                    key,
                    timeout: timeout(options),
                }));
            }
        }
        Err(Error::new(operation, ErrorKind::NotFound)
            .because(format!("no owner listens at {name}; create it first")))
    }

    /// The owner keeps the text, and sends it while it accepts. `create=open_or_create` does not
    /// apply: a live name is `Exists`.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<StreamEndpoint> {
        own(name, options, Some(text), Operation::AllocLpsz)
    }

    fn close(&self, endpoint: StreamEndpoint) -> Result<()> {
        endpoint.close()
    }
}

/// Becomes the owner, at the first of the name's addresses at which it can listen.
fn own(
    name: &Name,
    options: &Options,
    text: Option<&[u8]>,
    operation: Operation,
) -> Result<StreamEndpoint> {
    let deadline = Deadline::new(options);
    let addresses = place::resolve(name, options.flag(ALLOW_REMOTE), operation, deadline.left())?;
    let key = Arc::new(key::load(options.text(KEY_FILE), operation)?);
    let (capacity, timeout) = (capacity(options, operation)?, timeout(options));
    let adopts = text.is_none() && options.text(keys::CREATE) == Some("open_or_create");
    let text = Text::new(text)?;
    let mut last = None;
    for address in addresses {
        match listen(&address, deadline.left().min(PORT_TIMEOUT)) {
            Ok(listener) => {
                let address = listener
                    .address()
                    .map_err(|e| Error::io(operation, "asking for the port", e))?;
                let authentication = Authentication::Secret(Arc::clone(&key), address.port(), text);
                let acceptor = Acceptor::new(listener, authentication, capacity, operation)?;
                return Ok(StreamEndpoint::owner(
                    Place::Tcp { address, key, timeout },
                    acceptor,
                    None,
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if adopts {
                    return Ok(StreamEndpoint::opener(Place::Tcp { address, key, timeout }));
                }
                return Err(Error::new(operation, ErrorKind::Exists).because(format!(
                    "another socket listens at {address}: open it, create it with \
                     create=open_or_create, or choose another port"
                )));
            }
            Err(error) => {
                last = Some(Error::io(operation, &format!("listening at {address}"), error))
            }
        }
    }
    Err(last.unwrap_or_else(|| Error::new(operation, ErrorKind::InvalidName)))
}

/// The end of a call's time: the address's `timeout`.
struct Deadline(Option<Instant>);

impl Deadline {
    fn new(options: &Options) -> Self {
        Self(Instant::now().checked_add(timeout(options)))
    }

    fn left(&self) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }
}

/// The address's `timeout`.
fn timeout(options: &Options) -> Duration {
    options.span(keys::TIMEOUT).unwrap_or(TIMEOUT)
}

/// Listens at a port. Waits for an owner that is just leaving it, for at most `time`.
fn listen(address: &SocketAddr, time: Duration) -> io::Result<Listener> {
    let deadline = Instant::now() + time;
    loop {
        match Listener::tcp(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Of two sockets that begin to listen at once the kernel may refuse both, so a
                // refusal alone does not mean a listener. A port that does not answer in time
                // counts as one.
                match answers(address, left) {
                    Ok(false) if !left.is_zero() => {}
                    Err(other) if other.kind() != io::ErrorKind::TimedOut => return Err(other),
                    _ => return Err(error),
                }
                thread::yield_now();
            }
            done => return done,
        }
    }
}

/// True if an owner listens. The owner sees a connector that leaves before its hello.
///
/// # Errors
/// `TimedOut` if nothing answers within `time`.
fn answers(address: &SocketAddr, time: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + time;
    let mut limit = FIRST_TRY;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match is_connected_within(address, limit.min(left)) {
            Ok(true) => return Ok(true),
            Ok(false) if limit >= left => return Err(io::ErrorKind::TimedOut.into()),
            // A listener that closes at this instant may drop the connection: try again.
            Ok(false) => limit *= 2,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                    return Ok(false);
                }
                _ => return Err(error),
            },
        }
    }
}

fn is_connected_within(address: &SocketAddr, time: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + time;
    let stream = Stream::tcp(address)?;
    while !stream.connected()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}
