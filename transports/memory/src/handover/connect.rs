use std::io;
use std::sync::Arc;

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Interest, Name, Operation, Peer, Reply, Result, Role,
    Source,
};
use std::time::{Duration, Instant};

use super::channel_factory::{ChannelFactory, Side};
use super::link::Link;
use super::ready::ReadySlot;
use super::{HANDSHAKE, MAPPED};
use crate::kind::Kind;
use crate::region::Region;
use crate::sys::{Credentials, Dir, Fd, Map, Socket, check_anonymous, user};

/// The pause before the next look for an owner, or for room in its listener's queue.
const SOON: Duration = Duration::from_millis(1);
/// Behind a welcome: the ready slot (u32) and the factory's extra (u64).
const TRAILER: usize = 12;

/// A handshake that waits for the owner's answer.
#[derive(Debug)]
struct OpenerHandshake {
    socket: Arc<Socket>,
    owner: Credentials,
    received: Vec<u8>,
    fds: Vec<Fd>,
    /// When the answer began.
    began: Option<Instant>,
}

/// Takes one step of the handshake with the owner of the name.
///
/// # Errors
/// `WouldBlock` until it has answered, `NoOwner`, `Mismatch`, `Corrupt`, `TimedOut`, …
pub(super) fn try_connect<F: ChannelFactory>(
    dir: &Dir,
    kind: &Kind,
    name: &Name,
    attempt: &mut Attempt,
    factory: &F,
) -> Result<(F::Sender, F::Receiver, Peer)> {
    let hello = Hello { capacity: factory.insists(&attempt.hello), ..attempt.hello.clone() };
    let handshake = attempt.progress(|| ask(dir, &kind.socket(name), &hello))?;
    let result = handshake.listen(F::EXTRAS).and_then(|answer| match answer {
        None => Err(Error::new(Operation::Connect, ErrorKind::WouldBlock)),
        Some((theirs, slot, extra)) => handshake.enter(&hello, theirs, slot, extra, factory),
    });
    // Complete or failed: the next call begins anew.
    if !result.as_ref().is_err_and(Error::is_would_block) {
        attempt.reset();
    }
    result
}

/// Prepares to wait for the owner's answer.
pub(super) fn arm(attempt: &Attempt) -> Armed {
    match attempt.stored::<OpenerHandshake>() {
        Some(handshake) if handshake.began.is_none() => Armed::Source(Interest::Readable),
        _ => Armed::After(SOON),
    }
}

/// What a reactor registers.
///
/// # Errors
/// `Unsupported` while there is nothing to register.
pub(super) fn source(attempt: &Attempt) -> Result<Source> {
    match attempt.stored::<OpenerHandshake>() {
        Some(handshake) => handshake.socket.source(),
        None => Err(Error::new(Operation::Connect, ErrorKind::Unsupported)),
    }
}

fn ask(dir: &Dir, at: &str, hello: &Hello) -> Result<OpenerHandshake> {
    let fail = |error| Error::io(Operation::Connect, "reaching the owner", error);
    let bytes = hello.encode()?;
    let socket = match Socket::connect(dir, at) {
        Ok(socket) => socket,
        Err(error) => {
            return Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => no_owner(),
                io::ErrorKind::WouldBlock => Error::new(Operation::Connect, ErrorKind::WouldBlock),
                _ => fail(error),
            });
        }
    };
    let owner = socket.credentials().map_err(fail)?;
    if owner.uid != user() {
        return Err(Error::new(Operation::Connect, ErrorKind::PermissionDenied).because(format!(
            "the owner is user {}, not {}",
            owner.uid,
            user()
        )));
    }
    match socket.send_with(&bytes, &[]) {
        Ok(sent) if sent == bytes.len() => Ok(OpenerHandshake {
            socket: Arc::new(socket),
            owner,
            received: Vec::new(),
            fds: Vec::new(),
            began: None,
        }),
        Ok(_) => {
            Err(Error::new(Operation::Connect, ErrorKind::Io).because("the hello went out in part"))
        }
        Err(error) if ErrorKind::of_io(&error) == ErrorKind::PeerGone => Err(no_owner()),
        Err(error) => Err(fail(error)),
    }
}

fn no_owner() -> Error {
    Error::new(Operation::Connect, ErrorKind::NoOwner)
}

