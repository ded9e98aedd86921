//! Ends the second process whatever happens: the end, an error, an interruption, a standstill.

use std::process::Child;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::link::Failure;

/// A row that takes longer than this has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(20);
/// How long the driver has to leave in good order once the second process was killed.
const LEAVE: Duration = Duration::from_secs(2);

type Shared = Arc<Mutex<Option<Child>>>;

/// Holds the second process; dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Guard {
    child: Shared,
    beats: SyncSender<()>,
}

impl Guard {
    /// Begins to watch.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn new() -> Result<Self, Failure> {
        let child = Shared::default();
        let (beats, watch) = mpsc::sync_channel(1);
        let watched = Arc::clone(&child);
        thread::Builder::new().name("watchdog".into()).spawn(move || {
            loop {
                match watch.recv_timeout(STANDSTILL) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!("error: nothing moved for {STANDSTILL:?}");
                        kill(&watched);
                        thread::sleep(LEAVE);
                        std::process::exit(1);
                    }
                }
            }
        })?;
        Ok(Self { child, beats })
    }

    /// Takes the second process.
    pub(super) fn watch(&self, child: Child) {
        *lock(&self.child) = Some(child);
    }

    /// True if the second process was there and has ended.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.child).as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// Says that things move.
    pub(super) fn beat(&self) {
        // Full means that the last beat was not even seen.
        let _ = self.beats.try_send(());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

/// The driver's calls on the link then fail, and it leaves in good order.
fn kill(child: &Shared) {
    if let Some(mut child) = lock(child).take() {
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn lock(child: &Shared) -> MutexGuard<'_, Option<Child>> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
