//! The calls of a client that are not over: which ids are in use, and what arrived for each. Knows
//! the protocol, and neither channels nor waiting.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use anyipc_core::{Error, Result};

use crate::request::failure::Failure;
use crate::request::frame::{Frame, MAX_CALLS, broken};

/// Bits of an id that are the call's place. The rest differs between calls at the same place, so
/// that a late answer finds no other call.
const PLACE_BITS: u32 = MAX_CALLS.trailing_zeros();

/// How far a call is.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Its request is in `Call::request` and has to be sent.
    Unsent,
    /// A thread or a task sends its request now.
    Sending,
    /// Sent; the answer is awaited.
    Sent,
    /// Sent, and nobody waits for the answer, but the id is in use until it comes.
    Abandoned,
    /// Over: the payload of the response, or why there is none.
    Done(Result<Vec<u8>>),
}

/// What arrived of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Items that nobody took yet, at most `window`.
    pub(crate) items: VecDeque<Vec<u8>>,
    /// How many items the server may have in flight.
    pub(crate) window: u16,
    /// How many more the server may send now. `room + items.len() + taken <= window`.
    room: u16,
    /// Items taken since the last credit.
    pub(crate) taken: u16,
    /// An item has come: the request cannot be repeated.
    begun: bool,
}

impl Stream {
    pub(crate) fn new(window: u16) -> Self {
        Self { items: VecDeque::new(), window, room: window, taken: 0, begun: false }
    }

    /// The credit to send after an item was taken, if enough were.
    pub(crate) fn credit(&mut self) -> Option<u16> {
        (self.taken > self.window / 2).then(|| {
            let items = std::mem::take(&mut self.taken);
            self.room += items;
            items
        })
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) progress: Progress,
    /// The encoded request while it is unsent, or if it may have to be repeated; else empty.
    pub(crate) request: Vec<u8>,
    /// Length of the request in bytes.
    len: usize,
    /// Calls are sent in this order.
    order: u64,
    pub(crate) deadline: Option<Instant>,
    /// Wakes the thread or the task that waits for this call.
    pub(crate) waker: Option<Waker>,
    pub(crate) stream: Option<Box<Stream>>,
    /// It was sent, over a connection that was lost.
    pub(crate) repeated: bool,
}

impl Call {
    pub(crate) fn new(deadline: Option<Instant>, window: u16) -> Self {
        Self {
            progress: Progress::Unsent,
            request: Vec::new(),
            len: 0,
            order: 0,
            deadline,
            waker: None,
            stream: (window > 0).then(|| Box::new(Stream::new(window))),
            repeated: false,
        }
    }

    fn finish(&mut self, outcome: Result<Vec<u8>>) {
        self.progress = Progress::Done(outcome);
    }
}

#[derive(Debug, Default)]
struct Place {
    /// The upper bits of the next id here.
    generation: u32,
    call: Option<Call>,
}

/// The calls in flight, at most [`MAX_CALLS`].
#[derive(Debug)]
pub(crate) struct Calls {
    places: Vec<Place>,
    /// Places without a call.
    free: Vec<u32>,
    /// The most calls at once, 1 to [`MAX_CALLS`].
    limit: usize,
    /// Bytes of the requests of all calls.
    bytes: usize,
    /// How many calls are [`Progress::Unsent`].
    unsent: usize,
    /// The order of the next call.
    next: u64,
}

impl Calls {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            limit: limit.clamp(1, MAX_CALLS),
            bytes: 0,
            unsent: 0,
            next: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// True if a request of `len` bytes may begin a call: the server keeps that many, and as many
    /// bytes.
    pub(crate) fn has_room(&self, len: usize, max_bytes: usize) -> bool {
        self.len() == 0 || self.len() < self.limit && self.bytes + len <= max_bytes
    }

