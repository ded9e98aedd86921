use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Interest, MAX_HELLO, Operation, Peer, Rejections, Reply, Result,
    Role, Source,
};

use super::fabric::{Fabric, Side};
use super::{HANDSHAKE, out_of_range};
use crate::channel::{Link, ReadyPage, ReadySlot};
use crate::region::Region;
use crate::rendezvous::Rendezvous;
use crate::sys::{self, Credentials, Fd, Listener, Map, Socket};

/// How soon to look again whether a descriptor is free, or a half-open handshake done.
const SHUT: Duration = Duration::from_millis(10);
/// The most handshakes that are kept half-open; more wait in the listener's queue.
const MAX_HALF_OPEN: usize = 256;

/// The owner's side of the handshakes.
#[derive(Debug)]
pub struct Acceptor {
    rendezvous: Rendezvous,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    half_open: VecDeque<HalfOpen>,
    rejections: Rejections,
    /// Connectors have to wait: no descriptor was free for the next one, or too many are half-open.
    shut: bool,
    ready: Option<ReadyPage>,
    /// The inbox's channels by their slot in the page.
    watched: Vec<Weak<Link>>,
}

/// A connector that has not said its whole hello yet.
#[derive(Debug)]
struct HalfOpen {
    socket: Socket,
    who: Credentials,
    said: Vec<u8>,
    /// The listener's source tells when it speaks.
    expected: bool,
    deadline: Instant,
}

/// What became of a half-open handshake.
enum Step {
    Waits,
    Left,
    Said(Hello),
}

impl Acceptor {
    /// For a name that was claimed just now.
    pub fn new(rendezvous: Rendezvous) -> Self {
        Self { rendezvous, state: Mutex::default() }
    }

