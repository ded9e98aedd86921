//! A forked child holds nothing: it closes every descriptor of ours before `fork` returns.
//!
//! The kernel's locks belong to the open file, and a fork shares it: a child that kept a descriptor
//! would keep the parent's objects alive, and the parent's last close would pull the name from
//! under the child. Children made by a bare `clone` system call run no handler and are outside this
//! promise; `vfork` and `posix_spawn` end in an exec, which closes everything by `CLOEXEC`.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

/// One bit per descriptor number; the kernel's default ceiling (`fs.nr_open`) is 2^20.
const WORDS: usize = (1 << 20) / 64;
static OWNED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
/// One more than the highest word of `OWNED` ever used.
static HIGH: AtomicU32 = AtomicU32::new(0);
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The number of [`NoFork`]s, or `FORKING`.
static GATE: AtomicU32 = AtomicU32::new(0);
const FORKING: u32 = u32::MAX;
/// The thread that forks, while the gate is `FORKING`.
static FORKER: AtomicUsize = AtomicUsize::new(0);

/// The fork generation: it differs between a process and its forked children.
#[inline]
pub fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// While it lives no other thread forks: the table and the descriptors change together. Hold it for
/// a few non-blocking system calls at most; it may nest.
///
/// The thread that forks passes: handlers of the application run in it, and may close what they
/// hold.
#[derive(Debug)]
pub struct NoFork {
    /// True if the gate counts it.
    counted: bool,
}

impl Default for NoFork {
    fn default() -> Self {
        Self::new()
    }
}

impl NoFork {
    /// Waits out a fork that is under way.
    pub fn new() -> Self {
        let enter = |n| (n != FORKING).then(|| n + 1);
        while GATE.fetch_update(Acquire, Relaxed, enter).is_err() {
            if FORKER.load(Relaxed) == this_thread() {
                return Self { counted: false };
            }
            std::thread::yield_now();
        }
        Self { counted: true }
    }
}

/// A number that no other thread of this process has: an address.
fn this_thread() -> usize {
    thread_local!(static HERE: Cell<u8> = const { Cell::new(0) });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

impl Drop for NoFork {
    fn drop(&mut self) {
        if self.counted {
            GATE.fetch_sub(1, Release);
        }
    }
}

/// Registers the handlers, once. From then on [`generation`] distinguishes a child from its parent.
pub fn register() -> io::Result<()> {
    static DONE: OnceLock<i32> = OnceLock::new();
    // SAFETY: the handlers are functions of this program, which is never unloaded while it can
    // fork, and they do only what a child of a multi-threaded process may do: atomics and system
    // calls.
    let code = *DONE
        .get_or_init(|| unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) });
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// Registers our handlers before the program's own. Before a fork, handlers run in the opposite
/// order of their registration: ours shuts the gate last, after the program's have taken their
/// locks, which a thread that waits at the gate may hold. In the child they run in the order of
/// registration: ours runs first, so that the program's find the parent's handles closed.
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn early() {
        // A failure is reported by the first call that needs the handlers.
        let _ = register();
    }
    early
};

/// Enters a descriptor. The caller holds a [`NoFork`] since before it was opened.
pub(super) fn enter(fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        HIGH.fetch_max(word as u32 + 1, Relaxed);
        OWNED[word].fetch_or(bit, Relaxed);
    }
}

/// Takes a descriptor out. The caller holds a [`NoFork`] until it is closed.
pub(super) fn leave(fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        OWNED[word].fetch_and(!bit, Relaxed);
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok()?;
    (fd / 64 < WORDS).then(|| (fd / 64, 1 << (fd % 64)))
}

extern "C" fn before() {
    while GATE.compare_exchange_weak(0, FORKING, Acquire, Relaxed).is_err() {
        std::thread::yield_now();
    }
    FORKER.store(this_thread(), Relaxed);
}

extern "C" fn parent() {
    FORKER.store(0, Relaxed);
    GATE.store(0, Release);
}

extern "C" fn child() {
    GENERATION.fetch_add(1, Relaxed);
    for (index, word) in OWNED.iter().enumerate().take(HIGH.load(Relaxed) as usize) {
        let mut bits = word.swap(0, Relaxed);
        while bits != 0 {
            // SAFETY: the table holds descriptors owned by `Fd`s of the parent; in this generation
            // their `Drop` forgets them, so nobody else closes or uses these numbers.
            unsafe { libc::close((index * 64) as i32 + bits.trailing_zeros() as i32) };
            bits &= bits - 1;
        }
    }
    FORKER.store(0, Relaxed);
    GATE.store(0, Release);
}
