//! One measurement, in the words for the programs that do it.

use anyipc_measure::Result;
use anyipc_measure::link::Handling;
use anyipc_measure::payload::Coverage;

/// Messages of a batch.
pub(crate) const BATCH: u64 = 64;
/// Senders of [`Pattern::Senders`].
pub(crate) const SENDERS: u64 = 4;

/// The pattern of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// A message there and one of the same length back.
    RoundTrip,
    /// Messages one way, as fast as they go.
    Stream,
    /// The same, with one word of each cache line written.
    Words,
    /// The same, sent [`BATCH`] at a time.
    Batch,
    /// The same from [`SENDERS`] processes on one core.
    Senders,
    /// Something created and removed.
    Cost,
    /// A lock taken and released, by one process.
    Lock,
    /// A lock taken by each of two processes as soon as the other one releases it.
    Handover,
}

impl Pattern {
    const ALL: [Self; 8] = [
        Self::RoundTrip,
        Self::Stream,
        Self::Words,
        Self::Batch,
        Self::Senders,
        Self::Cost,
        Self::Lock,
        Self::Handover,
    ];

    /// Its name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::Stream => "stream",
            Self::Words => "words",
            Self::Batch => "batch",
            Self::Senders => "senders",
            Self::Cost => "cost",
            Self::Lock => "lock",
            Self::Handover => "handover",
        }
    }
}

/// One measurement.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The contender's name.
    pub(crate) contender: String,
    /// A contender's own words.
    pub(crate) variant: String,
    pub(crate) pattern: Pattern,
    /// Length of each message, in bytes: whole cache lines.
    pub(crate) size: usize,
    /// Messages before the clock starts.
    pub(crate) warm: u64,
    /// Messages while it runs.
    pub(crate) count: u64,
}

impl Job {
    /// How links handle its messages. Receivers read a word of each cache line.
    pub(crate) fn handling(&self) -> Handling {
        let written = if self.pattern == Pattern::Words { Coverage::Line } else { Coverage::Full };
        Handling { written, checked: Coverage::Line, in_place: false }
    }

    /// All messages.
    pub(crate) fn total(&self) -> u64 {
        self.warm + self.count
    }

    /// The arguments of a program after its own name.
    pub(crate) fn words(&self) -> Vec<String> {
        let Self { variant, pattern, size, warm, count, .. } = self;
        let numbers = [*size as u64, *warm, *count].map(|number| number.to_string());
        [vec![variant.clone(), pattern.word().to_owned()], numbers.to_vec()].concat()
    }

    /// From the contender's name, [`words`](Self::words), and a place if there is one.
    pub(crate) fn from_words(words: &[String]) -> Result<(Self, Option<&str>)> {
        let [contender, variant, pattern, size, warm, count, place @ ..] = words else {
            return Err("not a measurement".into());
        };
        let pattern = Pattern::ALL.into_iter().find(|known| known.word() == pattern);
        let job = Self {
            contender: contender.clone(),
            variant: variant.clone(),
            pattern: pattern.ok_or("no such pattern")?,
            size: size.parse()?,
            warm: warm.parse()?,
            count: count.parse()?,
        };
        Ok((job, place.first().map(String::as_str)))
    }
}
