//! Reserving memory while signals come: the kernel may give up a call for each, and all of its work
//! on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]
#![cfg(target_os = "linux")]

mod block_process;

use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Name, Transport};
use anyipc_shared_memory::SharedMemory;
use block_process::alone::alone;
use block_process::{Place, options};

const WATCHDOG: Duration = Duration::from_secs(60);

/// From now on `fallocate` of more than so many bytes says EINTR, as a kernel before 6.12 does that
/// needs longer for them than the time between two signals.
fn interrupt_above(limit: u32) {
    let step =
        |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let greater = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
    // Byte offsets into the system call's description: its number, and both halves of the fourth
    // argument, which is the fifth and the sixth where registers have 32 bits.
    let (call, low, high) = if usize::BITS == 64 { (0, 40, 44) } else { (0, 48, 56) };
    let mut filter = [
        step(load, 0, 0, call),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 4, libc::SYS_fallocate as u32),
        step(load, 0, 0, high),
        step(greater, 3, 0, 0),
        step(load, 0, 0, low),
        step(greater, 1, 0, limit),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EINTR as u32),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let (zero, one, mode): (libc::c_ulong, libc::c_ulong, libc::c_ulong) = (0, 1, 2);
    // SAFETY: the numbers are what the call takes; it changes nothing but this thread.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) }, 0);
    // SAFETY: the program is alive during the call, which copies it.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) }, 0);
}

/// Makes a block of 32 MiB in a thread, interrupts its reservations above this size, and returns
/// how long it took.
fn create_interrupted(limit: u32) -> (Result<(), Error>, Duration) {
    let making = std::thread::spawn(move || {
        interrupt_above(limit);
        let start = Instant::now();
        let options = options("size=32MiB,timeout=500ms").unwrap();
        let made = SharedMemory.create(&Name::new("block").unwrap(), &options).map(drop);
        (made, start.elapsed())
    });
    making.join().unwrap()
}

#[test]
fn a_large_block_is_reserved_between_two_signals() {
    alone("a_large_block_is_reserved_between_two_signals", WATCHDOG, |_| {
        for limit in [4 << 20, 1 << 20, 100_000] {
            create_interrupted(limit).0.unwrap();
        }
    });
}

#[test]
fn signals_without_end_are_an_error_in_time() {
    alone("signals_without_end_are_an_error_in_time", WATCHDOG, |place: &Place| {
        let (made, took) = create_interrupted(0);
        let error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("signals"), "{error}");
        assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&took), "{took:?}");
        assert_eq!(place.files(), [""; 0]);
    });
}
