//! The owner's side of handshakes that are not complete, the same for every transport with a
//! listener.
//!
//! Every call does bounded work: it limits the connectors that it takes, its time, and the
//! handshakes that it keeps. The next call does the rest. A handshake is late only after all bytes
//! were read that had arrived when its time ended: a late owner is no fault of the connector.
//!
//! While descriptors or memory are short, or the list is full, the listener is not watched:
//! connectors that cannot be let in cost no processor time. A clock ends the sleep when another try
//! is due.

mod handshake;
mod report;
mod reserve;
mod second;
mod shortage;
#[cfg(all(test, unix))]
mod tests;

use std::collections::VecDeque;
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Interest, Operation, Rejections, Result, Source};

use crate::{Set, is_shortage, lacks_descriptors};
pub use handshake::{Admission, Handshake, Listening, Next, Step};
use report::Report;
pub use reserve::Reserve;
use shortage::Shortage;

/// The most handshakes in the list; more connectors wait at the listener.
const MAX_HALF_OPEN: usize = 256;
/// The most connectors that one call takes from the listener.
const MAX_TAKEN: usize = 64;
/// The time after which a call begins no further connector or handshake.
const WORK: Duration = Duration::from_micros(500);

/// The handshakes that are not complete.
#[derive(Debug)]
pub struct HalfOpen<H> {
    /// Watches the listener while `listening`, the wires of the handshakes, and a clock.
    set: Arc<Set>,
    /// In the order in which their bytes are read.
    list: VecDeque<Entry<H>>,
    /// Handshakes at the front that were not stepped since `round`.
    unstepped: usize,
    /// When the present round over all of them began.
    round: Instant,
    /// True if a next round is due: handshakes were added since then, or have work left.
    due: bool,
    /// True while the set watches the listener.
    listening: bool,
    shortage: Shortage,
    /// True if the last call left work: the next sleep ends at once.
    busy: bool,
    report: Report,
}

#[derive(Debug)]
struct Entry<H> {
    handshake: H,
    /// The interest that the set watches its wire for.
    watched: Option<Interest>,
}

impl<H: Handshake> HalfOpen<H> {
    /// An empty list. The set does not watch the listener before the first `try_accept`.
    ///
    /// # Errors
    /// `Io` if there is no descriptor left.
    pub fn new(operation: Operation) -> Result<Self> {
        let now = Instant::now();
        let set = Set::new().and_then(|set| {
            // Makes the clock's descriptor now: none may be left later.
            set.wake_at(Some(now + WORK))?;
            set.wake_at(None)?;
            Ok(set)
        });
        let set = set.map_err(|error| Error::io(operation, "preparing to accept", error))?;
        Ok(Self {
            set,
            list: VecDeque::new(),
            unstepped: 0,
            round: now,
            due: false,
            listening: false,
            shortage: Shortage::default(),
            // `try_accept` runs before the first sleep.
            busy: true,
            report: Report::default(),
        })
    }

    /// The set of the handshakes; a transport may add to it.
    pub fn set(&self) -> &Arc<Set> {
        &self.set
    }

    /// Takes connectors, and every handshake a step further; returns the first channel.
    ///
    /// # Errors
    /// `WouldBlock` without a channel yet; the system's errors of the listener.
    pub fn try_accept<L: Listening<Handshake = H>>(
        &mut self,
        listening: &mut L,
    ) -> Result<L::Channel> {
        let now = Instant::now();
        let until = now + WORK;
        self.busy = false;
        let accepted = match self.take_connectors(listening, now, until) {
            Ok(None) => Ok(self.step_all(listening, now, until)),
            taken => taken,
        };
        let open = !self.shortage.lasts() && self.list.len() < MAX_HALF_OPEN;
        if open != self.listening {
            self.watch_listener(listening, open);
        }
        self.busy |= self.unstepped > 0 || self.due || open && listening.has_more();
        accepted?.ok_or_else(|| Error::new(Operation::Accept, ErrorKind::WouldBlock))
    }

    /// Prepares to sleep until a call of `try_accept` has something to do.
    ///
    /// # Errors
    /// `Io` if the clock cannot be set.
    pub fn arm(&mut self) -> Result<Armed> {
        if self.busy {
            return Ok(Armed::Ready);
        }
        let retry = self.shortage.until();
        let deadline = self.deadline();
        let moments = self.list.iter().map(|entry| deadline(&entry.handshake)).chain(retry);
        self.set
            .wake_at(moments.min())
            .map_err(|error| Error::io(Operation::Accept, "setting the clock", error))?;
        Ok(Armed::Source(Interest::Readable))
    }

    /// What a reactor registers.
    pub fn source(&self) -> Source {
        self.set.source()
    }

    /// How many connectors were rejected, and why the last one was.
    pub fn rejections(&self) -> Rejections {
        self.report.rejections()
    }

    /// Removes the first handshake for which `is` is true, from the set as well.
    pub fn take(&mut self, is: impl Fn(&H) -> bool) -> Option<H> {
        let at = self.list.iter().position(|entry| is(&entry.handshake))?;
        let entry = self.list.remove(at)?;
        if at < self.unstepped {
            self.unstepped -= 1;
        }
        Some(self.forget(entry))
    }

    /// True if `is` is true for a handshake.
    pub fn any(&self, is: impl Fn(&H) -> bool) -> bool {
        self.list.iter().any(|entry| is(&entry.handshake))
    }

    /// The transport has work left: the next sleep ends at once.
    pub fn set_busy(&mut self) {
        self.busy = true;
    }

    fn forget(&self, entry: Entry<H>) -> H {
        if entry.watched.is_some() {
            self.set.forget(entry.handshake.wire());
        }
        entry.handshake
    }

