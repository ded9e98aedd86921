//! The owner's side of handshakes that are not complete, the same for every transport with a
//! listener.
//!
//! Every call does bounded work: it takes so many connectors, works for so long, and keeps so many
//! handshakes. What is left over is done by the next call. A handshake is late only after
//! everything was heard that had arrived when its time ended: an owner that comes late is no fault
//! of the connector.
//!
//! While descriptors or memory are short, or the list is full, the listener is not watched:
//! connectors that cannot be let in cost no processor time. A clock rings when it is worth another
//! try.

mod handshake;
mod reserve;
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
pub use reserve::Reserve;

/// The most handshakes in the list; more connectors wait at the listener.
const MAX_HALF_OPEN: usize = 256;
/// The most connectors that one call takes from the listener.
const MAX_TAKEN: usize = 64;
/// How long one call goes on with the next connector or handshake.
const WORK: Duration = Duration::from_micros(500);
/// The first and the longest pause before the listener is tried again while something is short.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(80));
/// The time in which at most [`MAX_LOGGED`] rejections are logged.
const LOG_EVERY: Duration = Duration::from_secs(1);
const MAX_LOGGED: u32 = 8;

/// The handshakes that are not complete.
#[derive(Debug)]
pub struct HalfOpen<H> {
    /// The listener, unless it is closed, the wires of the handshakes, and a clock.
    set: Arc<Set>,
    /// Those to be heard first stand in front.
    list: VecDeque<Entry<H>>,
    /// How many of them, from the front, were not heard since `round`.
    unheard: usize,
    /// When the present round of hearing all of them began.
    round: Instant,
    /// Some have come since then and were not heard yet, or have work left: a next round is due.
    due: bool,
    /// The set has the listener.
    listening: bool,
    shortage: Option<Shortage>,
    /// The last call ended with more to do.
    busy: bool,
    rejections: Rejections,
    log: Log,
}

#[derive(Debug)]
struct Entry<H> {
    handshake: H,
    /// What the set has its wire for.
    watched: Option<Interest>,
}

/// Connectors have to wait for descriptors or memory.
#[derive(Debug)]
struct Shortage {
    /// When the listener is tried again.
    until: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct Log {
    since: Instant,
    logged: u32,
    /// Rejections that were counted and not logged since then.
    omitted: u64,
}

impl<H: Handshake> HalfOpen<H> {
    /// An empty list. The set has no listener before the first call that accepts.
    ///
    /// # Errors
    /// `Io` if there is no descriptor left.
    pub fn new(operation: Operation) -> Result<Self> {
        let now = Instant::now();
        let set = Set::new().and_then(|set| {
            // The clock is made here: it must not be lacking when descriptors are.
            set.wake_at(Some(now + PAUSE.1))?;
            set.wake_at(None)?;
            Ok(set)
        });
        let set = set.map_err(|error| Error::io(operation, "preparing to accept", error))?;
        Ok(Self {
            set,
            list: VecDeque::new(),
            unheard: 0,
            round: now,
            due: false,
            listening: false,
            shortage: None,
            // A call that accepts comes before the first sleep.
            busy: true,
            rejections: Rejections::default(),
            log: Log { since: now, logged: 0, omitted: 0 },
        })
    }

    /// What is watched for the handshakes; a transport may have more in it.
    pub fn set(&self) -> &Arc<Set> {
        &self.set
    }

    /// Takes newcomers and every handshake a step further; gives the first channel that comes of
    /// it.
    ///
    /// # Errors
    /// `WouldBlock` if none does yet; what the system says about the listener.
    pub fn try_accept<L: Listening<Handshake = H>>(
        &mut self,
        listening: &mut L,
    ) -> Result<L::Channel> {
        let now = Instant::now();
        let until = now + WORK;
        self.busy = false;
        let accepted = match self.take_newcomers(listening, now, until) {
            Ok(None) => Ok(self.hear(listening, now, until)),
            taken => taken,
        };
        let open = self.shortage.is_none() && self.list.len() < MAX_HALF_OPEN;
        if open != self.listening {
            self.watch_listener(listening, open);
        }
        self.busy |= self.unheard > 0 || self.due || open && listening.has_more();
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
        let retry = self.shortage.as_ref().map(|shortage| shortage.until);
        let moments = self.list.iter().map(|entry| entry.handshake.deadline()).chain(retry);
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
        self.rejections.clone()
    }

    /// Takes the handshake out for which this is true; the set forgets it.
    pub fn take(&mut self, is: impl Fn(&H) -> bool) -> Option<H> {
        let at = self.list.iter().position(|entry| is(&entry.handshake))?;
        let entry = self.list.remove(at)?;
        if at < self.unheard {
            self.unheard -= 1;
        }
        Some(self.forget(entry))
    }

    /// True if there is a handshake for which this is true.
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

