//! Ctrl-C and requests to terminate: commands end in order, with exit code 130. A second signal ends the
//! process at once, unless it follows the first one so closely that both are the same request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

static HIT: AtomicBool = AtomicBool::new(false);
static MAIN: OnceLock<Thread> = OnceLock::new();
static FIRST: OnceLock<Instant> = OnceLock::new();

/// `timeout` and service managers signal a process and then its group: the process gets the signal twice.
const SAME: Duration = Duration::from_millis(300);

/// How often a wait that a signal cannot end looks for one.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// From now on signals are noted instead of ending the process. To be called by the main thread.
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

/// `Interrupted` if a signal came.
pub(crate) fn check() -> Result<()> {
    if HIT.load(Ordering::SeqCst) { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Does work that may block on a thread of its own, so that a signal ends the wait for it. The work is then
/// left behind; the end of the process ends it.
pub(crate) fn guard<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    install()?;
    let (result, done) = mpsc::channel();
    let bell = Bell(thread::current());
    thread::Builder::new()
        .spawn(move || {
            // Dropped last, also when the work panics.
            let _bell = bell;
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
struct Bell(Thread);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.unpark();
    }
}