    /// Gives the name up.
    ///
    /// # Errors
    /// `StatFailed` if it was removed from under the owner.
    pub fn close(self) -> Result<()> {
        self.rendezvous.close()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every handshake a step further; gives the first that is complete.
    ///
    /// # Errors
    /// `WouldBlock` until one is; `Removed` if the name no longer leads here; what the system says about the listener.
    pub fn try_accept<F: Fabric>(
        &self,
        attempt: &Attempt,
        fabric: &F,
    ) -> Result<(F::Sender, F::Receiver, Peer)> {
        let state = &mut *self.state();
        let listener = self.rendezvous.listener();
        if !state.watched.is_empty() {
            listener.clear(&mut |slot| state.told(slot));
        }
        self.welcome_newcomers(state)?;
        let ours = Hello { capacity: fabric.capacity() as u64, ..attempt.hello.clone() };
        for _ in 0..state.half_open.len() {
            let Some(mut guest) = state.half_open.pop_front() else { break };
            // Whether it is late is judged by what it has said until now.
            let now = Instant::now();
            match guest.step(listener) {
                Ok(Step::Waits) if now < guest.deadline => state.half_open.push_back(guest),
                Ok(Step::Waits) => state.reject(
                    &guest,
                    Error::new(Operation::Accept, ErrorKind::TimedOut)
                        .because("the connector did not finish its hello within 1 s"),
                ),
                Ok(Step::Left) => {}
                Ok(Step::Said(theirs)) => match ours
                    .check(&theirs)
                    .and_then(|()| admit(&guest, attempt.inbox, &ours, fabric, state, listener))
                {
                    Ok((region, ready, extras)) => {
                        let uid = guest.who.uid;
                        let peer = Peer { pid: guest.who.pid, uid: Some(uid), hello: theirs };
                        let link = Arc::new(Link::new(Arc::new(guest.socket)));
                        if let Some(slot) = &ready {
                            state.watch(slot.index(), &link);
                        }
                        let side =
                            Side { link, role: Role::Owner, ready, uid, extra: fabric.extra(), extras };
                        let halves = fabric.halves(region, fabric.capacity(), side);
                        let (sender, receiver) =
                            halves.map_err(|e| Error::io(Operation::Accept, "making the channel", e))?;
                        return Ok((sender, receiver, peer));
                    }
                    Err(error) => state.reject(&guest, error),
                },
                Err(error) => state.reject(&guest, error),
            }
        }
        self.rendezvous.check(Operation::Accept)?;
        Err(Error::new(Operation::Accept, ErrorKind::WouldBlock))
    }

    fn welcome_newcomers(&self, state: &mut State) -> Result<()> {
        while state.half_open.len() < MAX_HALF_OPEN {
            let socket = match self.rendezvous.listener().accept() {
                Ok(Some(socket)) => socket,
                Ok(None) => break,
                // Whoever is inside stays served; whoever is at the door waits until a descriptor is free.
                Err(error) if sys::is_exhausted(&error) => {
                    if !state.shut {
                        tracing::warn!(%error, "connectors have to wait");
                    }
                    self.shut(state, true);
                    return Ok(());
                }
                Err(error) => return Err(Error::io(Operation::Accept, "accepting", error)),
            };
            let Ok(who) = socket.credentials() else { continue };
            let deadline = Instant::now() + HANDSHAKE;
            let guest = HalfOpen { socket, who, said: Vec::new(), expected: false, deadline };
            if who.uid != sys::user() {
                let error = Error::new(Operation::Accept, ErrorKind::PermissionDenied).because(format!(
                    "user {} may not connect to user {}",
                    who.uid,
                    sys::user()
                ));
                state.reject(&guest, error);
                continue;
            }
            state.half_open.push_back(guest);
        }
        self.shut(state, state.half_open.len() >= MAX_HALF_OPEN);
        Ok(())
    }

    /// Who waits at a shut door must not make the source ready all the time.
    fn shut(&self, state: &mut State, shut: bool) {
        if std::mem::replace(&mut state.shut, shut) != shut {
            self.rendezvous.listener().heed(!shut);
        }
    }

    /// Prepares to wait for a connector.
    ///
    /// # Errors
    /// None yet.
    pub fn arm(&self, attempt: &Attempt) -> Result<Armed> {
        let state = self.state();
        if let Some(ready) = state.ready.as_ref().filter(|_| attempt.inbox)
            && !ready.arm()
        {
            return Ok(Armed::Ready);
        }
        // Who is to speak is in the listener's set; who does not in time is seen at the end of the sleep's slice.
        Ok(if state.shut { Armed::After(SHUT) } else { Armed::Source(Interest::Readable) })
    }

    /// What a reactor registers.
    ///
    /// # Errors
    /// None yet.
    pub fn source(&self) -> Result<Source> {
        self.rendezvous.listener().source()
    }

    /// Names the inbox's channels that may have something to receive; the hint of `keep` stays.
    pub fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        if let Some(ready) = &self.state().ready {
            ready.take(keep, visit);
        }
        true
    }

    /// Who was turned away.
    pub fn rejections(&self) -> Rejections {
        self.state().rejections.clone()
    }
}

impl State {
    /// Remembers whose socket tells under this number.
    fn watch(&mut self, slot: u32, link: &Arc<Link>) {
        let slot = slot as usize;
        if self.watched.len() <= slot {
            self.watched.resize_with(slot + 1, Weak::new);
        }
        if let Some(place) = self.watched.get_mut(slot) {
            *place = Arc::downgrade(link);
        }
    }

    /// A watched socket has rung or hung up. Bells must be taken off: a socket full of them cannot ring. Who
    /// hung up has something to say: that it is gone.
    fn told(&self, slot: u32) {
        if let Some(link) = self.watched.get(slot as usize).and_then(Weak::upgrade)
            && link.drain()
            && let Some(ready) = &self.ready
        {
            ready.mark(slot);
        }
    }

