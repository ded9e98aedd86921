use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, MAX_HELLO, Operation, Peer, Rejections, Reply, Result,
    Role, Source,
};
use anyipc_os::half_open::{Admission, HalfOpen, Handshake, Listening, Next, Reserve, Step};
use anyipc_os::lacks_descriptors;

use super::channel_factory::{ChannelFactory, Side};
use super::link::Link;
use super::ready::{ReadyPage, ReadySlot};
use super::rendezvous::Rendezvous;
use super::{HANDSHAKE, out_of_range};
use crate::region::Region;
use crate::sys::{self, Anonymous, Credentials, Fd, Listener, Map, Set, Socket};

/// The owner's side of the handshakes.
#[derive(Debug)]
pub struct Acceptor {
    rendezvous: Rendezvous,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    half_open: HalfOpen<OwnerHandshake>,
    inbox: Inbox,
    /// The memory of the next channel. The handshakes reserve it together, step by step, and the
    /// first one admitted gets it. One memory at a time: the first channel does not wait for the
    /// last one's memory.
    memory: Option<Anonymous>,
}

/// What the channels of an inbox have in common.
#[derive(Debug, Default)]
struct Inbox {
    ready: Option<ReadyPage>,
    /// The channels by their slot in the page.
    watched: Vec<Weak<Link>>,
}

/// The owner's side of one handshake. What a connector makes the owner keep is bounded: a socket,
/// the descriptors that its channel needs, and the longest hello.
#[derive(Debug)]
struct OwnerHandshake {
    socket: Socket,
    credentials: Credentials,
    /// Descriptors that its channel needs beside the socket.
    reserve: Reserve,
    received: Vec<u8>,
    /// Set once it is complete: then the handshake waits for the channel's memory only.
    hello: Option<Hello>,
    deadline: Instant,
}

/// The owner's part in one call.
struct Accepting<'a, F> {
    listener: &'a Listener,
    inbox: Option<&'a mut Inbox>,
    memory: &'a mut Option<Anonymous>,
    factory: &'a F,
    ours: Hello,
}

impl Acceptor {
    /// The acceptor of a name that was taken just now.
    ///
    /// # Errors
    /// `Io` if there is no descriptor left.
    pub fn new(rendezvous: Rendezvous, operation: Operation) -> Result<Self> {
        let half_open = HalfOpen::new(operation)?;
        let state = State { half_open, inbox: Inbox::default(), memory: None };
        Ok(Self { rendezvous, state: Mutex::new(state) })
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

    /// Takes every handshake a step further; returns the first channel that is complete.
    ///
    /// # Errors
    /// `WouldBlock` until one is; `Removed` if the name no longer leads here; the system's
    /// errors of the listener.
    pub fn try_accept<F: ChannelFactory>(
        &self,
        attempt: &Attempt,
        factory: &F,
    ) -> Result<(F::Sender, F::Receiver, Peer)> {
        let State { half_open, inbox, memory } = &mut *self.state();
        if !inbox.watched.is_empty() {
            sys::take_ready(half_open.set(), &mut |slot| inbox.note_ready(slot));
        }
        let met = half_open.try_accept(&mut Accepting {
            listener: self.rendezvous.listener(),
            inbox: attempt.inbox.then_some(inbox),
            memory,
            factory,
            ours: Hello { capacity: factory.capacity() as u64, ..attempt.hello.clone() },
        });
        if let Some(unused) = memory
            && !half_open.any(|handshake| handshake.hello.is_some())
        {
            // The connector that it was meant for has left.
            if unused.give_back_some() {
                *memory = None;
            } else {
                half_open.set_busy();
            }
        }
        if met.as_ref().is_err_and(Error::is_would_block) {
            self.rendezvous.check(Operation::Accept)?;
        }
        met
    }

    /// Prepares to wait for a connector.
    ///
    /// # Errors
    /// `Io` if the clock cannot be set.
    pub fn arm(&self, attempt: &Attempt) -> Result<Armed> {
        let mut state = self.state();
        if let Some(ready) = state.inbox.ready.as_ref().filter(|_| attempt.inbox)
            && !ready.arm()
        {
            return Ok(Armed::Ready);
        }
        state.half_open.arm()
    }

    /// What a reactor registers.
    ///
    /// # Errors
    /// None yet.
    pub fn source(&self) -> Result<Source> {
        Ok(self.state().half_open.source())
    }

    /// Visits the inbox's channels that may have something to receive; the bit of `keep` stays.
    pub fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        if let Some(ready) = &self.state().inbox.ready {
            ready.take(keep, visit);
        }
        true
    }

    /// How many connectors were rejected, and the last reason.
    pub fn rejections(&self) -> Rejections {
        self.state().half_open.rejections()
    }
}

