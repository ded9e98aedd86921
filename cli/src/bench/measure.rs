//! One row, once.

use std::time::{Duration, Instant};

use anyipc::{Address, Channel, Endpoint, ErrorKind, Registry};

use super::figures::Figures;
use super::guard::Guard;
use super::link::Failure;
use super::machine::Pinning;
use super::peer::Order;
use super::plan::{Case, PeerKind};
use super::process::Peers;
use super::sys::{self, Whose};

/// The longest wait for the other side to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How often that wait looks whether there is another side.
const LOOK: Duration = Duration::from_millis(200);

/// Measures rows, one at a time.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    registry: &'a Registry,
    guard: &'a Guard,
    peers: Peers,
    pinning: Option<Pinning>,
    clock: Duration,
    serial: u64,
}

impl<'a> Bench<'a> {
    /// Pins the calling thread. `clock` is the cost of one reading of the clock.
    pub(super) fn new(
        registry: &'a Registry,
        guard: &'a Guard,
        pinning: Option<Pinning>,
        clock: Duration,
    ) -> Self {
        if let Some(pinning) = pinning {
            sys::pin(pinning.driver);
        }
        Self { registry, guard, peers: Peers::default(), pinning, clock, serial: 0 }
    }

    /// Measures a row over a fresh channel, for about `time`, a quarter of it warm-up.
    ///
    /// # Errors
    /// A wrong message, or a failure of the transport or of the other side.
    pub(super) fn slice(&mut self, case: &Case, time: Duration) -> Result<Figures, Failure> {
        self.guard.beat();
        self.serial += 1;
        let address = address(case, self.serial)?;
        let owner = self.registry.create(&address)?;
        let core = self.pinning.map(|p| p.peer);
        let order = Order { url: owner.address().to_string(), pattern: case.pattern, size: case.size, core };
        self.peers.order(case.peer, order, self.guard)?;
        let driven = self.drive(case, time, &owner);
        let reported = self.peers.report(case.peer);
        owner.close()?;
        match (driven, reported) {
            (Ok(figures), Ok(peer_cpu)) => Ok(figures.with_peer_cpu(peer_cpu)),
            (Err(here), Err(there)) => Err(format!("{here}; the other side says: {there}").into()),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    fn accept(&self, owner: &Endpoint) -> Result<Channel, Failure> {
        let started = Instant::now();
        loop {
            match owner.accept_timeout(LOOK) {
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    if started.elapsed() >= CONNECT || self.guard.is_over() {
                        return Err(error.into());
                    }
                }
                accepted => return Ok(accepted?),
            }
        }
    }

    fn drive(&self, case: &Case, time: Duration, owner: &Endpoint) -> Result<Figures, Failure> {
        let mut channel = self.accept(owner)?;
        let whose = match case.peer {
            PeerKind::Process => Whose::Process,
            PeerKind::Thread => Whose::Thread,
        };
        let (pattern, size) = (case.pattern, case.size);
        let rate = pattern.warm_up(&mut channel, size, time / 4)?;
        let before = sys::cpu_time(whose);
        let timed = pattern.drive(&mut channel, size, time * 3 / 4, rate, self.clock)?;
        let cpu = before.and_then(|before| sys::cpu_time(whose)?.checked_sub(before));
        channel.close()?;
        Ok(Figures::new(timed, size, cpu))
    }
}

/// A name that no other benchmark of this machine has; of a port, one that the system will choose.
fn address(case: &Case, serial: u64) -> Result<Address, Failure> {
    let plain: Address = match case.transport {
        "tcp" => "tcp://127.0.0.1:0".parse()?,
        transport => format!("{transport}://bench.{}.{serial}", std::process::id()).parse()?,
    };
    Ok(case.options.iter().fold(plain, |address, (key, value)| address.with(key, value)))
}
