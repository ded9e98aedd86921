use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Operation, Peer, Rejections, Reply, Result, Role,
    Source,
};
use anyipc_os::half_open::{Admission, HalfOpen, Handshake, Listening, Next, Reserve, Step};

use super::channel_factory::{ChannelFactory, Side};
use super::link::Link;
use super::out_of_range;
use super::owner_handshake::{OwnerHandshake, Welcomed};
use super::ready::{ReadyPage, ReadySlot};
use super::rendezvous::Rendezvous;
use crate::region::Region;
use crate::sys::{self, Anonymous, Fd, Listener, Map, Set};

/// The owner's side of the handshakes.
#[derive(Debug)]
pub(super) struct Acceptor {
    rendezvous: Rendezvous,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    half_open: HalfOpen<OwnerHandshake>,
    inbox: Inbox,
    /// The memory of the next channel. The handshakes reserve it together, step by step, and the
    /// first one welcomed gets it. One memory at a time: the first channel does not wait for the
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
    pub(super) fn new(rendezvous: Rendezvous, operation: Operation) -> Result<Self> {
        let half_open = HalfOpen::new(operation)?;
        let state = State { half_open, inbox: Inbox::default(), memory: None };
        Ok(Self { rendezvous, state: Mutex::new(state) })
    }

    /// Gives the name up.
    ///
    /// # Errors
    /// `StatFailed` if it was removed from under the owner.
    pub(super) fn close(self) -> Result<()> {
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
    pub(super) fn try_accept<F: ChannelFactory>(
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
            && !half_open.any(OwnerHandshake::awaits_memory)
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
    pub(super) fn arm(&self, attempt: &Attempt) -> Result<Armed> {
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
    pub(super) fn source(&self) -> Result<Source> {
        Ok(self.state().half_open.source())
    }

    /// Visits the inbox's channels that may have something to receive; the bit of `keep` stays.
    pub(super) fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        if let Some(ready) = &self.state().inbox.ready {
            ready.take(keep, visit);
        }
        true
    }

    /// How many connectors were rejected, and the last reason.
    pub(super) fn rejections(&self) -> Rejections {
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
        let handshake = OwnerHandshake::new(socket, credentials, reserve);
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
        if let Some(welcomed) = &handshake.welcomed {
            // Another call, for channels of other types, may have welcomed it.
            if welcomed.ours != self.ours {
                return Err(Error::new(Operation::Accept, ErrorKind::Mismatch)
                    .because("the owner accepts something else than when it welcomed this one"));
            }
            return handshake.hear_mapped();
        }
        let step = handshake.hear_hello()?;
        match &handshake.hello {
            Some(theirs) => self.ours.check(theirs)?,
            None => return Ok(step),
        }
        // The rest is the owner's work: from now on the connector cannot be late.
        handshake.wait_for_memory();
        match self.make_memory(&mut handshake.reserve)? {
            Step::Complete => self.welcome(handshake),
            step => Ok(step),
        }
    }

    fn admit(
        &mut self,
        handshake: OwnerHandshake,
        set: &Set,
    ) -> Admission<OwnerHandshake, (F::Sender, F::Receiver, Peer)> {
        match self.channel(handshake, set) {
            Ok(channel) => Admission::Channel(channel),
            // It has its channel already, and finds the owner's side gone.
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
                self.memory.insert(Anonymous::new(extent.len, extent.reserved).map_err(fail)?)
            }
        };
        Ok(if memory.reserve_some().map_err(fail)? { Step::Complete } else { Step::Works })
    }

    /// Hands the channel's memory over.
    fn welcome(&mut self, handshake: &mut OwnerHandshake) -> Result<Step> {
        let fail =
            |what: &'static str| move |error: io::Error| Error::io(Operation::Accept, what, error);
        let Some(memory) = self.memory.as_ref() else { return Ok(Step::Works) };
        let (factory, ours) = (self.factory, self.ours.clone());
        let (capacity, extra) = (factory.capacity(), factory.extra());
        let extent =
            factory.extent(capacity, extra).ok_or_else(|| out_of_range(Operation::Accept))?;
        handshake.reserve.release();
        let map =
            Map::new(memory.fd(), extent.len).map_err(fail("mapping the channel's memory"))?;
        let ready = match &mut self.inbox {
            Some(inbox) => inbox.take_slot().map_err(fail("making the ready page"))?,
            None => None,
        };
        let extras = factory.extras().map_err(fail("making the channel's descriptors"))?;
        let mut bytes = Reply::Welcome(ours.clone()).encode()?;
        bytes.extend(ready.as_ref().map_or(u32::MAX, ReadySlot::index).to_le_bytes());
        bytes.extend(extra.to_le_bytes());
        let mut fds: Vec<&Fd> = std::iter::once(memory.fd()).chain(&extras).collect();
        if let (Some(_), Some(page)) =
            (&ready, self.inbox.as_ref().and_then(|inbox| inbox.ready.as_ref()))
        {
            fds.push(page.fd());
        }
        let sent = handshake.send_welcome(&bytes, &fds).map_err(fail("sending the welcome"))?;
        // The descriptors went with the first byte. Until then the memory is kept for the next
        // connector, or given back piece by piece.
        *self.memory = None;
        if sent < bytes.len() {
            return Err(Error::new(Operation::Accept, ErrorKind::Io)
                .because("the welcome went out in part"));
        }
        let region = Region::whole(map);
        handshake.wait_for_mapping(Welcomed { ours, region, ready, extra, extras });
        Ok(Step::Waits)
    }

    /// The channel with a connector that has mapped its memory.
    fn channel(
        &mut self,
        handshake: OwnerHandshake,
        set: &Set,
    ) -> io::Result<(F::Sender, F::Receiver, Peer)> {
        let OwnerHandshake { socket, credentials, hello, welcomed, .. } = handshake;
        let (Some(hello), Some(welcomed)) = (hello, welcomed) else {
            return Err(io::Error::other("the connector was not welcomed"));
        };
        let Welcomed { region, ready, extra, extras, .. } = welcomed;
        let socket = Arc::new(socket);
        let link = Arc::new(Link::new(Arc::clone(&socket)));
        if let (Some(slot), Some(inbox)) = (&ready, &mut self.inbox) {
            // Doorbell bytes that have arrived already make the set ready as well.
            sys::watch_numbered(set, &socket, slot.index())?;
            inbox.watch(slot.index(), &link);
        }
        let side = Side { link, role: Role::Owner, ready, uid: credentials.uid, extra, extras };
        let (sender, receiver) = self.factory.halves(region, self.factory.capacity(), side)?;
        let uid = anyipc_os::USERS_HAVE_NUMBERS.then_some(credentials.uid);
        Ok((sender, receiver, Peer { pid: credentials.pid, uid, hello }))
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
