//! What panics say, on any thread.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on panics are kept instead of printed.
pub(crate) fn keep() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message");
        let place = info.location().map(|at| format!(" ({at})")).unwrap_or_default();
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{message}{place}"));
    }));
}

/// Runs the function. If it panics: what the first panic said, on this or another thread.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).clear();
    panic::catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() { "a panic".to_owned() } else { said.swap_remove(0) }
    })
}
