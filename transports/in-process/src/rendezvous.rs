use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{CStr, CString};
use std::process;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use anyipc_core::{Attempt, Error, ErrorKind, Hello, Operation, Peer, Rejections, Reply, Result};

use crate::channel::{InProcessReceiver, InProcessSender, pair};
use crate::direction::Hints;
use crate::lock;

/// The most openers that one call turns away.
const MAX_TAKEN: usize = 64;

/// What `try_connect` hands out.
pub(crate) type Connected = (InProcessSender, InProcessReceiver, Peer);

/// What stands behind a name while its owner lives.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    capacity: usize,
    text: Option<CString>,
    state: Mutex<State>,
    hints: Arc<Hints>,
}

#[derive(Debug, Default)]
struct State {
    /// The owner left, or the name was removed from under it.
    gone: bool,
    handshakes: VecDeque<Arc<Handshake>>,
    /// The owner's sleeping attempts.
    listeners: BTreeMap<u64, Waker>,
    rejections: Rejections,
    /// Numbers attempts and channels.
    serial: u64,
}

/// An opener at the door.
#[derive(Debug)]
struct Handshake {
    hello: Hello,
    answer: Mutex<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    outcome: Option<Result<Connected>>,
    waker: Option<Waker>,
}

impl Handshake {
    fn answer(&self, outcome: Result<Connected>) {
        let mut answer = lock(&self.answer);
        answer.outcome = Some(outcome);
        let waker = answer.waker.take();
        drop(answer);
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

    /// No one is let in any more; whoever waits hears `NoOwner`.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.gone = true;
        let handshakes = std::mem::take(&mut state.handshakes);
        let listeners = std::mem::take(&mut state.listeners);
        drop(state);
        handshakes.into_iter().for_each(|handshake| handshake.answer(Err(no_owner())));
        listeners.into_values().for_each(Waker::wake);
    }

    /// Lets the first matching opener in; those that do not match are told so and counted.
    pub(crate) fn accept(&self, attempt: &Attempt) -> Result<Connected> {
        let ours = Hello { capacity: self.capacity as u64, ..attempt.hello.clone() };
        for _ in 0..MAX_TAKEN {
            let mut state = lock(&self.state);
            if state.gone {
                return Err(Error::new(Operation::Accept, ErrorKind::Removed)
                    .because("nobody finds the owner any more: close it and create it again"));
            }
            let Some(handshake) = state.handshakes.pop_front() else {
                return Err(Error::new(Operation::Accept, ErrorKind::WouldBlock));
            };
            if let Err(error) = ours.check(&handshake.hello) {
                state.rejections.count += 1;
                state.rejections.last = Some(error.to_string());
                drop(state);
                handshake.answer(Reply::reject(&error).into_result().and(Err(error)));
                continue;
            }
            state.serial += 1;
            let hint = attempt.inbox.then(|| (self.hints.clone(), state.serial));
            drop(state);
            let ((sender, receiver), (their_sender, their_receiver)) = pair(self.capacity, hint);
            let them = handshake.hello.clone();
            handshake.answer(Ok((their_sender, their_receiver, peer(ours))));
            return Ok((sender, receiver, peer(them)));
        }
        // More may wait: arming says so.
        Err(Error::new(Operation::Accept, ErrorKind::WouldBlock))
    }

    /// Shows the tokens of the channels that may have something to receive.
    pub(crate) fn ready(&self, visit: &mut dyn FnMut(u64)) {
        let mut next = 0;
        loop {
            let Some(token) = lock(&self.hints).range(next..).next().copied() else { return };
            visit(token);
            next = token + 1;
        }
    }
}

fn peer(hello: Hello) -> Peer {
    Peer { pid: Some(process::id()), uid: None, hello }
}

/// An opener's attempt. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Connecting {
    at: Arc<Rendezvous>,
    handshake: Arc<Handshake>,
}

impl Connecting {
    pub(crate) fn begin(at: Arc<Rendezvous>, hello: Hello) -> Result<Self> {
        let handshake = Arc::new(Handshake { hello, answer: Mutex::default() });
        let mut state = lock(&at.state);
        if state.gone {
            return Err(no_owner());
        }
        state.handshakes.push_back(handshake.clone());
        let listeners = std::mem::take(&mut state.listeners);
        drop(state);
        listeners.into_values().for_each(Waker::wake);
        Ok(Self { at, handshake })
    }

    /// The owner's answer, once there is one.
    pub(crate) fn take(&self) -> Option<Result<Connected>> {
        lock(&self.handshake.answer).outcome.take()
    }

    /// False if the answer is there already.
    pub(crate) fn arm(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut answer = lock(&self.handshake.answer);
        let waits = answer.outcome.is_none();
        let forgotten = std::mem::replace(&mut answer.waker, waits.then_some(waker));
        drop(answer);
        drop(forgotten);
        waits
    }

    /// True if the answer is there.
    pub(crate) fn answered(&self) -> bool {
        lock(&self.handshake.answer).outcome.is_some()
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        lock(&self.at.state)
            .handshakes
            .retain(|handshake| !Arc::ptr_eq(handshake, &self.handshake));
    }
}

/// An owner's sleeping attempt. Dropping it forgets the waker.
#[derive(Debug)]
pub(crate) struct Accepting {
    at: Arc<Rendezvous>,
    id: u64,
}

impl Accepting {
    pub(crate) fn begin(at: Arc<Rendezvous>) -> Self {
        let mut state = lock(&at.state);
        state.serial += 1;
        let id = state.serial;
        drop(state);
        Self { at, id }
    }

    /// False if there is someone to let in already. Without a waker it only looks.
    pub(crate) fn arm(&self, waker: Option<&Waker>) -> bool {
        let waker = waker.cloned();
        let mut state = lock(&self.at.state);
        if state.gone || !state.handshakes.is_empty() {
            return false;
        }
        let forgotten = waker.and_then(|waker| state.listeners.insert(self.id, waker));
        drop(state);
        drop(forgotten);
        true
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let forgotten = lock(&self.at.state).listeners.remove(&self.id);
        drop(forgotten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_leaves_nothing_behind() {
        let rendezvous = Arc::new(Rendezvous::new(100, None));
        for _ in 0..10 {
            let accepting = Accepting::begin(rendezvous.clone());
            assert!(accepting.arm(Some(Waker::noop())));
            drop(accepting);
            drop(Connecting::begin(rendezvous.clone(), Hello::default()).unwrap());
        }
        let state = lock(&rendezvous.state);
        assert!(state.handshakes.is_empty() && state.listeners.is_empty());
    }
}
