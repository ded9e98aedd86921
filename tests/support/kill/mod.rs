//! The rounds of the kill test: what a victim does until it is killed, and what its survivor sees.

pub(crate) mod survivor;
pub(crate) mod victim;

use std::time::{Duration, Instant};

use anyipc::{Capabilities, ErrorKind};

use crate::support::counters::Counters;
use crate::support::halves::{Mode, Rx, Tx, Way};
use crate::support::message::Stream;
use crate::support::random::Random;
use crate::support::schemes::can;

/// What the two sides do when the kill comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// The victim streams.
    In,
    /// The victim sends until there is no room, and then does nothing more.
    Burst,
    /// Both stream.
    Both,
    /// The survivor asks, the victim answers.
    Ask,
    /// The victim asks, the survivor answers.
    Answer,
    /// Nothing; the survivor sleeps in a receive.
    Idle,
    /// The survivor sleeps in a send: the victim does not receive.
    Full,
    /// One short connection after the other.
    Connect,
}

impl Pattern {
    const ALL: [Self; 8] = [
        Self::In,
        Self::Burst,
        Self::Both,
        Self::Ask,
        Self::Answer,
        Self::Idle,
        Self::Full,
        Self::Connect,
    ];
}

/// One round. Both sides make the same of its number and seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Where the owner is, without options.
    pub(crate) address: &'static str,
    pub(crate) index: u64,
    pub(crate) seed: u64,
    pub(crate) pattern: Pattern,
    /// How the survivor waits.
    pub(crate) survivor: Mode,
    /// How the victim waits.
    pub(crate) victim: Mode,
    /// Whether the owner is killed, or the opener.
    pub(crate) kills_owner: bool,
    /// `None`: the ring grows as it needs.
    pub(crate) capacity: Option<usize>,
    pub(crate) longest: usize,
    /// Whether the survivor receives slowly: then the victim sleeps on a full ring, which grows.
    pub(crate) dawdles: bool,
    /// How both sides send.
    pub(crate) way: Way,
}

impl Round {
    pub(crate) fn new(address: &'static str, index: u64, seed: u64) -> Self {
        let mut random = Random::new(seed ^ (index << 20));
        // Every combination comes in turn; the rest is chance.
        let modes = Mode::ALL.len() as u64;
        let patterns = Pattern::ALL.len() as u64;
        Self {
            address,
            index,
            seed,
            survivor: Mode::ALL[(index % modes) as usize],
            pattern: Pattern::ALL[(index / modes % patterns) as usize],
            kills_owner: (index / modes / patterns).is_multiple_of(2),
            victim: random.pick(Mode::ALL),
            capacity: random.pick(&[None, None, None, Some(4096), Some(4096), Some(65536)]),
            // Above a quarter of the capacity a message is sent in fragments.
            longest: random.pick(&[8, 100, 1000, 6000, 70_000]),
            dawdles: random.below(2) == 0,
            way: random.pick(Way::ALL),
        }
    }

    pub(crate) fn url(&self, mode: Mode) -> String {
        let capacity = self.capacity.map_or(String::new(), |bytes| format!("capacity={bytes}&"));
        format!("{}?{capacity}wait={}&timeout=20s", self.address, mode.wait())
    }

    /// Whether everything that was sent with `Ok` arrives, also when the sender dies at once.
    fn delivers(&self) -> bool {
        can(self.address, Capabilities::DELIVERS_AFTER_DEATH)
    }

    fn to_victim(self) -> Stream {
        Stream::new(1, 8, self.longest)
    }

    fn to_survivor(self) -> Stream {
        Stream::new(2, 8, self.longest)
    }
}

/// How a loop over a half ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) half: &'static str,
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
    pub(crate) at: Instant,
}

impl Ending {
    fn new(half: &'static str, error: &anyipc::Error) -> Self {
        Self { half, kind: error.kind(), text: error.to_string(), at: Instant::now() }
    }
}

/// The victim's numbers: sends begun, and sends that were `Ok`.
const BEGUN: usize = 0;
const SENT: usize = 1;

