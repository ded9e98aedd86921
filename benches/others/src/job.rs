//! One measurement, as the programs that do it are told.

use crate::Result;

/// How many messages a batch has.
pub(crate) const BATCH: u64 = 64;
/// How many send at the same time in [`Pattern::Senders`].
pub(crate) const SENDERS: u64 = 4;

/// Who says what when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// A message there and one of the same length back.
    RoundTrip,
    /// Messages one way, as fast as they go.
    Stream,
    /// The same, of whose cache lines only one word each is written.
    Words,
    /// The same, handed over [`BATCH`] at a time.
    Batch,
    /// The same from [`SENDERS`] processes, which share a core.
    Senders,
    /// Making something and taking it away again.
    Cost,
}

impl Pattern {
    const ALL: [Self; 6] =
        [Self::RoundTrip, Self::Stream, Self::Words, Self::Batch, Self::Senders, Self::Cost];

    /// Its name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::Stream => "stream",
            Self::Words => "words",
            Self::Batch => "batch",
            Self::Senders => "senders",
            Self::Cost => "cost",
        }
    }
}

/// One measurement.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Who is measured.
    pub(crate) contender: String,
    /// In which way: each contender has its own words.
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
    /// All messages.
    pub(crate) fn total(&self) -> u64 {
        self.warm + self.count
    }

    /// What programs are told after their own name.
    pub(crate) fn words(&self) -> Vec<String> {
        let Self { variant, pattern, size, warm, count, .. } = self;
        let numbers = [*size as u64, *warm, *count].map(|number| number.to_string());
        [vec![variant.clone(), pattern.word().to_owned()], numbers.to_vec()].concat()
    }

    /// The contender's name, then [`words`](Self::words), then a place if there is one.
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
