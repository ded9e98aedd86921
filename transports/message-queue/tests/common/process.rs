//! Processes that run this test program again and play a role in its test `child`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

const ROLE: &str = "ANYIPC_TEST_ROLE";
/// The beginning of a line for the parent; other lines go to the test's output.
const MARK: &str = "@ ";

/// One test at a time: between fork and exec, a process that another test starts holds this test's
/// descriptors.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The words of this process's role; `None` in the parent.
pub(crate) fn role() -> Option<Vec<String>> {
    std::env::var(ROLE).ok().map(|role| role.split(' ').map(str::to_owned).collect())
}

/// Writes one line to the parent, in one system call: it outlives this process.
pub(crate) fn say(line: &str) {
    std::io::stderr().write_all(format!("{MARK}{line}\n").as_bytes()).unwrap();
}

/// A process that plays a role in the test `child`. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStderr>,
}

pub(crate) fn spawn(role: &str) -> Process {
    start(Command::new(std::env::current_exe().unwrap()), role)
}

/// The same under another program, which runs the command in its last arguments.
pub(crate) fn spawn_by(program: &str, args: &[&str], role: &str) -> Process {
    let mut command = Command::new(program);
    command.args(args).arg(std::env::current_exe().unwrap());
    start(command, role)
}

fn start(mut command: Command, role: &str) -> Process {
    let mut child = command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap());
    Process { child, lines }
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its next line; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().strip_prefix(MARK) {
                Some(said) => return Some(said.to_owned()),
                None => eprint!("{line}"),
            }
        }
    }

    /// Kills it. Returns the lines that were not heard yet.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.hear() {
            rest.push(line);
        }
        self.child.wait().unwrap();
        rest
    }

    /// Waits until it exits with success. Returns the lines that were not heard yet.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.hear() {
            rest.push(line);
        }
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
