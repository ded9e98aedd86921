use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the mutex. This crate runs no code of a caller (a waker, `fill`, `read`) under a lock, so
/// a panic cannot leave the protected state half changed, and poisoning is ignored.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
