use std::sync::OnceLock;

use rustix::thread::{MembarrierCommand, membarrier};

/// Asks that other processes' barriers reach this one; false if the system does not do that. The first call of a
/// process takes the kernel some milliseconds if it has several threads.
///
/// `membarrier(2)`, `MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED`, Linux 4.16.
pub(crate) fn join_barriers() -> bool {
    static JOINED: OnceLock<bool> = OnceLock::new();
    *JOINED.get_or_init(|| membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok())
}

/// Passes a full barrier through every thread that runs now and whose process has joined. A microsecond or few.
pub(crate) fn barrier() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}
