//! Where openers and the owner of a name meet.
//!
//! An opener queues a half-open handshake, which contains its hello, and waits for the outcome. The
//! owner takes the oldest one, compares the hellos, and either makes a channel or rejects the
//! opener. Wakers are cloned, woken and dropped without a lock, since a waker may call this
//! transport.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{CStr, CString};
use std::process;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use anyipc_core::{Attempt, Error, ErrorKind, Hello, Operation, Peer, Rejections, Reply, Result};

use crate::channel::{InProcessReceiver, InProcessSender, pair};
use crate::direction::Hints;
use crate::lock::lock;

/// The most openers that one call of `accept` rejects: a call does a bounded amount of work.
const MAX_REJECTED: usize = 64;

/// What `try_connect` returns.
pub(crate) type Connected = (InProcessSender, InProcessReceiver, Peer);

/// The shared state of a name while its owner lives.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    /// Bytes in flight per direction of a channel.
    capacity: usize,
    text: Option<CString>,
    state: Mutex<State>,
    hints: Arc<Hints>,
}

#[derive(Debug, Default)]
struct State {
    /// True once the owner left or the name was removed. No handshake is queued afterwards.
    ended: bool,
    /// Half-open handshakes, the oldest first.
    handshakes: VecDeque<Arc<Handshake>>,
    /// The wakers of the owner's sleeping attempts, by the attempt's number.
    owner_wakers: BTreeMap<u64, Waker>,
    rejections: Rejections,
    /// The last number given to an owner's attempt or to a channel.
    last_number: u64,
}

/// A half-open handshake, shared by the opener and the rendezvous.
#[derive(Debug)]
struct Handshake {
    hello: Hello,
    reply: Mutex<OwnerReply>,
}

#[derive(Debug, Default)]
struct OwnerReply {
    /// Set once by the owner, taken once by the opener.
    outcome: Option<Result<Connected>>,
    /// The opener's waker while it sleeps. `None` once there is an outcome.
    waker: Option<Waker>,
}

impl Handshake {
    /// Stores the outcome and wakes the opener.
    fn finish(&self, outcome: Result<Connected>) {
        let mut reply = lock(&self.reply);
        reply.outcome = Some(outcome);
        let waker = reply.waker.take();
        drop(reply);
        waker.into_iter().for_each(Waker::wake);
    }
}

pub(crate) fn no_owner() -> Error {
    Error::new(Operation::Connect, ErrorKind::NoOwner)
}

impl Rendezvous {
    pub(crate) fn new(capacity: usize, text: Option<CString>) -> Self {
        let hints = Arc::new(Mutex::new(BTreeSet::new()));
        Self { capacity, text, state: Mutex::default(), hints }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn text(&self) -> Option<&CStr> {
        self.text.as_deref()
    }

    pub(crate) fn rejections(&self) -> Rejections {
        lock(&self.state).rejections.clone()
    }

    /// Ends the rendezvous: waiting openers get `NoOwner`, waiting owners look again and get
    /// `Removed`.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        let handshakes = std::mem::take(&mut state.handshakes);
        let owner_wakers = std::mem::take(&mut state.owner_wakers);
        drop(state);
        handshakes.into_iter().for_each(|handshake| handshake.finish(Err(no_owner())));
        owner_wakers.into_values().for_each(Waker::wake);
    }

    /// Makes a channel with the oldest opener that matches. Openers that do not match are rejected
    /// and counted.
    pub(crate) fn accept(&self, attempt: &Attempt) -> Result<Connected> {
        let ours = Hello { capacity: self.capacity as u64, ..attempt.hello.clone() };
        for _ in 0..MAX_REJECTED {
            let mut state = lock(&self.state);
            if state.ended {
                return Err(Error::new(Operation::Accept, ErrorKind::Removed)
                    .because("openers no longer find this owner: close it and create it again"));
            }
            let Some(handshake) = state.handshakes.pop_front() else {
                return Err(Error::new(Operation::Accept, ErrorKind::WouldBlock));
            };
            if let Err(error) = ours.check(&handshake.hello) {
                state.rejections.count += 1;
                state.rejections.last = Some(error.to_string());
                drop(state);
                handshake.finish(Reply::reject(&error).into_result().and(Err(error)));
                continue;
            }
            state.last_number += 1;
            let hint = attempt.inbox.then(|| (self.hints.clone(), state.last_number));
            drop(state);
            let ((sender, receiver), (their_sender, their_receiver)) = pair(self.capacity, hint);
            let theirs = handshake.hello.clone();
            handshake.finish(Ok((their_sender, their_receiver, peer(ours))));
            return Ok((sender, receiver, peer(theirs)));
        }
        // More may be queued. `arm` answers `Ready` in that case, so they are not forgotten.
        Err(Error::new(Operation::Accept, ErrorKind::WouldBlock))
    }