/// One side's sending: how, and in which buffers.
struct Sending<'l> {
    way: Way,
    log: Option<&'l Counters>,
    buffers: Vec<Vec<u8>>,
}

impl<'l> Sending<'l> {
    fn new(way: Way, log: Option<&'l Counters>) -> Self {
        Self { way, log, buffers: vec![Vec::new(); way.batch()] }
    }

    /// Sends as many messages as the way sends at once.
    async fn send(&mut self, tx: &mut Tx, stream: &mut Stream) -> Result<(), Ending> {
        self.buffers.iter_mut().for_each(|buffer| stream.write(buffer));
        if let Some(log) = self.log {
            log.set(BEGUN, stream.count());
        }
        tx.send(&self.buffers, self.way).await.map_err(|error| Ending::new("send", &error))?;
        if let Some(log) = self.log {
            log.set(SENT, stream.count());
        }
        Ok(())
    }
}

/// One message at a time, where an answer follows each.
fn single(way: Way) -> Way {
    if way == Way::Many { Way::Send } else { way }
}

async fn receive_one(rx: &mut Rx, stream: &mut Stream, buffer: &mut Vec<u8>) -> Result<(), Ending> {
    rx.recv(buffer).await.map_err(|error| Ending::new("recv", &error))?;
    stream.check(buffer);
    Ok(())
}

/// Sends until that fails.
async fn send_all(tx: &mut Tx, stream: &mut Stream, way: Way, log: Option<&Counters>) -> Ending {
    let mut sending = Sending::new(way, log);
    loop {
        if let Err(ending) = sending.send(tx, stream).await {
            return ending;
        }
    }
}

/// Sends until that would wait: what was `Ok` must arrive without another call.
async fn burst(tx: &mut Tx, stream: &mut Stream, way: Way, log: &Counters) -> Result<(), Ending> {
    let way = if matches!(way, Way::Send | Way::Many) { Way::Try } else { way };
    let mut buffer = Vec::new();
    loop {
        stream.write(&mut buffer);
        log.set(BEGUN, stream.count());
        if !tx.send_one(&buffer, way).await.map_err(|error| Ending::new("send", &error))? {
            return Ok(());
        }
        log.set(SENT, stream.count());
    }
}

/// A slow receiver's rest.
const PAUSE: Duration = Duration::from_micros(300);

/// Receives until that fails, with a rest after so many bytes.
async fn receive_all(rx: &mut Rx, stream: &mut Stream, pause_every: usize) -> Ending {
    let mut buffer = Vec::new();
    let mut bytes = 0;
    loop {
        if let Err(ending) = receive_one(rx, stream, &mut buffer).await {
            return ending;
        }
        bytes += buffer.len();
        if bytes > pause_every {
            std::thread::sleep(PAUSE);
            bytes = 0;
        }
    }
}

/// Asks and waits for the answer, until one of the two fails.
async fn ask(
    tx: &mut Tx,
    out: &mut Stream,
    rx: &mut Rx,
    back: &mut Stream,
    way: Way,
    log: Option<&Counters>,
) -> Ending {
    let mut sending = Sending::new(single(way), log);
    let mut buffer = Vec::new();
    loop {
        if let Err(ending) = sending.send(tx, out).await {
            return ending;
        }
        if let Err(ending) = receive_one(rx, back, &mut buffer).await {
            return ending;
        }
    }
}

/// Waits for a question and answers it, until one of the two fails.
async fn answer(
    tx: &mut Tx,
    out: &mut Stream,
    rx: &mut Rx,
    back: &mut Stream,
    way: Way,
    log: Option<&Counters>,
) -> Ending {
    let mut sending = Sending::new(single(way), log);
    let mut buffer = Vec::new();
    loop {
        if let Err(ending) = receive_one(rx, back, &mut buffer).await {
            return ending;
        }
        if let Err(ending) = sending.send(tx, out).await {
            return ending;
        }
    }
}
