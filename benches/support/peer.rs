//! The other side: this executable again, or a thread for a transport that reaches no other process.

use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyipc::{Channel, Endpoint};

use super::Subject;
use super::channel::ChannelLink;
use super::link::{Failure, Handling};
use super::pattern::{round_trip, stream};
use super::payload::Verify;
use super::pin::{cores, pin};

/// Holds what the second process does: core (or `-`), role, number, address.
const ORDER: &str = "ANYIPC_BENCH_PEER";

/// Messages are written and read in place.
const HANDLING: Handling = Handling { verify: Verify::Full, in_place: true };

/// The cores of the two sides.
static CORES: LazyLock<Option<[usize; 2]>> = LazyLock::new(cores);

/// What the other side does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// Answers each message of this size.
    Answer(usize),
    /// Takes all messages of this size and confirms the last.
    Drain(usize),
    /// First receives an address, then, again and again, how often to connect to it and to leave.
    Connect,
    /// First receives an address and connects so often, then receives, again and again, how many messages to send
    /// over these channels in turn.
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

/// A channel to the other side, which ends with it.
pub(crate) struct Connection<C> {
    pub(crate) channel: C,
    /// Dropped after the channel.
    _peer: Peer,
}

impl Connection<Channel> {
    /// Starts the other side, on a core of its own, and connects it.
    pub(crate) fn new(subject: &Subject, role: Role) -> Self {
        let owner = owner(subject);
        let url = owner.address().to_string();
        let core = CORES.map(|[first, second]| {
            pin(first);
            second
        });
        let peer = if subject.across {
            let core = core.map_or("-".to_owned(), |core| core.to_string());
            let order = format!("{core} {} {url}", role.words());
            let program = std::env::current_exe().unwrap();
            Peer(Some(Kind::Process(Command::new(program).env(ORDER, order).spawn().unwrap())))
        } else {
            Peer(Some(Kind::Thread(thread::spawn(move || work(role, core, &url).unwrap()))))
        };
        Self { channel: owner.accept_timeout(Duration::from_secs(10)).unwrap(), _peer: peer }
    }

    /// For checked messages.
    pub(crate) fn checked(self) -> Connection<ChannelLink> {
        Connection { channel: ChannelLink::new(self.channel, HANDLING), _peer: self._peer }
    }

    /// Tells the other side's role a number.
    pub(crate) fn tell(&mut self, number: u64) {
        self.channel.send(&number.to_le_bytes()).unwrap();
    }
}

/// Owns a name that nobody else has.
pub(crate) fn owner(subject: &Subject) -> Endpoint {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let url = match subject.scheme {
        "tcp" => "tcp://127.0.0.1:0".to_owned(),
        scheme => format!("{scheme}://benches.{}.{serial}", std::process::id()),
    };
    anyipc::create(url).unwrap()
}

enum Kind {
    Process(Child),
    Thread(JoinHandle<()>),
}

/// Who is there. Dropping it waits for its end.
struct Peer(Option<Kind>);

impl Drop for Peer {
    fn drop(&mut self) {
        match self.0.take() {
            Some(Kind::Process(mut child)) => {
                // After a panic it may still wait for what never comes.
                if thread::panicking() {
                    let _ = child.kill();
                }
                let status = child.wait();
                assert!(
                    thread::panicking() || status.is_ok_and(|s| s.success()),
                    "the peer failed"
                );
            }
            Some(Kind::Thread(thread)) if !thread::panicking() => thread.join().unwrap(),
            Some(Kind::Thread(_)) | None => {}
        }
    }
}

/// Does what the environment orders; false if that is nothing.
pub(crate) fn serve() -> bool {
    let Ok(order) = std::env::var(ORDER) else { return false };
    let mut words = order.splitn(4, ' ');
    let mut word = || words.next().unwrap();
    let core = word().parse().ok();
    let role = Role::from_words(word(), word().parse().unwrap());
    work(role, core, word()).unwrap();
    true
}

fn work(role: Role, core: Option<usize>, url: &str) -> Result<(), Failure> {
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
            while stream::drain(&mut link, size)? {}
        }
        Role::Connect => {
            let target = String::from_utf8(channel.recv()?)?;
            while let Some(count) = told(&mut channel)? {
                for _ in 0..count {
                    anyipc::connect(&target)?.close()?;
                }
            }
        }
        Role::Send(channels) => {
            let target = String::from_utf8(channel.recv()?)?;
            let mut channels =
                (0..channels).map(|_| anyipc::connect(&target)).collect::<Result<Vec<_>, _>>()?;
            let mut turn = 0;
            while let Some(count) = told(&mut channel)? {
                for _ in 0..count {
                    channels[turn].send(&[7; super::FAN_IN_SIZE])?;
                    turn = (turn + 1) % channels.len();
                }
            }
        }
    }
    Ok(())
}

/// The next number, or nothing at the end.
fn told(channel: &mut Channel) -> Result<Option<u64>, Failure> {
    match channel.recv() {
        Ok(number) => Ok(Some(u64::from_le_bytes(number.as_slice().try_into()?))),
        Err(error) if error.kind() == anyipc::ErrorKind::Closed => Ok(None),
        Err(error) => Err(error.into()),
    }
}
