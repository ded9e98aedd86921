use std::time::{Duration, Instant};

/// The first and the longest pause before the listener is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(80));

/// A lack of descriptors, memory or room in the list, for which connectors wait at the listener.
#[derive(Debug, Default)]
pub(super) struct Shortage(Option<Pause>);

#[derive(Debug)]
struct Pause {
    /// When the listener is tried again.
    until: Instant,
    /// Doubled while the shortage lasts.
    length: Duration,
}

impl Shortage {
    /// Begins a pause, twice as long as the last one. True if there was no shortage before.
    pub(super) fn begin(&mut self) -> bool {
        let length = self.0.as_ref().map_or(PAUSE.0, |pause| (2 * pause.length).min(PAUSE.1));
        self.0.replace(Pause { until: Instant::now() + length, length }).is_none()
    }

    /// The listener gave a connector, or has none.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    /// Resources were given back: the listener is tried again at once.
    pub(super) fn retry(&mut self) {
        if let Some(pause) = &mut self.0 {
            *pause = Pause { until: Instant::now(), length: PAUSE.0 };
        }
    }

    /// True until [`end`](Self::end).
    pub(super) fn lasts(&self) -> bool {
        self.0.is_some()
    }

    /// When the listener is tried again.
    pub(super) fn until(&self) -> Option<Instant> {
        self.0.as_ref().map(|pause| pause.until)
    }
}
