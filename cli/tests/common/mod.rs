//! Processes of the built binary, each test in a directory of its own.
#![allow(dead_code, reason = "not every test uses everything")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Capabilities, Registry};
use serde_json::Value;
use tempfile::TempDir;

/// A wait longer than this fails the test.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

const PREFIX: &str = "anyipc-cli-";

/// Removes what killed test runs have left, also the kernel's queues, which count against
/// `ulimit -q`.
fn remove_places_of_the_dead(base: &Path) {
    let is_dead = |name: &str| {
        let number = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        number.is_some_and(|(number, _)| {
            Path::new("/proc/self").exists() && !Path::new("/proc").join(number).exists()
        })
    };
    for place in std::fs::read_dir(base).into_iter().flatten().flatten() {
        if !is_dead(&place.file_name().to_string_lossy()) {
            continue;
        }
        remove_kernel_queues(&place.path());
        let _ = std::fs::remove_dir_all(place.path());
    }
}

/// Removes the kernel's queues with records in this directory, or in one of a run of `anyipc
/// torture` in it. Without their records nothing would find them.
fn remove_kernel_queues(place: &Path) {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let is_record =
        |file: std::fs::DirEntry| file.file_name().to_string_lossy().starts_with("posix-mq+");
    let inner = entries(place).map(|entry| entry.path());
    for dir in inner.chain([place.to_owned()]) {
        if !entries(&dir).flat_map(|private| entries(&private.path())).any(is_record) {
            continue;
        }
        let run = |args: &[&str]| {
            let mut command = Command::new(assert_cmd::cargo::cargo_bin!("anyipc"));
            let output = command.args(args).env("ANYIPC_DIR", &dir).output();
            output.map_or(Vec::new(), |output| output.stdout)
        };
        run(&["doctor", "--fix"]);
        for line in run(&["--json", "ls"]).split(|byte| *byte == b'\n') {
            let object: Value = serde_json::from_slice(line).unwrap_or_default();
            if let Some(address) = object["address"].as_str() {
                run(&["rm", address]);
            }
        }
    }
}

/// Also of a test that failed, and left what it had started.
impl Drop for Place {
    fn drop(&mut self) {
        remove_kernel_queues(self.path());
    }
}

/// A private directory for objects.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let memory = cfg!(target_os = "linux").then(|| "/dev/shm".into());
        let base: PathBuf = memory.unwrap_or_else(std::env::temp_dir);
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| remove_places_of_the_dead(&base));
        let prefix = format!("{PREFIX}{}-", std::process::id());
        Self { dir: TempDir::with_prefix_in(prefix, base).unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The command, in an environment without other settings.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("anyipc"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ANYIPC_")
                || name == "NO_COLOR"
                || name == "CLICOLOR_FORCE"
            {
                command.env_remove(name);
            }
        }
        command.env("ANYIPC_DIR", self.path()).args(args);
        command
    }

    /// Runs to the end, with nothing on the standard input.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Done {
        self.run_with(args, b"")
    }

    /// Runs to the end, with this on the standard input.
    pub(crate) fn run_with<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Done {
        finish(self.command(args), input)
    }

    /// Starts it without waiting.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        Running::new(self.command(args))
    }

    /// Starts an owner and waits until it prints `waiting` on the standard error.
    pub(crate) fn start_owner<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> Running {
        let mut owner = self.start(args);
        let line = owner.errors.line();
        assert!(line.starts_with("waiting at "), "{line}");
        owner
    }

    /// Starts a command with `--hold` and waits until it is ready.
    pub(crate) fn hold<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        let mut holder = self.start(args);
        assert_eq!(holder.data.line(), "ready");
        holder
    }

    /// All files of objects but those that Windows removes with their last handle.
    pub(crate) fn named_files(&self) -> Vec<String> {
        let mut files = self.files();
        files.retain(|file| cfg!(unix) || !file.ends_with(".tmp"));
        files
    }

    /// All files of objects.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|directory| directory.unwrap().path())
            // The key of tcp:// stays.
            .filter(|directory| !directory.to_string_lossy().contains("anyipc-secrets"))
            .flat_map(|directory| std::fs::read_dir(directory).unwrap())
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }
}