impl<F: ChannelFactory> Listening for Accepting<'_, F> {
    type Handshake = OwnerHandshake;
    type Channel = (F::Sender, F::Receiver, Peer);
    type Listener = Listener;

    fn listener(&self) -> &Listener {
        self.listener
    }

    fn next(&mut self, set: &Set) -> io::Result<Next<OwnerHandshake>> {
        // For the memory, the factory's descriptors, and once the ready page.
        let page = self.inbox.as_ref().is_some_and(|inbox| inbox.ready.is_none());
        let reserve = Reserve::new(1 + F::EXTRAS + usize::from(page), set)?;
        let Some(socket) = self.listener.accept()? else { return Ok(Next::NoConnector) };
        let Ok(credentials) = socket.credentials() else { return Ok(Next::Left) };
        let deadline = Instant::now() + HANDSHAKE;
        let handshake = OwnerHandshake {
            socket,
            credentials,
            reserve,
            received: Vec::new(),
            hello: None,
            deadline,
        };
        if credentials.uid == sys::user() {
            return Ok(Next::Begun(handshake));
        }
        let why = format!("user {} may not connect to user {}", credentials.uid, sys::user());
        let error = Error::new(Operation::Accept, ErrorKind::PermissionDenied).because(why);
        handshake.refuse(&error);
        Ok(Next::Rejected(error))
    }

    fn step(
        &mut self,
        handshake: &mut OwnerHandshake,
        _others: &mut HalfOpen<OwnerHandshake>,
    ) -> Result<Step> {
        let step = handshake.step()?;
        match &handshake.hello {
            Some(theirs) => self.ours.check(theirs)?,
            None => return Ok(step),
        }
        // The rest is the owner's work: from now on the connector cannot be late.
        handshake.deadline = Instant::now() + HANDSHAKE;
        self.make_memory(&mut handshake.reserve)
    }

    fn admit(
        &mut self,
        mut handshake: OwnerHandshake,
        set: &Set,
    ) -> Admission<OwnerHandshake, (F::Sender, F::Receiver, Peer)> {
        handshake.reserve.release();
        let Some(memory) = self.memory.take() else {
            let error =
                Error::new(Operation::Accept, ErrorKind::Io).because("the channel has no memory");
            return Admission::Refused(Some(handshake), error);
        };
        let (region, ready, extras) = match self.hand_over(&handshake, memory.fd(), set) {
            Ok(made) => made,
            Err(error) => {
                // Kept for the next connector, or given back piece by piece.
                *self.memory = Some(memory);
                return Admission::Refused(Some(handshake), error);
            }
        };
        let OwnerHandshake { socket, credentials, hello, .. } = handshake;
        let peer = Peer {
            pid: credentials.pid,
            uid: Some(credentials.uid),
            hello: hello.unwrap_or_default(),
        };
        let link = Arc::new(Link::new(Arc::new(socket)));
        if let (Some(slot), Some(inbox)) = (&ready, &mut self.inbox) {
            inbox.watch(slot.index(), &link);
        }
        let (role, uid, extra) = (Role::Owner, credentials.uid, self.factory.extra());
        let side = Side { link, role, ready, uid, extra, extras };
        match self.factory.halves(region, self.factory.capacity(), side) {
            Ok((sender, receiver)) => Admission::Channel((sender, receiver, peer)),
            Err(error) => {
                Admission::Refused(None, Error::io(Operation::Accept, "making the channel", error))
            }
        }
    }
}

