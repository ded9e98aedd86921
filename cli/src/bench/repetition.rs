//! Measures one row once.

use std::time::Duration;

use anyipc::Registry;
use anyipc_measure::Result;
use anyipc_measure::cores::pin;
use anyipc_measure::cpu::CpuClock;
use anyipc_measure::link::Link;
use anyipc_measure::pattern::Traffic;
use anyipc_measure::watchdog::Watchdog;

use super::carrier::Carrier;
use super::case::{Case, PeerKind};
use super::figures::Figures;
use super::meeting::{Meeting, Order};
use super::noise::Watch;
use super::process::Peers;
use super::setting::Setting;

/// Measures rows, one at a time.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    registry: &'a Registry,
    watchdog: &'a Watchdog,
    peers: Peers,
    setting: Setting,
    /// Rows measured so far, part of each row's names.
    serial: u64,
}

impl<'a> Bench<'a> {
    /// Pins the calling thread.
    pub(super) fn new(registry: &'a Registry, watchdog: &'a Watchdog, setting: Setting) -> Self {
        if let Some(pinning) = setting.pinning {
            pin(pinning.driver);
        }
        Self { registry, watchdog, peers: Peers::default(), setting, serial: 0 }
    }

    /// Measures a row over a fresh channel, for about `time`, a quarter of it warm-up.
    ///
    /// # Errors
    /// A wrong message, or a failure of the transport or of the other side.
    pub(super) fn slice(&mut self, case: &Case, time: Duration) -> Result<Figures> {
        self.watchdog.beat();
        self.serial += 1;
        let watch = Watch::begin(self.setting.pinning);
        let before = CpuClock::Process.now();
        let mut order = Order::new(case, &self.setting);
        let mut meeting = Meeting::open(case, &mut order, self.registry, self.serial)?;
        self.peers.order(case.peer, order.clone(), self.watchdog)?;
        let driven = self.drive(case, time, &order, &mut meeting);
        // Over other carriers the other side does not see that this one gave up.
        if driven.is_err() && case.carrier != Carrier::Channel {
            self.watchdog.liveness().check()?;
            return driven;
        }
        let reported = self.peers.report(case.peer);
        meeting.close()?;
        match (driven, reported) {
            (Ok(figures), Ok(used)) => {
                let here = CpuClock::Process.since(before);
                // A second thread's time is part of this process's.
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
    ) -> Result<Figures> {
        let mut wire = meeting.meet(order, self.watchdog.liveness())?;
        let cpu = match case.peer {
            PeerKind::Process | PeerKind::Nobody => CpuClock::Process,
            PeerKind::Thread => CpuClock::Thread,
        };
        let Setting { clock, batch, .. } = self.setting;
        let Case { pattern, size, senders, pace, .. } = *case;
        let asleep = self.setting.is_one_core();
        let traffic = Traffic { pattern, size, senders, pace, batch, asleep };
        let rate = traffic.warm_up(&mut wire, time / 4, cpu)?;
        let before = cpu.now();
        let timed = traffic.drive(&mut wire, time * 3 / 4, rate, clock, cpu)?;
        let used = cpu.since(before).and_then(|used| used.checked_sub(timed.idle_cpu));
        wire.finish(size)?;
        Ok(Figures::new(timed, size, used))
    }
}