/// Runs a command to the end.
pub(crate) fn finish(command: Command, input: &[u8]) -> Done {
    let output = assert_cmd::Command::from_std(command)
        .write_stdin(input)
        .timeout(WATCHDOG)
        .output()
        .unwrap();
    Done(output)
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Done(pub(crate) Output);

impl Done {
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// Its output. Panics if it failed.
    #[track_caller]
    pub(crate) fn ok(&self) -> String {
        assert_eq!(self.code(), Some(0), "{}", self.stderr());
        self.stdout()
    }

    /// The JSON lines it printed, whether it succeeded or not.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        self.stdout().lines().map(parse).collect()
    }

    /// The JSON line of its failure.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let text = self.stderr();
        let error =
            text.lines().filter(|line| line.starts_with('{')).map(parse).collect::<Vec<_>>();
        assert_eq!(error.len(), 1, "{text}");
        error[0]["error"].clone()
    }

    /// The exit code, the kind and the classic value of its failure, from `--json`.
    #[track_caller]
    pub(crate) fn failure(&self) -> (i32, String, Option<i64>) {
        let error = self.error();
        (self.code().unwrap(), error["kind"].as_str().unwrap().into(), error["code"].as_i64())
    }
}

/// A line of JSON that starts with the schema.
#[track_caller]
pub(crate) fn parse(line: &str) -> Value {
    assert!(line.starts_with("{\"schema\":1"), "{line}");
    serde_json::from_str(line).unwrap()
}

/// A running process. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) data: Lines,
    pub(crate) errors: Lines,
}

impl Running {
    pub(crate) fn new(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        Self::without_data(command)
    }

    /// With a standard output that the command has already.
    pub(crate) fn without_data(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let data = child.stdout.take().map_or_else(Lines::none, Lines::of);
        let errors = Lines::of(child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), child, data, errors }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        use rustix::process::{Pid, kill_process};
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its standard input and waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        self.stdin = None;
        let started = Instant::now();
        let (data, errors) = (self.data.rest(), self.errors.rest());
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, data, errors);
            }
            assert!(started.elapsed() < WATCHDOG, "it does not end");
            thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream, read by a thread.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    fn none() -> Self {
        Self(channel().1)
    }

    fn of(stream: impl Read + Send + 'static) -> Self {
        let (lines, receiver) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.0.recv_timeout(WATCHDOG).expect("a line")
    }

    /// All lines until the end of the stream.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.0.recv_timeout(WATCHDOG) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("the stream does not end"),
            }
        }
    }
}

/// The transports between processes with these capabilities, each by its first scheme.
pub(crate) fn schemes(capabilities: Capabilities) -> Vec<&'static str> {
    let wanted = capabilities | Capabilities::CROSS_PROCESS;
    let transports = Registry::global().transports();
    let able = transports.filter(|t| t.capabilities().contains(wanted)).map(|t| t.schemes()[0]);
    able.filter(|scheme| works(scheme)).collect()
}

/// True if the backend exists on this platform.
pub(crate) fn works(scheme: &str) -> bool {
    cfg!(target_os = "linux") || !["plain", "posix-mq"].contains(&scheme)
}

/// The processes that hold an object, as `--json` prints them. Windows does not tell.
pub(crate) fn holders(pid: u32) -> Value {
    if cfg!(windows) { serde_json::json!([]) } else { serde_json::json!([pid]) }
}

/// The number of this user, as `--json` prints it. Windows has none.
pub(crate) fn uid() -> Value {
    #[cfg(unix)]
    return rustix::process::getuid().as_raw().into();
    #[cfg(not(unix))]
    return Value::Null;
}