    /// The deadlines that count now.
    fn deadline(&self) -> fn(&H) -> Instant {
        if self.list.len() < MAX_HALF_OPEN { H::deadline } else { H::deadline_if_full }
    }

    /// Takes connectors until none is left, or the limits of one call are reached.
    fn take_connectors<L: Listening<Handshake = H>>(
        &mut self,
        listening: &mut L,
        now: Instant,
        until: Instant,
    ) -> Result<Option<L::Channel>> {
        if self.shortage.until().is_some_and(|until| now < until) {
            return Ok(None);
        }
        for taken in 0.. {
            if self.list.len() >= MAX_HALF_OPEN {
                let channel = self.take_awaited(listening, until);
                if self.list.iter_mut().any(|entry| entry.handshake.reserve().is_some()) {
                    self.run_short(&io::Error::other("too many handshakes are half-open"));
                }
                return Ok(channel);
            }
            if taken == MAX_TAKEN || taken > 0 && Instant::now() >= until {
                self.busy = true;
                break;
            }
            match listening.next(&self.set) {
                Ok(Next::Begun(handshake)) => {
                    self.shortage.end();
                    self.list.push_back(Entry { handshake, watched: None });
                    self.due = true;
                }
                Ok(Next::Rejected(error)) => self.reject(None, &error),
                Ok(Next::Left) => {}
                Ok(Next::NoConnector) => {
                    self.shortage.end();
                    break;
                }
                Err(error) if is_shortage(&error) => {
                    self.run_short(&error);
                    return Ok(self.take_awaited(listening, until));
                }
                Err(error) => return Err(Error::io(Operation::Accept, "accepting", error)),
            }
        }
        Ok(None)
    }

    /// Steps each handshake that was not stepped in this round, while there is time.
    fn step_all<L: Listening<Handshake = H>>(
        &mut self,
        listening: &mut L,
        now: Instant,
        until: Instant,
    ) -> Option<L::Channel> {
        if self.unstepped == 0 {
            (self.unstepped, self.round, self.due) = (self.list.len(), now, false);
        }
        while self.unstepped > 0 {
            let entry = self.list.pop_front()?;
            self.unstepped -= 1;
            if let Some(channel) = self.step_one(entry, listening) {
                return Some(channel);
            }
            if self.unstepped > 0 && Instant::now() >= until {
                self.busy = true;
                return None;
            }
        }
        let (round, deadline) = (self.round, self.deadline());
        while let Some(late) = self.take(|handshake| deadline(handshake) <= round) {
            let error = late.late();
            self.reject(Some(&late), &error);
        }
        None
    }

    /// One handshake's next step; a channel if that was the last.
    fn step_one<L: Listening<Handshake = H>>(
        &mut self,
        mut entry: Entry<H>,
        listening: &mut L,
    ) -> Option<L::Channel> {
        match listening.step(&mut entry.handshake, self) {
            Ok(Step::Waits) => {
                self.watch(&mut entry);
                self.list.push_back(entry);
                return None;
            }
            Ok(Step::Works) => {
                self.list.push_back(entry);
                self.due = true;
                return None;
            }
            Ok(Step::Short) => {
                drop(self.forget(entry));
                return None;
            }
            Ok(Step::Left) => drop(self.forget(entry)),
            Ok(Step::Complete) => {
                let handshake = self.forget(entry);
                match listening.admit(handshake, &self.set) {
                    Admission::Channel(channel) => {
                        self.shortage.retry();
                        return Some(channel);
                    }
                    Admission::Refused(handshake, error) => match lack(&error) {
                        Some(lack) => {
                            drop(handshake);
                            self.run_short(lack);
                            return None;
                        }
                        None => self.reject(handshake.as_ref(), &error),
                    },
                }
            }
            Err(error) => {
                let handshake = self.forget(entry);
                match lack(&error) {
                    Some(lack) => {
                        drop(handshake);
                        self.run_short(lack);
                        return None;
                    }
                    None => self.reject(Some(&handshake), &error),
                }
            }
        }
        // Its descriptors were released.
        self.shortage.retry();
        None
    }

    /// Watches a handshake for what allows its next step. If the set cannot, it is tried again
    /// later.
    fn watch(&mut self, entry: &mut Entry<H>) {
        let interest = entry.handshake.interest();
        if entry.watched == interest {
            return;
        }
        let wire = entry.handshake.wire();
        let done = match (entry.watched, interest) {
            (Some(_), None) => {
                self.set.forget(wire);
                Ok(())
            }
            (Some(_), Some(interest)) => self.set.watch_for(wire, interest),
            (None, Some(interest)) => self.set.watch(wire, interest),
            (None, None) => Ok(()),
        };
        match done {
            Ok(()) => entry.watched = interest,
            Err(error) => self.run_short(&error),
        }
    }

    fn watch_listener<L: Listening<Handshake = H>>(&mut self, listening: &mut L, open: bool) {
        if !open {
            self.set.forget(listening.listener());
            self.listening = false;
            return;
        }
        match self.set.watch(listening.listener(), Interest::Readable) {
            Ok(()) => self.listening = true,
            Err(error) => self.run_short(&error),
        }
    }

    /// Counts and logs a rejection, and reports it to the connector.
    fn reject(&mut self, handshake: Option<&H>, error: &Error) {
        if let Some(handshake) = handshake {
            handshake.refuse(error);
        }
        self.report.reject(error);
    }

    /// Begins a pause of 5 to 80 ms in which connectors wait at the listener.
    fn run_short(&mut self, error: &io::Error) {
        if self.shortage.begin() {
            self.report.warn_of_shortage(error);
        }
    }
}

/// The lack of a descriptor that caused an error.
fn lack(error: &Error) -> Option<&io::Error> {
    error.source()?.downcast_ref::<io::Error>().filter(|error| lacks_descriptors(error))
}