    /// Adds a call, unsent, with a request of `len` bytes. Returns its id.
    pub(crate) fn insert(&mut self, call: Call, len: usize) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        self.bytes += len;
        self.unsent += 1;
        let place = &mut self.places[index as usize];
        place.call = Some(Call { len, order: self.next, ..call });
        self.next += 1;
        place.generation << PLACE_BITS | index
    }

    fn index(&self, id: u32) -> Option<usize> {
        let index = (id as usize) % MAX_CALLS;
        let place = self.places.get(index)?;
        let known = place.call.is_some() && place.generation == id >> PLACE_BITS;
        known.then_some(index)
    }

    pub(crate) fn get(&mut self, id: u32) -> Option<&mut Call> {
        let index = self.index(id)?;
        self.places[index].call.as_mut()
    }

    /// Removes a call and tells how far it was; its id is not used again for a long time.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Progress> {
        let index = self.index(id)?;
        let progress =
            std::mem::replace(&mut self.places[index].call.as_mut()?.progress, Progress::Abandoned);
        self.unsent -= usize::from(matches!(progress, Progress::Unsent));
        self.forget(id);
        Some(progress)
    }

    /// Removes a call; nothing is moved.
    pub(crate) fn forget(&mut self, id: u32) {
        let Some(index) = self.index(id) else { return };
        let place = &mut self.places[index];
        if let Some(call) = &place.call {
            self.bytes -= call.len;
            self.unsent -= usize::from(matches!(call.progress, Progress::Unsent));
        }
        place.call = None;
        place.generation = (place.generation + 1) & (u32::MAX >> PLACE_BITS);
        self.free.push(index as u32);
    }

    /// Moves a call on.
    pub(crate) fn set(&mut self, id: u32, progress: Progress) {
        let Some(index) = self.index(id) else { return };
        if let Some(call) = &mut self.places[index].call {
            self.unsent -= usize::from(matches!(call.progress, Progress::Unsent));
            self.unsent += usize::from(matches!(progress, Progress::Unsent));
            call.progress = progress;
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// The unsent call that is first in order.
    pub(crate) fn first_unsent(&mut self) -> Option<(u32, &mut Call)> {
        if self.unsent == 0 {
            return None;
        }
        self.iter_mut()
            .filter(|(_, call)| matches!(call.progress, Progress::Unsent))
            .min_by_key(|(_, call)| call.order)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Call)> {
        self.places.iter_mut().zip(0..).filter_map(|(place, index)| {
            let id = place.generation << PLACE_BITS | index;
            Some((id, place.call.as_mut()?))
        })
    }

    /// Takes what the server sent. Returns the waker of the call that it is for.
    ///
    /// # Errors
    /// `Corrupt` if the server broke the protocol.
    pub(crate) fn deliver(&mut self, frame: Frame, payload: &[u8]) -> Result<Option<Waker>> {
        let id = match frame {
            Frame::Response { id }
            | Frame::Item { id }
            | Frame::End { id }
            | Frame::Failure { id, .. } => id,
            Frame::Fault => {
                return Err(broken(&format!(
                    "so says the server of this side: {}",
                    anyipc_core::excerpt(&String::from_utf8_lossy(payload))
                )));
            }
            Frame::Request { .. } | Frame::Cancel { .. } | Frame::Credit { .. } => {
                return Err(broken("a server sent what clients send"));
            }
        };
        let Some(call) = self.get(id) else {
            return Err(broken(&format!("an answer to call {id}, which is not in flight")));
        };
        match call.progress {
            Progress::Sent | Progress::Sending => {}
            Progress::Abandoned => {
                if !matches!(frame, Frame::Item { .. }) {
                    self.forget(id);
                }
                return Ok(None);
            }
            Progress::Unsent | Progress::Done(_) => {
                return Err(broken(&format!("an answer to call {id}, which awaits none")));
            }
        }
        match (frame, &mut call.stream) {
            (Frame::Failure { cause, code, .. }, _) => {
                let text = String::from_utf8_lossy(payload).into_owned();
                call.finish(Err(Error::from(Failure::from_wire(cause, code, text))));
            }
            (Frame::Response { .. }, None) => call.finish(Ok(payload.to_vec())),
            (Frame::Item { .. } | Frame::Response { .. }, Some(stream)) => {
                let Some(room) = stream.room.checked_sub(1) else {
                    return Err(broken(&format!("an item of call {id} without room for it")));
                };
                stream.room = room;
                stream.begun = true;
                stream.items.push_back(payload.to_vec());
                if matches!(frame, Frame::Response { .. }) {
                    call.finish(Ok(Vec::new()));
                }
            }
            (Frame::End { .. }, Some(_)) => call.finish(Ok(Vec::new())),
            _ => return Err(broken(&format!("a stream for call {id}, which asked for none"))),
        }
        Ok(call.waker.take())
    }

    /// The connection is lost. Calls that were sent become unsent again if `repeat` is true and
    /// nothing came of their answer; the others end with an error from `lost`. Returns the wakers
    /// of all calls.
    pub(crate) fn lose(&mut self, repeat: bool, lost: impl Fn() -> Error) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut abandoned = Vec::new();
        let mut unsent = 0;
        for (id, call) in self.iter_mut() {
            match call.progress {
                Progress::Abandoned => abandoned.push(id),
                Progress::Sent => {
                    let begun = call.stream.as_ref().is_some_and(|stream| stream.begun);
                    if repeat && !begun {
                        call.progress = Progress::Unsent;
                        call.repeated = true;
                        unsent += 1;
                    } else {
                        call.finish(Err(lost()));
                    }
                }
                Progress::Unsent | Progress::Sending | Progress::Done(_) => {}
            }
            wakers.extend(call.waker.take());
        }
        self.unsent += unsent;
        for id in abandoned {
            self.forget(id);
        }
        wakers
    }
}
