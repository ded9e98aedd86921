use std::io;
use std::os::windows::io::OwnedHandle;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::{Handles, Operation, Result, Source};
use anyipc_os::{Dir, Event, Fd, Pipe, Scope, Set, Token, user};

use super::super::{Credentials, Doorbell};
use super::frames::{Incoming, MAX_TOKENS, header};
use super::listener::Listener;

/// A connection of two processes of this user: a named pipe with frames, and an event for each side
/// as its doorbell. The opener chooses the tokens of both events, and says them first.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Signalled when something may have come off the pipe.
    arrival: Arc<Event>,
    /// Where the memory lies that the other side hands over.
    dir: Dir,
    /// True if the other side may hand memory over.
    takes_memory: AtomicBool,
    /// True once the other side is known to be gone.
    over: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once this side has hung up.
    pipe: Option<Pipe>,
    incoming: Incoming,
    /// `None` until the opener has said the tokens.
    doorbells: Option<Doorbells>,
}

#[derive(Debug)]
struct Doorbells {
    ours: Arc<Event>,
    theirs: Arc<Event>,
}

impl Socket {
    /// Connects to the listener at a name. `NotFound`: there is no listener; `WouldBlock`: it has
    /// to come for earlier connectors.
    pub(crate) fn connect(dir: &Dir, name: &str) -> io::Result<Self> {
        let pipe = Pipe::at(dir, name)?;
        let [owners, openers] = [Token::random()?, Token::random()?];
        let doorbells = Doorbells { ours: Event::named(&openers)?, theirs: Event::named(&owners)? };
        pipe.send_later(owners.as_str().as_bytes(), openers.as_str().as_bytes())?;
        Ok(Self::new(pipe, dir.clone(), Some(doorbells)))
    }

    /// The owner's end. It takes no memory yet.
    pub(super) fn accepted(pipe: Pipe, dir: Dir) -> Self {
        Self::new(pipe, dir, None)
    }

    fn new(pipe: Pipe, dir: Dir, doorbells: Option<Doorbells>) -> Self {
        Self {
            arrival: Arc::clone(pipe.arrival()),
            dir,
            takes_memory: AtomicBool::new(doorbells.is_some()),
            over: Arc::default(),
            state: Mutex::new(State { pipe: Some(pipe), incoming: Incoming::default(), doorbells }),
        }
    }