    /// Counts and logs the rejection and tells the connector, as far as its socket takes it.
    fn reject(&mut self, guest: &HalfOpen, error: Error) {
        tracing::warn!(pid = guest.who.pid, uid = guest.who.uid, %error, "connector rejected");
        if let Ok(reply) = Reply::reject(&error).encode() {
            let _ = guest.socket.send_with(&reply, &[]);
        }
        self.rejections.count += 1;
        self.rejections.last = Some(error.to_string());
    }
}

impl HalfOpen {
    fn step(&mut self, listener: &Listener) -> Result<Step> {
        let mut strangers = Vec::new();
        loop {
            let mut bytes = [0; 512];
            match self.socket.recv_with(&mut bytes, &mut strangers) {
                // A prober that says nothing is no offence.
                Ok(0) if self.said.is_empty() => return Ok(Step::Left),
                Ok(0) => {
                    return Err(Error::new(Operation::Accept, ErrorKind::PeerGone)
                        .because("the connector left in the middle of its hello"));
                }
                Ok(got) => self.said.extend_from_slice(&bytes[..got]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !std::mem::replace(&mut self.expected, true) {
                        listener
                            .expect(&self.socket)
                            .map_err(|e| Error::io(Operation::Accept, "watching a connector", e))?;
                    }
                    return Ok(Step::Waits);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(Operation::Accept, "reading a hello", error)),
            }
            if let Some((hello, used)) = Hello::decode(&self.said)? {
                if used == self.said.len() && strangers.is_empty() {
                    if self.expected {
                        listener.forget(&self.socket);
                    }
                    return Ok(Step::Said(hello));
                }
                return Err(Error::new(Operation::Accept, ErrorKind::Corrupt)
                    .because("the connector said more than its hello"));
            }
            if self.said.len() >= MAX_HELLO {
                return Err(
                    Error::new(Operation::Accept, ErrorKind::Corrupt).because("the hello is too long")
                );
            }
        }
    }
}

/// Makes the channel's memory and hands it over.
fn admit(
    guest: &HalfOpen,
    inbox: bool,
    ours: &Hello,
    fabric: &impl Fabric,
    state: &mut State,
    listener: &Listener,
) -> Result<(Region, Option<ReadySlot>, Vec<Fd>)> {
    let fail = |what: &'static str| move |error: io::Error| Error::io(Operation::Accept, what, error);
    let extent = fabric.extent(fabric.capacity(), fabric.extra());
    let extent = extent.ok_or_else(|| out_of_range(Operation::Accept))?;
    let memory = sys::anonymous(extent.len, extent.reserved).map_err(fail("making the channel's memory"))?;
    let region = Region::whole(Map::new(&memory, extent.len).map_err(fail("mapping the channel's memory"))?);
    let mut slot = None;
    if inbox {
        if state.ready.is_none() {
            state.ready = Some(ReadyPage::new().map_err(fail("making the ready page"))?);
        }
        slot = state.ready.as_ref().and_then(ReadyPage::take_slot);
        if let Some(slot) = &slot {
            let watching = listener.watch(&guest.socket, slot.index());
            watching.map_err(fail("watching the channel's socket"))?;
        }
    }
    let welcome = Reply::Welcome(ours.clone()).encode()?;
    let index = slot.as_ref().map_or(u32::MAX, ReadySlot::index);
    let mut bytes = welcome;
    bytes.extend(index.to_le_bytes());
    bytes.extend(fabric.extra().to_le_bytes());
    let extras = fabric.extras().map_err(fail("making the channel's descriptors"))?;
    let mut fds: Vec<&Fd> = std::iter::once(&memory).chain(&extras).collect();
    if let (Some(_), Some(ready)) = (&slot, &state.ready) {
        fds.push(ready.fd());
    }
    match guest.socket.send_with(&bytes, &fds) {
        Ok(sent) if sent == bytes.len() => Ok((region, slot, extras)),
        Ok(_) => Err(Error::new(Operation::Accept, ErrorKind::Io).because("the welcome went out in part")),
        Err(error) => Err(fail("sending the welcome")(error)),
    }
}
