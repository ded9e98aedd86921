//! Ends the second process in every case, and the benchmark with it: at the end, after an error or
//! an interruption, or when nothing moves.

use std::process::Child;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// A row without a beat for this long has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(20);
/// The watchdog checks this often whether the second process is alive.
const RECHECK: Duration = Duration::from_millis(200);
/// Time that the driver has to return by itself after the end of the second process.
const LEAVE: Duration = Duration::from_secs(1);

/// Tells waits whether the second process is alive. By default there is none, which never ends.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<Mutex<Option<Child>>>);

impl Liveness {
    /// Fails if there was a second process and it has ended.
    ///
    /// # Errors
    /// The second process has ended.
    pub fn check(&self) -> Result<()> {
        match self.lock().as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => Err(format!("the second process ended ({status})").into()),
            _ => Ok(()),
        }
    }

    /// On most links the driver's calls then fail, and it returns by itself.
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
pub struct Watchdog {
    liveness: Liveness,
    beats: SyncSender<()>,
}

impl Watchdog {
    /// Begins to watch. `stuck` runs on a thread of the watchdog if the second process has ended,
    /// or nothing moves, and the driver does not return by itself: it should end this process.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn new(stuck: impl FnOnce(Failure) + Send + 'static) -> Result<Self> {
        let liveness = Liveness::default();
        let (beats, watch) = mpsc::sync_channel(1);
        let watched = liveness.clone();
        thread::Builder::new().name("watchdog".into()).spawn(move || {
            let Some(why) = end_of(&watched, &watch) else { return };
            // A driver that sleeps or spins on bare memory does not notice.
            if !disconnects(&watch) {
                stuck(why);
            }
        })?;
        Ok(Self { liveness, beats })
    }

    /// Takes the second process.
    pub fn watch(&self, child: Child) {
        *self.liveness.lock() = Some(child);
    }

    /// The check for waits.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Reports progress.
    pub fn beat(&self) {
        // Full means that the watchdog has not yet seen the last beat.
        let _ = self.beats.try_send(());
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.liveness.kill();
    }
}

/// Watches until something is wrong. `None` if the benchmark ends before.
fn end_of(liveness: &Liveness, watch: &Receiver<()>) -> Option<Failure> {
    let mut moved = Instant::now();
    loop {
        match watch.recv_timeout(RECHECK) {
            Ok(()) => moved = Instant::now(),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(why) = liveness.check() {
            return Some(why);
        }
        if moved.elapsed() >= STANDSTILL {
            liveness.kill();
            return Some(format!("nothing moved for {STANDSTILL:?}").into());
        }
    }
}

/// True if the driver returns in time, which drops the [`Watchdog`].
fn disconnects(watch: &Receiver<()>) -> bool {
    let until = Instant::now() + LEAVE;
    loop {
        match watch.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(()) => {}
            Err(error) => return error == RecvTimeoutError::Disconnected,
        }
    }
}
