//! How the two sides of a row come to their ends of what carries its messages.

use std::time::{Duration, Instant};

use anyipc::{Address, Endpoint, ErrorKind, Registry};
use serde::{Deserialize, Serialize};

use super::args::Wait;
use super::carrier::{Baseline, Carrier, Wire};
use super::case::Case;
use super::channel::ChannelLink;
use super::crowd::{Audience, Crowd};
use super::guard::Fate;
use super::link::{Failure, Handling};
use super::memcpy::Memcpy;
use super::pattern::Pattern;
use super::payload::Verify;
use super::queue::QueueLink;
use super::sys::bare::{self, Offer, Terms};

/// The longest wait for the other side to come.
const COME: Duration = Duration::from_secs(10);
/// How often that wait looks whether there is another side.
const LOOK: Duration = Duration::from_millis(200);

/// What the other side is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    /// What carries the messages.
    #[serde(flatten)]
    pub(super) carrier: Carrier,
    /// Where to find it: an address for each queue, or one place.
    pub(super) places: Vec<String>,
    /// The pattern of traffic.
    pub(super) pattern: Pattern,
    /// Length of each message, in bytes.
    pub(super) size: usize,
    /// How many send at the same time.
    pub(super) senders: u16,
    /// How to wait.
    pub(super) wait: Wait,
    /// What to check.
    pub(super) verify: Verify,
    /// Whether to write and read messages in place.
    pub(super) in_place: bool,
    /// The core to run on.
    pub(super) core: Option<usize>,
    /// The other side runs there, too.
    pub(super) one_core: bool,
}

impl Order {
    fn handling(&self) -> Handling {
        Handling { verify: self.verify, in_place: self.in_place }
    }

    fn terms(&self, baseline: Baseline) -> Terms {
        let Self { pattern, size, wait, verify, .. } = *self;
        // Spinning keeps the core from who is to answer: no baseline to measure up to.
        let wait = if self.one_core && wait == Wait::Adaptive { Wait::Block } else { wait };
        Terms { baseline, pattern, size, wait, verify }
    }

    fn place(&self, index: usize) -> Result<&str, Failure> {
        Ok(self.places.get(index).ok_or("an order without a place")?)
    }

    /// The peer's end.
    pub(super) fn join(&self) -> Result<Wire, Failure> {
        Ok(match self.carrier {
            Carrier::Channel => {
                Wire::Channel(ChannelLink::new(anyipc::connect(self.place(0)?)?, self.handling()))
            }
            Carrier::Queue => {
                let queue = |index| Ok::<_, Failure>(anyipc::open(self.place(index)?)?.queue()?);
                let link = QueueLink::new(queue(1)?, queue(0)?, self.handling(), Fate::default());
                match self.senders {
                    2.. => Wire::Audience(Audience::new(link, self.senders.into())),
                    _ => Wire::Queue(link),
                }
            }
            Carrier::Baseline(baseline) => {
                Wire::Bare(bare::join(self.terms(baseline), self.place(0)?)?)
            }
        })
    }
}

/// The driver's side before there is another one.
#[derive(Debug)]
pub(super) enum Meeting {
    Channel(Endpoint),
    Queues { there: Endpoint, back: Endpoint },
    Bare(Option<Offer>),
    Alone,
}

impl Meeting {
    /// Makes what the other side is to find, and puts its places into the order.
    pub(super) fn open(
        case: &Case,
        order: &mut Order,
        registry: &Registry,
        serial: u64,
    ) -> Result<Self, Failure> {
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
                (Self::Bare(Some(Offer::new(order.terms(baseline), &name)?)), vec![name])
            }
        };
        order.places = places;
        Ok(meeting)
    }

    /// The driver's end. `fate` is that of the other side.
    pub(super) fn meet(&mut self, order: &Order, fate: &Fate) -> Result<Wire, Failure> {
        let started = Instant::now();
        let patient = || started.elapsed() < COME && fate.check().is_ok();
        Ok(match self {
            Self::Channel(owner) => loop {
                match owner.accept_timeout(LOOK) {
                    Err(error) if error.kind() == ErrorKind::TimedOut && patient() => {}
                    accepted => break Wire::Channel(ChannelLink::new(accepted?, order.handling())),
                }
            },
            Self::Queues { there, back } => {
                let link = |_| {
                    Ok(QueueLink::new(
                        there.queue()?,
                        back.queue()?,
                        order.handling(),
                        fate.clone(),
                    ))
                };
                match order.senders {
                    2.. => {
                        Wire::Crowd(Crowd::new(
                            (0..order.senders).map(link).collect::<Result<_, Failure>>()?,
                        ))
                    }
                    _ => Wire::Queue(link(0)?),
                }
            }
            Self::Bare(offer) => Wire::Bare(offer.take().ok_or("met already")?.accept(patient)?),
            Self::Alone => Wire::Memcpy(Memcpy::new(order.verify)),
        })
    }

    /// Gives everything up.
    pub(super) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Channel(owner) => owner.close()?,
            Self::Queues { there, back } => {
                there.close()?;
                back.close()?;
            }
            Self::Bare(_) | Self::Alone => {}
        }
        Ok(())
    }
}

/// A name that no other benchmark of this machine has; of a port, one that the system will choose.
fn address(case: &Case, serial: &str) -> Result<Address, Failure> {
    let plain: Address = match case.transport {
        "tcp" => "tcp://127.0.0.1:0".parse()?,
        transport => format!("{transport}://bench.{}.{serial}", std::process::id()).parse()?,
    };
    Ok(case.options.iter().fold(plain, |address, (key, value)| address.with(key, value)))
}
