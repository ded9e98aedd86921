//! What `best://` means on each platform.

/// The scheme; `None` on a platform that has no transport between processes. It depends on the
/// platform alone: two programs with different features must not take different ways.
pub(super) const BEST: Option<&str> =
    if cfg!(any(target_os = "linux", target_os = "macos", windows)) { Some("shm") } else { None };