    /// Two connected ones.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let dir = Dir::open(Scope::User, Operation::Create).map_err(io::Error::other)?;
        let name = format!("{}{}", Token::random()?, anyipc_os::UNPUBLISHED);
        let listener = Listener::bind(&dir, &name)?;
        let opener = Self::connect(&dir, &name)?;
        let _ = dir.unlink(&name);
        loop {
            if let Some(owner) = listener.accept()? {
                owner.take_descriptors();
                return Ok((owner, opener));
            }
            std::thread::yield_now();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process on the other side. The pipe admits this user only.
    pub(crate) fn credentials(&self) -> io::Result<Credentials> {
        let pid = self.state().pipe.as_ref().ok_or(io::ErrorKind::BrokenPipe)?.peer()?;
        Ok(Credentials { pid: Some(pid), uid: user() })
    }

    /// The other side may hand memory over from now on: it is let in.
    pub(crate) fn take_descriptors(&self) {
        self.takes_memory.store(true, Ordering::Relaxed);
    }

    /// Sends bytes and, with the first of them, memory. All or nothing: `WouldBlock` while the
    /// other side has too much to take.
    pub(crate) fn send_with(&self, bytes: &[u8], fds: &[&Fd]) -> io::Result<usize> {
        let tokens: Option<Vec<&Token>> = fds.iter().map(|fd| fd.token()).collect();
        let header = header(bytes.len(), &tokens.ok_or(io::ErrorKind::InvalidInput)?)?;
        let state = self.state();
        let pipe = state.pipe.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        pipe.send_later(&header, bytes).map(|_| bytes.len())
    }

    /// Receives bytes, and appends the memory that came with the first of them. 0: the other side
    /// is gone.
    pub(crate) fn recv_with(&self, bytes: &mut [u8], fds: &mut Vec<Fd>) -> io::Result<usize> {
        let mut tokens = Vec::new();
        let most = if self.takes_memory.load(Ordering::Relaxed) { MAX_TOKENS } else { 0 };
        let state = &mut *self.state();
        self.fill(state)?;
        let count = match state.doorbells {
            Some(_) => state.incoming.take(bytes, most, &mut tokens)?,
            None => 0,
        };
        for token in tokens {
            fds.push(self.dir.open_nameless(&token)?);
        }
        if count > 0 || self.is_over() { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Takes off the pipe what has come, as far as it is kept.
    fn fill(&self, state: &mut State) -> io::Result<()> {
        let mut bytes = [0; 512];
        while !self.is_over() && !state.incoming.is_full() {
            match state.pipe.as_ref().map_or(Ok(0), |pipe| pipe.recv(&mut bytes)) {
                Ok(0) => self.over.store(true, Ordering::Relaxed),
                Ok(got) => state.incoming.push(&bytes[..got]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if state.doorbells.is_none()
            && let Some(said) = state.incoming.take_plain(2 * Token::LEN)
        {
            let (owners, openers) = said.split_at(Token::LEN);
            let (Some(owners), Some(openers)) = (Token::parse(owners), Token::parse(openers))
            else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            match (Event::open(&owners), Event::open(&openers)) {
                (Ok(ours), Ok(theirs)) => state.doorbells = Some(Doorbells { ours, theirs }),
                // It has left again.
                _ => self.over.store(true, Ordering::Relaxed),
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// True if the other side has closed its socket or died.
    pub(crate) fn hung_up(&self) -> bool {
        self.fill(&mut self.state()).is_err() || self.is_over()
    }

    /// Signals the other side's event. False if it is known to be gone.
    pub(crate) fn ring_doorbell(&self) -> bool {
        if let Some(doorbells) = &self.state().doorbells {
            doorbells.theirs.set();
        }
        !self.is_over()
    }

    /// Takes the doorbell and the bytes, and appends the memory that came with them. At most as
    /// much as a connection holds is taken: a peer that never stops sending must not hold this
    /// thread.
    pub(crate) fn take_doorbell_bytes(&self, fds: &mut Vec<Fd>) -> Doorbell {
        let mut doorbell = Doorbell::default();
        if let Some(Doorbells { ours, .. }) = &self.state().doorbells
            && ours.is_set()
        {
            ours.reset();
            doorbell.rang = true;
        }
        let mut bytes = [0; 256];
        for _ in 0..64 {
            match self.recv_with(&mut bytes, fds) {
                Ok(0) => doorbell.ended = true,
                // No honest peer hands so much over.
                Ok(_) if fds.len() > MAX_TOKENS => doorbell.rang = true,
                Ok(_) => {
                    doorbell.rang = true;
                    continue;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {}
                    // The other side gave the memory up before it was opened here: as where it did
                    // not arrive. (A file that is being removed denies permission.)
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                        doorbell.rang = true;
                        continue;
                    }
                    _ => doorbell.ended = true,
                },
            }
            break;
        }
        doorbell
    }

    /// Ends both directions.
    pub(crate) fn hang_up(&self) {
        let state = &mut *self.state();
        state.pipe = None;
        self.over.store(true, Ordering::Relaxed);
        if let Some(doorbells) = &state.doorbells {
            doorbells.ours.set();
        }
    }

    /// What a reactor registers.
    #[expect(clippy::unnecessary_wraps, reason = "as on other platforms")]
    pub(crate) fn source(self: &Arc<Self>) -> Result<Source> {
        Ok(Arc::clone(self) as Source)
    }
}

impl Handles for Socket {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.arrival.each(see);
        let ours = self.state().doorbells.as_ref().map(|doorbells| Arc::clone(&doorbells.ours));
        if let Some(ours) = ours {
            ours.each(see);
        }
    }
}

/// From now on the set is ready when the doorbell of this socket rings, or something comes; it
/// reports the number.
pub(crate) fn watch_numbered(set: &Set, socket: &Socket, number: u32) -> io::Result<()> {
    set.watch_numbered(socket, number, &socket.over)
}

/// Reports the numbers of the sockets that became ready since; a waiting connector stays ready.
pub(crate) fn take_ready(set: &Set, see: &mut dyn FnMut(u32)) {
    set.take_ready(see);
}
