//! One row, once.

use std::time::Duration;

use anyipc::Registry;

use super::args::Args;
use super::carrier::Carrier;
use super::case::{Case, PeerKind};
use super::figures::Figures;
use super::guard::Guard;
use super::link::{Failure, Link};
use super::machine::Pinning;
use super::meeting::{Meeting, Order};
use super::noise::Watch;
use super::pattern::Traffic;
use super::payload::Verify;
use super::process::Peers;
use super::sys::{self, Whose};

/// What is the same for all rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) pinning: Option<Pinning>,
    /// The cost of one reading of the clock.
    pub(super) clock: Duration,
    pub(super) verify: Verify,
    pub(super) in_place: bool,
    /// How many messages of a stream are sent together.
    pub(super) batch: u64,
}

impl Setting {
    pub(super) fn new(args: &Args, pinning: Option<Pinning>, clock: Duration) -> Self {
        let Args { verify, in_place, batch, .. } = *args;
        Self { pinning, clock, verify, in_place, batch: batch.into() }
    }
}

/// Measures rows, one at a time.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    registry: &'a Registry,
    guard: &'a Guard,
    peers: Peers,
    setting: Setting,
    serial: u64,
}

impl<'a> Bench<'a> {
    /// Pins the calling thread.
    pub(super) fn new(registry: &'a Registry, guard: &'a Guard, setting: Setting) -> Self {
        if let Some(pinning) = setting.pinning {
            sys::pin(pinning.driver);
        }
        Self { registry, guard, peers: Peers::default(), setting, serial: 0 }
    }

    /// Measures a row over a fresh channel, for about `time`, a quarter of it warm-up.
    ///
    /// # Errors
    /// A wrong message, or a failure of the transport or of the other side.
    pub(super) fn slice(&mut self, case: &Case, time: Duration) -> Result<Figures, Failure> {
        self.guard.beat();
        self.serial += 1;
        let watch = Watch::begin(self.setting.pinning);
        let before = sys::cpu_time(Whose::Process);
        let Setting { pinning, verify, in_place, .. } = self.setting;
        let Case { carrier, pattern, size, senders, wait, .. } = *case;
        let (core, one_core) = (pinning.map(|p| p.peer), pinning.is_some_and(Pinning::is_one_core));
        let places = Vec::new();
        let mut order = Order {
            carrier,
            places,
            pattern,
            size,
            senders,
            wait,
            verify,
            in_place,
            core,
            one_core,
        };
        let mut meeting = Meeting::open(case, &mut order, self.registry, self.serial)?;
        self.peers.order(case.peer, order.clone(), self.guard)?;
        let driven = self.drive(case, time, &order, &mut meeting);
        // Only over a channel the other side learns of it.
        if driven.is_err() && carrier != Carrier::Channel {
            self.guard.fate().check()?;
            return driven;
        }
        let reported = self.peers.report(case.peer);
        meeting.close()?;
        match (driven, reported) {
            (Ok(figures), Ok(used)) => {
                let here =
                    before.and_then(|before| sys::cpu_time(Whose::Process)?.checked_sub(before));
                // Both sides' time is this process's where the other one is a thread.
                let there =
                    if case.peer == PeerKind::Thread { Some(Duration::ZERO) } else { used.all };
                let foreign = here.zip(there).and_then(|(here, there)| watch.end(here + there));
                Ok(figures.with_peer_cpu(used.phase).with_foreign(foreign))
            }
            (Err(here), Err(there)) => Err(format!("{here}; the other side says: {there}").into()),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    fn drive(
        &self,
        case: &Case,
        time: Duration,
        order: &Order,
        meeting: &mut Meeting,
    ) -> Result<Figures, Failure> {
        let mut wire = meeting.meet(order, self.guard.fate())?;
        let whose = match case.peer {
            PeerKind::Process | PeerKind::Nobody => Whose::Process,
            PeerKind::Thread => Whose::Thread,
        };
        let Setting { pinning, clock, batch, .. } = self.setting;
        let Case { pattern, size, senders, pace, .. } = *case;
        let asleep = pinning.is_some_and(Pinning::is_one_core);
        let traffic = Traffic { pattern, size, senders, pace, batch, asleep };
        let rate = traffic.warm_up(&mut wire, time / 4, whose)?;
        let before = sys::cpu_time(whose);
        let timed = traffic.drive(&mut wire, time * 3 / 4, rate, clock, whose)?;
        let cpu =
            before.and_then(|before| sys::cpu_time(whose)?.checked_sub(before + timed.idle_cpu));
        wire.finish(size)?;
        Ok(Figures::new(timed, size, cpu))
    }
}