impl OpenerHandshake {
    /// The owner's answer, once it is all there.
    fn listen(&mut self, extras: usize) -> Result<Option<(Hello, u32, u64)>> {
        loop {
            let mut bytes = [0; 512];
            // Nothing may be read beyond the answer: doorbell bytes follow.
            let wanted = self.missing()?.min(bytes.len());
            match self.socket.recv_with(&mut bytes[..wanted], &mut self.fds) {
                // The owner died, or closed with our question in its queue.
                Ok(0) => return Err(no_owner()),
                Ok(got) => {
                    self.received.extend_from_slice(&bytes[..got]);
                    self.began.get_or_insert_with(Instant::now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.wait_or_time_out();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if ErrorKind::of_io(&error) == ErrorKind::PeerGone => {
                    return Err(no_owner());
                }
                Err(error) => {
                    return Err(Error::io(Operation::Connect, "reading the owner's answer", error));
                }
            }
            if self.fds.len() > 2 + extras {
                return Err(strange("it sent too many descriptors"));
            }
            if let Some((reply, used)) = Reply::decode(&self.received)? {
                let theirs = reply.into_result()?;
                if let Some([a, b, c, d, limit @ ..]) =
                    self.received[used..].first_chunk::<TRAILER>()
                {
                    return Ok(Some((
                        theirs,
                        u32::from_le_bytes([*a, *b, *c, *d]),
                        u64::from_le_bytes(*limit),
                    )));
                }
            }
        }
    }

    /// An answer that has begun has 1 s to end; one that has not may wait for the owner's next
    /// accept.
    fn wait_or_time_out(&self) -> Result<Option<(Hello, u32, u64)>> {
        match self.began {
            Some(began) if began.elapsed() > HANDSHAKE => {
                Err(Error::new(Operation::Connect, ErrorKind::TimedOut)
                    .because("the owner began its answer and did not finish it within 1 s"))
            }
            _ => Ok(None),
        }
    }

    /// How many bytes the answer still lacks, at least.
    fn missing(&self) -> Result<usize> {
        Ok(match Reply::decode(&self.received)? {
            Some((_, used)) => used + TRAILER - self.received.len(),
            None => Reply::missing(&self.received),
        })
    }

    /// Checks the owner's welcome and descriptors, and maps the memory.
    fn enter<F: ChannelFactory>(
        &mut self,
        ours: &Hello,
        theirs: Hello,
        slot: u32,
        extra: u64,
        factory: &F,
    ) -> Result<(F::Sender, F::Receiver, Peer)> {
        ours.check(&theirs)?;
        let owner = self.owner;
        let capacity = usize::try_from(theirs.capacity).unwrap_or(0);
        let extent = factory.extent(capacity, extra);
        let size = extent.ok_or_else(|| strange("its capacity is out of range"))?.len;
        let mut fds = self.fds.drain(..);
        let memory = fds.next().ok_or_else(|| strange("it handed over no memory"))?;
        let unfit = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => strange(&error.to_string()),
            _ => Error::io(Operation::Connect, "mapping the channel's memory", error),
        };
        let map =
            check_anonymous(&memory, size).and_then(|()| Map::new(&memory, size)).map_err(unfit)?;
        let extras: Vec<Fd> = fds.by_ref().take(F::EXTRAS).collect();
        if extras.len() < F::EXTRAS {
            return Err(strange("it handed over too few descriptors"));
        }
        let ready = match fds.next() {
            Some(page) => Some(ReadySlot::open(&page, slot).map_err(unfit)?),
            None => None,
        };
        let link = Arc::new(Link::new(Arc::clone(&self.socket)));
        let side = Side { link, role: Role::Opener, ready, uid: owner.uid, extra, extras };
        let (sender, receiver) =
            factory.halves(Region::whole(map), capacity, side).map_err(unfit)?;
        drop(fds);
        self.say_mapped()?;
        let uid = anyipc_os::USERS_HAVE_NUMBERS.then_some(owner.uid);
        Ok((sender, receiver, Peer { pid: owner.pid, uid, hello: theirs }))
    }

    /// The last step: nothing is needed from the owner any more.
    fn say_mapped(&self) -> Result<()> {
        let error = match self.socket.send_with(&[MAPPED], &[]) {
            Ok(1) => return Ok(()),
            Ok(_) => io::Error::from(io::ErrorKind::WriteZero),
            Err(error) => error,
        };
        Err(match ErrorKind::of_io(&error) {
            // It died, or waited too long for this.
            ErrorKind::PeerGone => no_owner(),
            _ => {
                Error::io(Operation::Connect, "telling the owner that its memory is mapped", error)
            }
        })
    }
}

fn strange(why: &str) -> Error {
    Error::new(Operation::Connect, ErrorKind::Corrupt)
        .because(format!("the owner's welcome is not valid: {why}"))
}