    /// Shows the tokens of the channels that may have something to receive.
    pub(crate) fn ready(&self, visit: &mut dyn FnMut(u64)) {
        let mut next = 0;
        loop {
            // Locked for each token anew: `visit` runs without the lock.
            let Some(token) = lock(&self.hints).range(next..).next().copied() else { return };
            visit(token);
            next = token + 1;
        }
    }
}

fn peer(hello: Hello) -> Peer {
    Peer { pid: Some(process::id()), uid: None, hello }
}

/// An opener's attempt: its half-open handshake. Dropping it withdraws the handshake.
#[derive(Debug)]
pub(crate) struct OpenerAttempt {
    rendezvous: Arc<Rendezvous>,
    handshake: Arc<Handshake>,
}

impl OpenerAttempt {
    /// Queues a handshake and wakes the owner. `NoOwner` if the rendezvous has ended.
    pub(crate) fn begin(rendezvous: Arc<Rendezvous>, hello: Hello) -> Result<Self> {
        let handshake = Arc::new(Handshake { hello, reply: Mutex::default() });
        let mut state = lock(&rendezvous.state);
        if state.ended {
            return Err(no_owner());
        }
        state.handshakes.push_back(handshake.clone());
        let owner_wakers = std::mem::take(&mut state.owner_wakers);
        drop(state);
        owner_wakers.into_values().for_each(Waker::wake);
        Ok(Self { rendezvous, handshake })
    }

    /// Takes the outcome, once there is one.
    pub(crate) fn take_outcome(&self) -> Option<Result<Connected>> {
        lock(&self.handshake.reply).outcome.take()
    }

    /// True if the opener has to wait; the waker, if there is one, is then woken by the outcome.
    pub(crate) fn arm(&self, waker: Option<&Waker>) -> bool {
        let waker = waker.cloned();
        let mut reply = lock(&self.handshake.reply);
        let has_to_wait = reply.outcome.is_none();
        let old = std::mem::replace(&mut reply.waker, waker.filter(|_| has_to_wait));
        drop(reply);
        drop(old);
        has_to_wait
    }
}

impl Drop for OpenerAttempt {
    fn drop(&mut self) {
        let mut state = lock(&self.rendezvous.state);
        state.handshakes.retain(|handshake| !Arc::ptr_eq(handshake, &self.handshake));
    }
}

/// An owner's attempt that sleeps. Dropping it removes its waker.
#[derive(Debug)]
pub(crate) struct OwnerAttempt {
    rendezvous: Arc<Rendezvous>,
    number: u64,
}

impl OwnerAttempt {
    pub(crate) fn begin(rendezvous: Arc<Rendezvous>) -> Self {
        let mut state = lock(&rendezvous.state);
        state.last_number += 1;
        let number = state.last_number;
        drop(state);
        Self { rendezvous, number }
    }

    /// True if the owner has to wait; the waker, if there is one, is then woken by the next opener.
    pub(crate) fn arm(&self, waker: Option<&Waker>) -> bool {
        let waker = waker.cloned();
        let mut state = lock(&self.rendezvous.state);
        if state.ended || !state.handshakes.is_empty() {
            return false;
        }
        let old = waker.and_then(|waker| state.owner_wakers.insert(self.number, waker));
        drop(state);
        drop(old);
        true
    }
}

impl Drop for OwnerAttempt {
    fn drop(&mut self) {
        let waker = lock(&self.rendezvous.state).owner_wakers.remove(&self.number);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_leaves_nothing_behind() {
        let rendezvous = Arc::new(Rendezvous::new(100, None));
        for _ in 0..10 {
            let attempt = OwnerAttempt::begin(rendezvous.clone());
            assert!(attempt.arm(Some(Waker::noop())));
            drop(attempt);
            drop(OpenerAttempt::begin(rendezvous.clone(), Hello::default()).unwrap());
        }
        let state = lock(&rendezvous.state);
        assert!(state.handshakes.is_empty() && state.owner_wakers.is_empty());
    }
}
