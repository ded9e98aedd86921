//! A forked child under ptrace, one instruction or one system call at a time.

use std::cell::Cell;
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{c_int, c_long, pid_t};

/// The debug register that turns the others on. Bit 0: stop before the instruction at the address
/// in register 0.
const CONTROL: usize = 7;

/// Why a traced process stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// One instruction is done, or a system call begins or ends.
    Trap,
    /// A signal came, and was taken away.
    Signal(c_int),
    /// The process ended, with this status of `waitpid`.
    Ended(c_int),
}

/// A traced child of this thread. Dropped, it is killed; it dies with this process, too.
#[derive(Debug)]
pub(super) struct Traced {
    pid: pid_t,
    /// True once `waitpid` has told of its end: the number may then be another process's.
    has_ended: Cell<bool>,
}

impl Traced {
    /// Forks. The child runs `victim`, and stands still from the signal `mark` on.
    pub(super) fn fork(mark: c_int, victim: impl FnOnce()) -> Self {
        // SAFETY: the other thread of this process waits for this one and holds no lock, so that
        // the child may go on as a whole program.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "{}", std::io::Error::last_os_error());
        if pid == 0 {
            trace(libc::PTRACE_TRACEME, 0, 0, 0);
            let done = catch_unwind(AssertUnwindSafe(victim));
            // SAFETY: ends the process. Nothing of the harness, which it has a copy of, runs.
            unsafe { libc::_exit(if done.is_ok() { 0 } else { 101 }) };
        }
        let traced = Self { pid, has_ended: Cell::new(false) };
        loop {
            match traced.wait() {
                Stop::Signal(signal) if signal == mark => break,
                // Of a child of its own.
                Stop::Signal(libc::SIGCHLD) => trace(libc::PTRACE_CONT, pid, 0, 0),
                stop => panic!("the victim did not come to its operation: {stop:?}"),
            }
        }
        let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
        trace(libc::PTRACE_SETOPTIONS, pid, 0, options.into());
        traced
    }

    pub(super) fn pid(&self) -> pid_t {
        self.pid
    }

    /// To the next signal.
    pub(super) fn go_on(&self) -> Stop {
        trace(libc::PTRACE_CONT, self.pid, 0, 0);
        self.wait()
    }

    /// One instruction. A system call is one.
    pub(super) fn step(&self) -> Stop {
        trace(libc::PTRACE_SINGLESTEP, self.pid, 0, 0);
        self.wait()
    }

    /// The address of the next instruction.
    pub(super) fn place(&self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        let register = offset_of!(libc::user_regs_struct, rip);
        #[cfg(target_arch = "x86")]
        let register = offset_of!(libc::user_regs_struct, eip);
        let at = (offset_of!(libc::user, regs) + register) as c_long;
        // SAFETY: reads a word of the traced process's registers, and writes nothing here.
        unsafe { libc::ptrace(libc::PTRACE_PEEKUSER as _, self.pid, at, 0 as c_long) as u64 }
    }

    /// Runs until it comes to this address for the `times`th time, or something else stops it.
    pub(super) fn run_to(&self, place: u64, times: u64) -> Stop {
        self.set_debug_register(0, place);
        self.set_debug_register(CONTROL, 1);
        let mut stop = Stop::Trap;
        for _ in 0..times {
            stop = self.go_on();
            if stop != Stop::Trap {
                break;
            }
        }
        if !matches!(stop, Stop::Ended(_)) {
            self.set_debug_register(CONTROL, 0);
        }
        stop
    }

    fn set_debug_register(&self, number: usize, value: u64) {
        let at = offset_of!(libc::user, u_debugreg) + number * size_of::<c_long>();
        trace(libc::PTRACE_POKEUSER, self.pid, at as c_long, value as c_long);
    }

    /// To the beginning or the end of a system call, in turn.
    pub(super) fn half_a_call(&self) -> Stop {
        trace(libc::PTRACE_SYSCALL, self.pid, 0, 0);
        self.wait()
    }

    fn wait(&self) -> Stop {
        let mut status = 0;
        // SAFETY: a child of this process, and a word for its status.
        let waited = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(waited, self.pid, "{}", std::io::Error::last_os_error());
        if !libc::WIFSTOPPED(status) {
            self.has_ended.set(true);
            return Stop::Ended(status);
        }
        match libc::WSTOPSIG(status) & !0x80 {
            libc::SIGTRAP => Stop::Trap,
            signal => Stop::Signal(signal),
        }
    }
}

impl Drop for Traced {
    /// `kill -9`. The process is gone with all that it held when this returns.
    fn drop(&mut self) {
        if !self.has_ended.get() {
            // SAFETY: no memory is involved, and a child that was not waited for keeps its number.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            while !matches!(self.wait(), Stop::Ended(_)) {}
        }
    }
}

#[track_caller]
fn trace(request: impl Into<i64>, pid: pid_t, at: c_long, data: c_long) {
    // Its type differs between the C libraries.
    let request = request.into();
    // SAFETY: no request made here writes to this process; `at` and `data` are numbers for each.
    let done = unsafe { libc::ptrace(request as _, pid, at, data) };
    assert!(done == 0, "ptrace is not allowed here: {}", std::io::Error::last_os_error());
}
