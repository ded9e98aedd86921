//! Ends the second process whatever happens, and the benchmark with it: the end, an error, an interruption, a
//! standstill.

use std::io;
use std::process::Child;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::link::Failure;
use crate::output::Output;

/// A row that takes longer than this has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(20);
/// How often it looks whether the second process is still there.
const LOOK: Duration = Duration::from_millis(200);
/// How long the driver has to leave in good order once the second process is no more.
const LEAVE: Duration = Duration::from_secs(1);

/// What becomes of the second process, for those who wait for it. The default is that of none: it never ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<Mutex<Option<Child>>>);

impl Fate {
    /// Fails if the second process was there and has ended.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.lock().as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => Err(format!("the second process ended ({status})").into()),
            _ => Ok(()),
        }
    }

    /// The driver's calls on most links then fail, and it leaves in good order.
    fn kill(&self) {
        if let Some(mut child) = self.lock().take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds the second process; dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Guard {
    fate: Fate,
    beats: SyncSender<()>,
}

impl Guard {
    /// Begins to watch. `json` as in [`Output`].
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn new(json: bool) -> Result<Self, Failure> {
        let fate = Fate::default();
        let (beats, watch) = mpsc::sync_channel(1);
        let watched = fate.clone();
        thread::Builder::new().name("watchdog".into()).spawn(move || {
            let Some(why) = end_of(&watched, &watch) else { return };
            // Only who sleeps or spins on bare memory does not notice.
            if disconnects(&watch) {
                return;
            }
            let why =
                crate::failure::Failure::Io("the benchmark failed".into(), io::Error::other(why));
            Output::new(json, false).failure(&why);
            std::process::exit(why.exit_code().into());
        })?;
        Ok(Self { fate, beats })
    }

    /// Takes the second process.
    pub(super) fn watch(&self, child: Child) {
        *self.fate.lock() = Some(child);
    }

    /// What becomes of it.
    pub(super) fn fate(&self) -> &Fate {
        &self.fate
    }

    /// Says that things move.
    pub(super) fn beat(&self) {
        // Full means that the last beat was not even seen.
        let _ = self.beats.try_send(());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.fate.kill();
    }
}

/// Watches until something is wrong, and says what; `None` if all is over before.
fn end_of(fate: &Fate, watch: &Receiver<()>) -> Option<Failure> {
    let mut moved = Instant::now();
    loop {
        match watch.recv_timeout(LOOK) {
            Ok(()) => moved = Instant::now(),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(why) = fate.check() {
            return Some(why);
        }
        if moved.elapsed() >= STANDSTILL {
            fate.kill();
            return Some(format!("nothing moved for {STANDSTILL:?}").into());
        }
    }
}

/// Whether the driver leaves in time.
fn disconnects(watch: &Receiver<()>) -> bool {
    let until = Instant::now() + LEAVE;
    loop {
        match watch.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(()) => {}
            Err(error) => return error == RecvTimeoutError::Disconnected,
        }
    }
}
