//! The other side: this executable again, or a thread for a transport that reaches no other process.

use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Subject;
use super::channel::ChannelLink;
use super::link::{Failure, Handling};
use super::pattern::{round_trip, stream};
use super::payload::Verify;
use super::pin::{cores, pin};

/// Holds what the second process does: pattern, size, core (or `-`), address.
const ORDER: &str = "ANYIPC_BENCH_PEER";

/// Messages are written and read in place.
const HANDLING: Handling = Handling { verify: Verify::Full, in_place: true };

/// The cores of the two sides.
static CORES: LazyLock<Option<[usize; 2]>> = LazyLock::new(cores);

/// What the other side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Answers each message.
    Answer,
    /// Takes all and confirms the last.
    Drain,
}

enum Peer {
    Process(Child),
    Thread(JoinHandle<()>),
}

/// A channel, and who is at its other end. Dropping it ends both.
pub(crate) struct Connection {
    channel: Option<ChannelLink>,
    peer: Option<Peer>,
}

impl Connection {
    /// Starts the other side, on a core of its own, and connects it.
    pub(crate) fn new(subject: &Subject, role: Role, size: usize) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let url = match subject.scheme {
            "tcp" => "tcp://127.0.0.1:0".to_owned(),
            scheme => format!("{scheme}://benches.{}.{serial}", std::process::id()),
        };
        let owner = anyipc::create(&url).unwrap();
        let url = owner.address().to_string();
        let core = CORES.map(|[first, second]| {
            pin(first);
            second
        });
        let peer = if subject.across {
            let role = if role == Role::Answer { "answer" } else { "drain" };
            let core = core.map_or("-".to_owned(), |core| core.to_string());
            let order = format!("{role} {size} {core} {url}");
            let program = std::env::current_exe().unwrap();
            Peer::Process(Command::new(program).env(ORDER, order).spawn().unwrap())
        } else {
            Peer::Thread(thread::spawn(move || work(role, size, core, &url).unwrap()))
        };
        let mut connection = Self { channel: None, peer: Some(peer) };
        let channel = owner.accept_timeout(Duration::from_secs(10)).unwrap();
        connection.channel = Some(ChannelLink::new(channel, HANDLING));
        connection
    }

    pub(crate) fn channel(&mut self) -> &mut ChannelLink {
        self.channel.as_mut().unwrap()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.channel = None;
        match self.peer.take() {
            Some(Peer::Process(mut child)) => {
                // After a panic it may still wait for what never comes.
                if thread::panicking() {
                    let _ = child.kill();
                }
                let status = child.wait();
                assert!(thread::panicking() || status.is_ok_and(|s| s.success()), "the peer failed");
            }
            Some(Peer::Thread(thread)) if !thread::panicking() => thread.join().unwrap(),
            Some(Peer::Thread(_)) | None => {}
        }
    }
}

/// Does what the environment orders; false if that is nothing.
pub(crate) fn serve() -> bool {
    let Ok(order) = std::env::var(ORDER) else { return false };
    let mut words = order.splitn(4, ' ');
    let role = if words.next() == Some("answer") { Role::Answer } else { Role::Drain };
    let size = words.next().unwrap().parse().unwrap();
    let core = words.next().unwrap().parse().ok();
    work(role, size, core, words.next().unwrap()).unwrap();
    true
}

fn work(role: Role, size: usize, core: Option<usize>, url: &str) -> Result<(), Failure> {
    if let Some(core) = core {
        pin(core);
    }
    let mut channel = ChannelLink::new(anyipc::connect(url)?, HANDLING);
    while match role {
        Role::Answer => round_trip::answer(&mut channel, size)?,
        Role::Drain => stream::drain(&mut channel, size)?,
    } {}
    Ok(())
}