impl<F: ChannelFactory> Accepting<'_, F> {
    /// Reserves some more of the next channel's memory. Complete if that is all of it.
    fn make_memory(&mut self, reserve: &mut Reserve) -> Result<Step> {
        let fail = |error| Error::io(Operation::Accept, "making the channel's memory", error);
        let memory = match self.memory {
            Some(memory) => memory,
            None => {
                let extent = self.factory.extent(self.factory.capacity(), self.factory.extra());
                let extent = extent.ok_or_else(|| out_of_range(Operation::Accept))?;
                reserve.release_one();
                match Anonymous::new(extent.len, extent.reserved) {
                    Ok(memory) => self.memory.insert(memory),
                    Err(error) if lacks_descriptors(&error) => return Ok(Step::Short),
                    Err(error) => return Err(fail(error)),
                }
            }
        };
        Ok(if memory.reserve_some().map_err(fail)? { Step::Complete } else { Step::Works })
    }

    /// Hands the channel's memory over.
    fn hand_over(
        &mut self,
        handshake: &OwnerHandshake,
        memory: &Fd,
        set: &Set,
    ) -> Result<(Region, Option<ReadySlot>, Vec<Fd>)> {
        let fail =
            |what: &'static str| move |error: io::Error| Error::io(Operation::Accept, what, error);
        let factory = self.factory;
        let extent = factory.extent(factory.capacity(), factory.extra());
        let extent = extent.ok_or_else(|| out_of_range(Operation::Accept))?;
        let map = Map::new(memory, extent.len).map_err(fail("mapping the channel's memory"))?;
        let region = Region::whole(map);
        let slot = match &mut self.inbox {
            Some(inbox) => inbox.take_slot().map_err(fail("making the ready page"))?,
            None => None,
        };
        if let Some(slot) = &slot {
            let watching = sys::watch_numbered(set, &handshake.socket, slot.index());
            watching.map_err(fail("watching the channel's socket"))?;
        }
        let mut bytes = Reply::Welcome(self.ours.clone()).encode()?;
        let index = slot.as_ref().map_or(u32::MAX, ReadySlot::index);
        bytes.extend(index.to_le_bytes());
        bytes.extend(factory.extra().to_le_bytes());
        let extras = factory.extras().map_err(fail("making the channel's descriptors"))?;
        let mut fds: Vec<&Fd> = std::iter::once(memory).chain(&extras).collect();
        if let (Some(_), Some(ready)) =
            (&slot, self.inbox.as_ref().and_then(|inbox| inbox.ready.as_ref()))
        {
            fds.push(ready.fd());
        }
        handshake.socket.take_descriptors();
        match handshake.socket.send_with(&bytes, &fds) {
            Ok(sent) if sent == bytes.len() => Ok((region, slot, extras)),
            Ok(_) => Err(Error::new(Operation::Accept, ErrorKind::Io)
                .because("the welcome went out in part")),
            Err(error) => Err(fail("sending the welcome")(error)),
        }
    }
}

impl Inbox {
    /// A free slot of the page, if there is one.
    fn take_slot(&mut self) -> io::Result<Option<ReadySlot>> {
        if self.ready.is_none() {
            self.ready = Some(ReadyPage::new()?);
        }
        Ok(self.ready.as_ref().and_then(ReadyPage::take_slot))
    }

    /// Stores the link of the socket that the set watches under this number.
    fn watch(&mut self, slot: u32, link: &Arc<Link>) {
        let slot = slot as usize;
        if self.watched.len() <= slot {
            self.watched.resize_with(slot + 1, Weak::new);
        }
        if let Some(place) = self.watched.get_mut(slot) {
            *place = Arc::downgrade(link);
        }
    }

    /// A watched socket is readable. Its doorbell bytes must be taken off: a full socket takes no
    /// new one. A peer that is gone has its bit set: a receive reports the end.
    fn note_ready(&self, slot: u32) {
        if let Some(link) = self.watched.get(slot as usize).and_then(Weak::upgrade)
            && link.drain()
            && let Some(ready) = &self.ready
        {
            ready.mark(slot);
        }
    }
}

impl Handshake for OwnerHandshake {
    type Wire = Socket;

    fn wire(&self) -> &Socket {
        &self.socket
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn late(&self) -> Error {
        Error::new(Operation::Accept, ErrorKind::TimedOut)
            .because("the connector did not finish its hello within 1 s")
    }

    fn refuse(&self, error: &Error) {
        if let Ok(reply) = Reply::reject(error).encode() {
            let _ = self.socket.send_with(&reply, &[]);
        }
    }

    fn has_spoken(&self) -> bool {
        !self.received.is_empty()
    }
}

impl OwnerHandshake {
    fn step(&mut self) -> Result<Step> {
        let mut descriptors = Vec::new();
        loop {
            let mut bytes = [0; 512];
            match self.socket.recv_with(&mut bytes, &mut descriptors) {
                // A process that connects only to see whether an owner lives sends nothing.
                Ok(0) if self.received.is_empty() => return Ok(Step::Left),
                Ok(0) => {
                    return Err(Error::new(Operation::Accept, ErrorKind::PeerGone)
                        .because("the connector left in the middle of its handshake"));
                }
                Ok(got) => self.received.extend_from_slice(&bytes[..got]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Waits),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(Operation::Accept, "reading a hello", error)),
            }
            if let Some((hello, used)) = Hello::decode(&self.received)? {
                if used == self.received.len() && descriptors.is_empty() {
                    self.hello = Some(hello);
                    return Ok(Step::Complete);
                }
                return Err(Error::new(Operation::Accept, ErrorKind::Corrupt)
                    .because("the connector said more than its hello"));
            }
            if self.received.len() >= MAX_HELLO {
                return Err(Error::new(Operation::Accept, ErrorKind::Corrupt)
                    .because("the hello is too long"));
            }
        }
    }
}
