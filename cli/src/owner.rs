use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyipc::{Address, Error, ErrorKind, Event, Inbox, Operation, PeerId};

use crate::failure::Result;
use crate::interrupt::{self, SLICE};
use crate::message::PeerInfo;
use crate::output::Output;

/// The owner of an address, and the peers that are connected to it.
pub(crate) struct Owner<'a> {
    pub(crate) inbox: Inbox,
    out: &'a Output,
    peers: HashMap<PeerId, PeerInfo>,
    /// Rejected handshakes that were noted already.
    rejected: u64,
}

impl<'a> Owner<'a> {
    /// Creates the object. From now on a signal ends a wait.
    pub(crate) fn create(address: &Address, out: &'a Output) -> Result<Self> {
        interrupt::install()?;
        let inbox = Inbox::new(anyipc::create(address)?)?;
        out.note(format_args!("waiting at {}", inbox.endpoint().address()));
        Ok(Self { inbox, out, peers: HashMap::new(), rejected: 0 })
    }

    /// The next message. `None` once all peers, at least one, have left, unless `forever`.
    /// `timeout` is the longest wait.
    pub(crate) fn next_message(
        &mut self,
        forever: bool,
        timeout: Option<Duration>,
    ) -> Result<Option<(PeerId, Vec<u8>)>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.next_event(deadline)? {
                Event::Message(id, message) => return Ok(Some((id, message))),
                Event::Connected(id) => {
                    if let Some(peer) = self.inbox.peer(id) {
                        let info = PeerInfo { id: Some(id.to_string()), ..peer.into() };
                        self.peers.insert(id, info);
                    }
                }
                Event::Disconnected(id, reason) => {
                    // It has said everything and was answered: its other direction ends, too.
                    self.inbox.disconnect(id);
                    let peer = self.peers.remove(&id);
                    if reason.kind() != ErrorKind::Closed {
                        self.out.note(format_args!("{}: {reason}", describe(id, peer.as_ref())));
                    }
                    if !forever && self.inbox.peers().next().is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The peer with this id.
    pub(crate) fn peer(&self, id: PeerId) -> Option<&PeerInfo> {
        self.peers.get(&id)
    }

    /// The peer in words.
    pub(crate) fn describe(&self, id: PeerId) -> String {
        describe(id, self.peer(id))
    }

    /// Closes all channels and the object.
    pub(crate) fn close(self) -> Result<()> {
        Ok(self.inbox.into_endpoint().close()?)
    }

    fn next_event(&mut self, deadline: Option<Instant>) -> Result<Event> {
        let mut slice = Duration::ZERO;
        loop {
            interrupt::check()?;
            match self.inbox.next_event_timeout(slice) {
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                event => return Ok(event?),
            }
            self.note_rejections();
            slice =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => SLICE,
                    Some(Duration::ZERO) => {
                        let why = "no message came within --timeout";
                        return Err(Error::new(Operation::Receive, ErrorKind::TimedOut)
                            .because(why)
                            .at(self.inbox.endpoint().address())
                            .into());
                    }
                    Some(left) => left.min(SLICE),
                };
        }
    }

    fn note_rejections(&mut self) {
        let rejections = self.inbox.endpoint().rejections();
        if rejections.count > self.rejected {
            self.rejected = rejections.count;
            let last = rejections.last.unwrap_or_default();
            self.out
                .note(format_args!("{} rejected so far, the last one: {last}", rejections.count));
        }
    }
}

fn describe(id: PeerId, peer: Option<&PeerInfo>) -> String {
    match peer.and_then(|peer| peer.pid) {
        Some(pid) => format!("peer {id} (process {pid})"),
        None => format!("peer {id}"),
    }
}
