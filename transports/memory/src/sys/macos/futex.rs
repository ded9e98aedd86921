//! Sleeping on a shared word: macOS 14.4 has calls for that, which are looked up by their names. An
//! older system has none: there threads wait by the doorbell, see `back_off`.

use std::ffi::CStr;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use libc::{c_int, c_void};

use crate::sys::back_off;

type Wait = unsafe extern "C" fn(*mut c_void, u64, usize, u32, libc::os_clockid_t, u64) -> c_int;
type Wake = unsafe extern "C" fn(*mut c_void, usize, u32) -> c_int;

#[derive(Debug)]
struct Calls {
    wait: Wait,
    wake_any: Wake,
    wake_all: Wake,
}

/// The system's calls, if it has them: looked up once.
fn calls() -> Option<&'static Calls> {
    static CALLS: OnceLock<Option<Calls>> = OnceLock::new();
    let find = |name: &CStr| {
        // SAFETY: the name ends with a NUL.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    };
    let calls = CALLS.get_or_init(|| {
        let wait = find(c"os_sync_wait_on_address_with_timeout")?;
        let wake_any = find(c"os_sync_wake_by_address_any")?;
        let wake_all = find(c"os_sync_wake_by_address_all")?;
        // SAFETY: functions of the C library by these names, which have these signatures
        // (os/os_sync_wait_on_address.h); the library is never unloaded.
        unsafe {
            Some(Calls {
                wait: std::mem::transmute::<*mut c_void, Wait>(wait),
                wake_any: std::mem::transmute::<*mut c_void, Wake>(wake_any),
                wake_all: std::mem::transmute::<*mut c_void, Wake>(wake_all),
            })
        }
    });
    calls.as_ref()
}

/// True if a thread can sleep on a word that processes share: since macOS 14.4.
#[inline]
pub fn parks() -> bool {
    calls().is_some()
}

/// Sleeps while `word` is `expected`: until a wake, a signal, a difference or the timeout. The
/// caller checks its condition again in each case. Works across processes.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    let Some(calls) = calls() else { return back_off::futex_wait(word, expected, timeout) };
    // Zero would be an error.
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1);
    // SAFETY: the word is mapped for the call, which reads its four bytes.
    let code = unsafe {
        (calls.wait)(
            word.as_ptr().cast(),
            expected.into(),
            size_of::<AtomicU32>(),
            libc::OS_SYNC_WAIT_ON_ADDRESS_SHARED,
            libc::OS_CLOCK_MACH_ABSOLUTE_TIME,
            nanoseconds,
        )
    };
    let slept = |code| matches!(code, Some(libc::ETIMEDOUT | libc::EINTR));
    if code < 0 && !slept(io::Error::last_os_error().raw_os_error()) {
        // A call that fails at once must not make the caller's loop a busy one. The word is not
        // looked at here: it may be a half of one that this process accesses as a whole.
        std::thread::sleep(timeout.min(Duration::from_millis(1)));
    }
}

/// Wakes one sleeper on `word`, or all for any `most` over 1, in whichever process. Returns how
/// many there were, 1 for any number: the system does not say.
pub(crate) fn futex_wake(word: &AtomicU32, most: u32) -> u32 {
    let Some(calls) = calls() else { return back_off::futex_wake(word, most) };
    let wake = if most > 1 { calls.wake_all } else { calls.wake_any };
    // SAFETY: the word is mapped for the call, which does not access it: its address names the
    // sleepers.
    let code = unsafe {
        wake(word.as_ptr().cast(), size_of::<AtomicU32>(), libc::OS_SYNC_WAKE_BY_ADDRESS_SHARED)
    };
    // ENOENT: none sleeps.
    u32::from(code >= 0)
}
