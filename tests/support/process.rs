//! A second process: this test binary again. Each binary declares `#[test] fn child()` that calls
//! [`serve`] with its roles; [`spawn`] runs that one test, with a role, in a new process. Both
//! exchange lines over the child's standard input and error.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyipc::ErrorKind;

const ROLE: &str = "ANYIPC_TORTURE_ROLE";
/// What a line to the parent begins with; others are for people.
const MARK: &str = "@ ";
/// The longest a process may take for one line before the test fails.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a child does, with its arguments.
pub(crate) type Role = fn(&[&str]);

/// The child's side: plays the role it was spawned for. Nothing in the parent.
pub(crate) fn serve(roles: &[(&str, Role)]) {
    let Ok(text) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = text.split(' ').collect();
    let (role, arguments) = words.split_first().unwrap();
    let play =
        roles.iter().find(|(name, _)| name == role).unwrap_or_else(|| panic!("no role {role}")).1;
    play(arguments);
    // The parent may be waiting for the descriptors to close: not through the harness's summary.
    std::process::exit(0);
}

/// The child's side: one line to the parent. Also safe in a forked child: one system call, no lock.
pub(crate) fn say(line: &str) {
    let line = format!("{MARK}{line}\n");
    #[cfg(unix)]
    let _ = rustix::io::write(std::io::stderr(), line.as_bytes());
    #[cfg(not(unix))]
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The child's side: the next line of the parent; `None` when it has ended.
pub(crate) fn hear() -> Option<String> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end().to_owned()),
    }
}

/// The child's side: stays until the parent ends or closes our input.
pub(crate) fn linger() {
    while hear().is_some() {}
}

/// The child's side: ends this process when the parent ends or closes our input.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        linger();
        std::process::exit(1);
    });
}

/// A running child. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

/// Starts this binary as `role`, words separated by spaces, its objects under `dir`.
pub(crate) fn spawn(dir: &Path, role: &str) -> Process {
    start(&[], role, Some(dir))
}

/// As [`spawn`], by way of a program that runs what follows its arguments, such as `unshare`.
pub(crate) fn spawn_under(wrapper: &[&str], dir: &Path, role: &str) -> Process {
    start(wrapper, role, Some(dir))
}

/// As [`spawn`], where this process's objects lie.
pub(crate) fn spawn_here(role: &str) -> Process {
    start(&[], role, None)
}

fn start(wrapper: &[&str], role: &str, dir: Option<&Path>) -> Process {
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
        None => Command::new(this),
    };
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env("RUST_BACKTRACE", "0");
    if let Some(dir) = dir {
        command.env("ANYIPC_DIR", dir);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let errors = child.stderr.take().unwrap();
    let (send, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(errors).lines() {
            let Ok(line) = line else { return };
            match line.strip_prefix(MARK) {
                Some(line) => drop(send.send(line.to_owned())),
                None => eprintln!("{line}"),
            }
        }
    });
    Process { input: child.stdin.take(), child, lines, reader: Some(reader) }
}

impl Process {
    /// The next line of the child.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        self.hear_within(TIMEOUT)
    }

    /// As `hear`, for a child that takes its time.
    #[track_caller]
    pub(crate) fn hear_within(&mut self, timeout: Duration) -> String {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => line,
            Err(error) => {
                let _ = self.child.kill();
                panic!("no word from the child: {error}; {:?}", self.child.wait());
            }
        }
    }

    /// The next line of the child, if there is one by now.
    pub(crate) fn try_hear(&mut self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// The next line of the child must be this.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.hear(), line);
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends the child's input.
    pub(crate) fn hush(&mut self) {
        self.input = None;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`; does not wait.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Stops the child; returns once it stands still.
    #[cfg(unix)]
    pub(crate) fn stop(&self) {
        use rustix::process::{Signal, WaitOptions, kill_process, waitpid};
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    }

    /// Lets a stopped child go on.
    #[cfg(unix)]
    pub(crate) fn resume(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    }

    /// `kill -9`, and removes what this leaves of the address, damaged or not.
    pub(crate) fn kill_with(mut self, address: &str) {
        self.kill();
        self.wait();
        if let Err(error) = anyipc::Registry::global().remove(address, true) {
            assert!(
                matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported),
                "{error}"
            );
        }
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        status
    }

    /// Waits for an end that must be good.
    #[track_caller]
    pub(crate) fn finish(&mut self) {
        let status = self.wait();
        assert!(status.success(), "the child ended with {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
