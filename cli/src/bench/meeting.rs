//! How the two sides of a row come to their ends of what carries its messages.

use std::time::{Duration, Instant};

use anyipc::{Address, Endpoint, ErrorKind, Registry};
use anyipc_measure::baseline::{self, Baseline, Offer, Terms};
use anyipc_measure::channel::ChannelLink;
use anyipc_measure::cores::Pinning;
use anyipc_measure::fan_in::{FanInReceiver, FanInSenders};
use anyipc_measure::link::Handling;
use anyipc_measure::memcpy::Memcpy;
use anyipc_measure::pattern::Pattern;
use anyipc_measure::payload::Coverage;
use anyipc_measure::queue::QueueLink;
use anyipc_measure::wait::Wait;
use anyipc_measure::watchdog::Liveness;
use anyipc_measure::{Failure, Result};
use serde::{Deserialize, Serialize};

use super::carrier::{Carrier, Wire};
use super::case::Case;
use super::setting::Setting;

/// The longest wait for the other side to connect.
const ARRIVAL: Duration = Duration::from_secs(10);
/// That wait checks this often whether the other side is alive.
const RECHECK: Duration = Duration::from_millis(200);

/// The order for the peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    /// What carries the messages.
    #[serde(flatten)]
    carrier: Carrier,
    /// Where it is: an address for each queue, or one name.
    places: Vec<String>,
    /// The pattern of traffic.
    pub(super) pattern: Pattern,
    /// Length of each message, in bytes.
    pub(super) size: usize,
    /// Senders of a stream.
    senders: u16,
    /// How to wait.
    wait: Wait,
    /// What to check.
    verify: Coverage,
    /// True if messages are written and read in place.
    in_place: bool,
    /// The core to run on.
    pub(super) core: Option<usize>,
    /// True if the driver runs there, too.
    one_core: bool,
}

impl Order {
    /// Without places: [`Meeting::open`] adds them.
    pub(super) fn new(case: &Case, setting: &Setting) -> Self {
        let Case { carrier, pattern, size, senders, wait, .. } = *case;
        let Setting { verify, in_place, .. } = *setting;
        let core = setting.pinning.map(|Pinning { peer, .. }| peer);
        let one_core = setting.is_one_core();
        let places = Vec::new();
        Self { carrier, places, pattern, size, senders, wait, verify, in_place, core, one_core }
    }

    fn handling(&self) -> Handling {
        Handling { in_place: self.in_place, ..Handling::checking(self.verify) }
    }

    fn terms(&self, baseline: Baseline) -> Terms {
        let Self { pattern, size, wait, verify, .. } = *self;
        // On one core, a side that spins keeps the other one from answering.
        let wait = if self.one_core && wait == Wait::Adaptive { Wait::Block } else { wait };
        Terms { baseline, pattern, size, wait, checked: verify }
    }

    fn place(&self, index: usize) -> Result<&str> {
        Ok(self.places.get(index).ok_or("an order without a place")?)
    }

    /// The peer's end.
    pub(super) fn join(&self) -> Result<Wire> {
        Ok(match self.carrier {
            Carrier::Channel => {
                Wire::Channel(ChannelLink::new(anyipc::connect(self.place(0)?)?, self.handling()))
            }
            Carrier::Queue => {
                let queue = |index| Ok::<_, Failure>(anyipc::open(self.place(index)?)?.queue()?);
                let (sends, receives) = (queue(1)?, queue(0)?);
                let link = QueueLink::new(sends, receives, self.handling(), Liveness::default());
                match self.senders {
                    2.. => Wire::FanInReceiver(FanInReceiver::new(link, self.senders.into())),
                    _ => Wire::Queue(link),
                }
            }
            Carrier::Baseline(baseline) => {
                Wire::Baseline(baseline::join(self.terms(baseline), self.place(0)?)?)
            }
        })
    }
}

/// The driver's side before the peer has come.
#[derive(Debug)]
pub(super) enum Meeting {
    Channel(Endpoint),
    Queues { there: Endpoint, back: Endpoint },
    Baseline(Option<Offer>),
    Alone,
}

impl Meeting {
    /// Makes what the peer is to find, and puts its places into the order.
    pub(super) fn open(
        case: &Case,
        order: &mut Order,
        registry: &Registry,
        serial: u64,
    ) -> Result<Self> {
        let create = |way: &str| {
            registry.create(&address(case, &format!("{serial}{way}"))?).map_err(Failure::from)
        };
        let (meeting, places) = match case.carrier {
            Carrier::Channel => {
                let owner = create("")?;
                let place = owner.address().to_string();
                (Self::Channel(owner), vec![place])
            }
            Carrier::Queue => {
                let (there, back) = (create(".there")?, create(".back")?);
                let places = vec![there.address().to_string(), back.address().to_string()];
                (Self::Queues { there, back }, places)
            }
            Carrier::Baseline(Baseline::Memcpy) => (Self::Alone, Vec::new()),
            Carrier::Baseline(baseline) => {
                let name = format!("anyipc-bench.{}.{serial}", std::process::id());
                let offer = Offer::new(order.terms(baseline), &name)?;
                (Self::Baseline(Some(offer)), vec![name])
            }
        };
        order.places = places;
        Ok(meeting)
    }

    /// The driver's end. `liveness` is the peer's.
    pub(super) fn meet(&mut self, order: &Order, liveness: &Liveness) -> Result<Wire> {
        let started = Instant::now();
        let keep_waiting = || started.elapsed() < ARRIVAL && liveness.check().is_ok();
        let handling = order.handling();
        Ok(match self {
            Self::Channel(owner) => loop {
                match owner.accept_timeout(RECHECK) {
                    Err(error) if error.kind() == ErrorKind::TimedOut && keep_waiting() => {}
                    accepted => break Wire::Channel(ChannelLink::new(accepted?, handling)),
                }
            },
            Self::Queues { there, back } => {
                let link = |_| {
                    let (sends, receives) = (there.queue()?, back.queue()?);
                    Ok::<_, Failure>(QueueLink::new(sends, receives, handling, liveness.clone()))
                };
                match order.senders {
                    2.. => {
                        let links = (0..order.senders).map(link);
                        Wire::FanInSenders(FanInSenders::new(links.collect::<Result<_>>()?))
                    }
                    _ => Wire::Queue(link(0)?),
                }
            }
            Self::Baseline(offer) => {
                Wire::Baseline(offer.take().ok_or("met already")?.accept(keep_waiting)?)
            }
            Self::Alone => Wire::Memcpy(Memcpy::new(order.verify)),
        })
    }

    /// Closes what [`open`](Self::open) made.
    pub(super) fn close(self) -> Result<()> {
        match self {
            Self::Channel(owner) => owner.close()?,
            Self::Queues { there, back } => {
                there.close()?;
                back.close()?;
            }
            Self::Baseline(_) | Self::Alone => {}
        }
        Ok(())
    }
}

/// A name that no other benchmark of this machine has; for TCP a port that the system chooses.
fn address(case: &Case, serial: &str) -> Result<Address> {
    let plain: Address = match case.transport {
        "tcp" => "tcp://127.0.0.1:0".parse()?,
        transport => format!("{transport}://bench.{}.{serial}", std::process::id()).parse()?,
    };
    Ok(case.options.iter().fold(plain, |address, (key, value)| address.with(key, value)))
}
