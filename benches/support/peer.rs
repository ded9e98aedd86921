//! The peer: this program again, or a thread for a transport that reaches no other process.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyipc::{Channel, Endpoint};
use anyipc_measure::Result;
use anyipc_measure::channel::ChannelLink;
use anyipc_measure::cores::{Pinning, pin};
use anyipc_measure::link::Handling;
use anyipc_measure::pattern::{round_trip, stream};
use anyipc_measure::payload::Coverage;
use anyipc_measure::process::Second;

use super::Subject;

/// The first word of the second process; core (or `-`), role, number and address follow.
const PEER: &str = "anyipc-bench-peer";

/// Messages are written and read in place.
const HANDLING: Handling = Handling { in_place: true, ..Handling::checking(Coverage::Full) };

/// The cores of the two sides, chosen before this process is pinned to one.
static CORES: LazyLock<Option<Pinning>> = LazyLock::new(Pinning::choose);

/// What the peer does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// Answers each message of this size.
    Answer(usize),
    /// Takes all messages of this size and confirms the last.
    Drain(usize),
    /// Receives an address; then, repeatedly, how often to connect to it and leave.
    Connect,
    /// Receives an address and connects this often; then receives, repeatedly, how many messages to
    /// send over these channels in turn.
    Send(usize),
}

impl Role {
    fn words(self) -> String {
        match self {
            Self::Answer(size) => format!("answer {size}"),
            Self::Drain(size) => format!("drain {size}"),
            Self::Connect => "connect 0".into(),
            Self::Send(channels) => format!("send {channels}"),
        }
    }

    fn from_words(role: &str, number: usize) -> Self {
        match role {
            "answer" => Self::Answer(number),
            "drain" => Self::Drain(number),
            "connect" => Self::Connect,
            _ => Self::Send(number),
        }
    }
}

/// A channel to the peer, which ends with it.
pub(crate) struct Connection<C> {
    pub(crate) channel: C,
    /// Dropped after the channel.
    _peer: Peer,
}

impl Connection<Channel> {
    /// Starts the peer, on a core of its own, and connects it.
    pub(crate) fn new(subject: &Subject, role: Role) -> Self {
        let owner = owner(subject);
        let url = owner.address().to_string();
        let core = CORES.map(|Pinning { driver, peer }| {
            pin(driver);
            peer
        });
        let peer = if subject.across {
            let core = core.map_or("-".to_owned(), |core| core.to_string());
            let order = format!("{PEER} {core} {} {url}", role.words());
            Peer::Process(Second::start(order.split(' ')).unwrap())
        } else {
            Peer::Thread(Some(thread::spawn(move || work(role, core, &url).unwrap())))
        };
        Self { channel: owner.accept_timeout(Duration::from_secs(10)).unwrap(), _peer: peer }
    }

    /// For checked messages.
    pub(crate) fn checked(self) -> Connection<ChannelLink> {
        Connection { channel: ChannelLink::new(self.channel, HANDLING), _peer: self._peer }
    }

    /// Tells the peer's role a number.
    pub(crate) fn tell(&mut self, number: u64) {
        self.channel.send(&number.to_le_bytes()).unwrap();
    }
}

/// Owns a new name.
pub(crate) fn owner(subject: &Subject) -> Endpoint {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let url = match subject.scheme {
        "tcp" => "tcp://127.0.0.1:0".to_owned(),
        scheme => format!("{scheme}://benches.{}.{serial}", std::process::id()),
    };
    anyipc::create(url).unwrap()
}

/// Dropping it waits for the peer's end.
enum Peer {
    Process(Second),
    Thread(Option<JoinHandle<()>>),
}

impl Drop for Peer {
    fn drop(&mut self) {
        match self {
            Self::Process(second) => {
                let succeeded = second.end().is_ok_and(|status| status.success());
                assert!(thread::panicking() || succeeded, "the peer failed");
            }
            Self::Thread(thread) if !thread::panicking() => thread.take().unwrap().join().unwrap(),
            Self::Thread(_) => {}
        }
    }
}

/// Does the work of a peer if this process is one; false if not.
pub(crate) fn serve() -> bool {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() != Some(PEER) {
        return false;
    }
    let mut word = || words.next().unwrap();
    let core = word().parse().ok();
    let role = Role::from_words(&word(), word().parse().unwrap());
    work(role, core, &word()).unwrap();
    true
}

fn work(role: Role, core: Option<usize>, url: &str) -> Result<()> {
    if let Some(core) = core {
        pin(core);
    }
    let mut channel = anyipc::connect(url)?;
    match role {
        Role::Answer(size) => {
            let mut link = ChannelLink::new(channel, HANDLING);
            while round_trip::answer(&mut link, size)? {}
        }
        Role::Drain(size) => {
            let mut link = ChannelLink::new(channel, HANDLING);
            while stream::receive_all(&mut link, size)? {}
        }
        Role::Connect => {
            let target = String::from_utf8(channel.recv()?)?;
            while let Some(count) = next_number(&mut channel)? {
                for _ in 0..count {
                    anyipc::connect(&target)?.close()?;
                }
            }
        }
        Role::Send(channels) => {
            let target = String::from_utf8(channel.recv()?)?;
            let mut channels = (0..channels)
                .map(|_| anyipc::connect(&target))
                .collect::<anyipc::Result<Vec<_>>>()?;
            let mut turn = 0;
            while let Some(count) = next_number(&mut channel)? {
                for _ in 0..count {
                    channels[turn].send(&[7; super::FAN_IN_SIZE])?;
                    turn = (turn + 1) % channels.len();
                }
            }
        }
    }
    Ok(())
}

/// The next number. `None` at the end.
fn next_number(channel: &mut Channel) -> Result<Option<u64>> {
    match channel.recv() {
        Ok(number) => Ok(Some(u64::from_le_bytes(number.as_slice().try_into()?))),
        Err(error) if error.kind() == anyipc::ErrorKind::Closed => Ok(None),
        Err(error) => Err(error.into()),
    }
}