    /// Connectors are taken until none is left, or one call has done its share.
    fn take_newcomers<L: Listening<Handshake = H>>(
        &mut self,
        listening: &mut L,
        now: Instant,
        until: Instant,
    ) -> Result<Option<L::Channel>> {
        if self.shortage.as_ref().is_some_and(|shortage| now < shortage.until) {
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
                    self.shortage = None;
                    self.list.push_back(Entry { handshake, watched: None });
                    self.due = true;
                }
                Ok(Next::Rejected(error)) => self.reject(None, &error),
                Ok(Next::Left) => {}
                Ok(Next::Nobody) => {
                    self.shortage = None;
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

    /// A connector that was let in and has to come a second time stands behind the newcomers. While
    /// those cannot be taken in, they are taken and let go, with a descriptor that is kept free for
    /// this, until it is found. A connector that is let go without a word tries again.
    fn take_awaited<L: Listening<Handshake = H>>(
        &mut self,
        listening: &mut L,
        until: Instant,
    ) -> Option<L::Channel> {
        for _ in 0..MAX_TAKEN {
            let reserve = self.list.iter_mut().find_map(|entry| {
                entry.handshake.reserve().filter(|reserve| !reserve.is_empty()).map(std::mem::take)
            })?;
            drop(reserve);
            let next = listening.next(&self.set);
            let before = self.list.len();
            let channel = match next {
                Ok(Next::Begun(handshake)) => {
                    self.hear_one(Entry { handshake, watched: None }, listening)
                }
                Ok(Next::Rejected(error)) => {
                    self.reject(None, &error);
                    None
                }
                Ok(Next::Left) => None,
                Ok(Next::Nobody) | Err(_) => {
                    self.refill();
                    return None;
                }
            };
            if channel.is_some() {
                return channel;
            }
            // What has just come and speaks as a newcomer is let go; what is silent may be the
            // awaited one.
            if self.list.len() > before
                && let Some(entry) = self.list.pop_back()
            {
                if entry.handshake.has_spoken() {
                    drop(self.forget(entry));
                } else {
                    self.list.push_back(entry);
                }
            }
            self.refill();
            if Instant::now() >= until {
                break;
            }
        }
        None
    }

    /// Gives those that were let in their reserve back.
    fn refill(&mut self) {
        for entry in &mut self.list {
            if let Some(reserve) = entry.handshake.reserve().filter(|reserve| reserve.is_empty())
                && let Ok(again) = Reserve::new(1, &self.set)
            {
                *reserve = again;
            }
        }
    }

    /// Takes each handshake a step further that was not heard in this round, as long as there is
    /// time.
    fn hear<L: Listening<Handshake = H>>(
        &mut self,
        listening: &mut L,
        now: Instant,
        until: Instant,
    ) -> Option<L::Channel> {
        if self.unheard == 0 {
            (self.unheard, self.round, self.due) = (self.list.len(), now, false);
        }
        while self.unheard > 0 {
            let entry = self.list.pop_front()?;
            self.unheard -= 1;
            if let Some(channel) = self.hear_one(entry, listening) {
                return Some(channel);
            }
            if self.unheard > 0 && Instant::now() >= until {
                self.busy = true;
                return None;
            }
        }
        let round = self.round;
        while let Some(late) = self.take(|handshake| handshake.deadline() <= round) {
            let error = late.late();
            self.reject(Some(&late), &error);
        }
        None
    }

    /// One handshake's next step; a channel if that was the last.
    fn hear_one<L: Listening<Handshake = H>>(
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
            Ok(Step::Left) => drop(self.forget(entry)),
            Ok(Step::Short) => {
                drop(self.forget(entry));
                self.run_short(&io::Error::other(
                    "no descriptor is left for a connector's channel",
                ));
                return None;
            }
            Ok(Step::Complete) => {
                let handshake = self.forget(entry);
                match listening.admit(handshake, &self.set) {
                    Admission::Channel(channel) => {
                        self.retry();
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
                self.reject(Some(&handshake), &error);
            }
        }
        // It has given back what it held.
        self.retry();
        None
    }

    /// The set has a handshake for what allows its next step. If it cannot take it, it is tried
    /// again later.
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

    fn run_short(&mut self, error: &io::Error) {
        let pause = match &self.shortage {
            Some(shortage) => (2 * shortage.pause).min(PAUSE.1),
            None => {
                if self.log.allows() {
                    tracing::warn!(%error, "connectors have to wait");
                }
                PAUSE.0
            }
        };
        self.shortage = Some(Shortage { until: Instant::now() + pause, pause });
    }

    /// Something was given back: the listener is tried again at once.
    fn retry(&mut self) {
        if let Some(shortage) = &mut self.shortage {
            *shortage = Shortage { until: Instant::now(), pause: PAUSE.0 };
        }
    }

    /// Counts and logs a rejection, and tells the connector.
    fn reject(&mut self, handshake: Option<&H>, error: &Error) {
        if let Some(handshake) = handshake {
            handshake.refuse(error);
        }
        if self.log.allows() {
            let omitted = std::mem::take(&mut self.log.omitted);
            tracing::warn!(%error, omitted, "connector rejected");
        } else {
            self.log.omitted += 1;
        }
        self.rejections.count += 1;
        self.rejections.last = Some(error.to_string());
    }
}

impl Log {
    fn allows(&mut self) -> bool {
        if self.since.elapsed() >= LOG_EVERY {
            (self.since, self.logged) = (Instant::now(), 0);
        }
        self.logged += 1;
        self.logged <= MAX_LOGGED
    }
}

/// The lack of a descriptor that an error is about.
fn lack(error: &Error) -> Option<&io::Error> {
    error.source()?.downcast_ref::<io::Error>().filter(|error| lacks_descriptors(error))
}
