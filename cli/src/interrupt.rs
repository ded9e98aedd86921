//! Ctrl-C and requests to terminate: commands close what they hold and end with exit code 130. A
//! second signal ends the process at once, unless it comes so soon that both are one request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// True once a signal has come.
static HIT: AtomicBool = AtomicBool::new(false);
/// The thread to wake by a signal.
static MAIN: OnceLock<Thread> = OnceLock::new();
/// The time of the first signal.
static FIRST: OnceLock<Instant> = OnceLock::new();

/// `timeout` and service managers signal a process and then its group: signals within this time are
/// one request.
const SAME: Duration = Duration::from_millis(300);

/// A wait that a signal cannot end checks for one this often.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// From now on a signal sets a flag instead of ending the process. The main thread calls this.
pub(crate) fn install() -> Result<()> {
    if MAIN.set(thread::current()).is_err() {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        let first = *FIRST.get_or_init(Instant::now);
        if HIT.swap(true, Ordering::SeqCst) && first.elapsed() > SAME {
            std::process::exit(Failure::Interrupted.exit_code().into());
        }
        if let Some(main) = MAIN.get() {
            main.unpark();
        }
    })
    .map_err(|error| Failure::Io("handling signals".into(), std::io::Error::other(error)))
}

/// # Errors
/// `Interrupted` if a signal has come.
pub(crate) fn check() -> Result<()> {
    if HIT.load(Ordering::SeqCst) { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Does work that may block on a thread of its own, so that a signal ends the wait for it. The
/// thread then ends with the process.
pub(crate) fn guard<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    install()?;
    let (result, done) = mpsc::channel();
    let waker = WakeOnDrop(thread::current());
    thread::Builder::new()
        .spawn(move || {
            // Dropped last, even if the work panics.
            let _waker = waker;
            let result = result;
            let _ = result.send(work());
        })
        .map_err(|error| Failure::Io("starting a thread".into(), error))?;
    loop {
        match done.try_recv() {
            Ok(result) => return result,
            Err(TryRecvError::Disconnected) => {
                return Err(Failure::Io(
                    "working".into(),
                    std::io::Error::other("the thread panicked"),
                ));
            }
            Err(TryRecvError::Empty) => {
                check()?;
                thread::park();
            }
        }
    }
}

/// Wakes a thread when dropped.
struct WakeOnDrop(Thread);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.unpark();
    }
}
