//! What the tests share: calls that wait and give up rather than hang, and processes that are this test binary
//! again.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, COMMON_KEYS, Endpoint as _, Error, Interest, Name, Options, Queue, Result, Transport,
    Wait, Waiter,
};
use anyipc_message_queue::{Endpoint, MessageQueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// No call may take longer.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(30);

pub(crate) type Handle = Box<dyn Queue>;

/// A name that no other test and no other process uses.
pub(crate) fn name(tag: &str) -> Name {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Relaxed);
    Name::new(&format!("mq-{tag}-{}-{serial}", std::process::id())).unwrap()
}

pub(crate) fn options(query: &str) -> Options {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Options::parse(pairs, &[COMMON_KEYS, MessageQueue.keys()]).unwrap()
}

pub(crate) fn create(name: &Name, query: &str) -> Endpoint {
    MessageQueue.create(name, &options(query)).unwrap()
}

pub(crate) fn open(name: &Name) -> Endpoint {
    MessageQueue.open(name, &options("")).unwrap()
}

/// A queue, and a handle of it.
pub(crate) fn queue(tag: &str, query: &str) -> (Endpoint, Handle) {
    let owner = create(&name(tag), query);
    let handle = owner.queue().unwrap();
    (owner, handle)
}

/// How a test waits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Thread,
    Task,
}

/// Repeats the call until it does not block, in slices as the facade does.
fn until<T>(
    queue: &mut dyn Queue,
    way: Way,
    wait: fn(&mut dyn Queue) -> &mut dyn Wait,
    mut call: impl FnMut(&mut dyn Queue) -> Result<T>,
) -> Result<T> {
    let slice = Duration::from_millis(100);
    let start = Instant::now();
    loop {
        match call(queue) {
            Err(error) if error.is_would_block() => {}
            done => return done,
        }
        assert!(start.elapsed() < WATCHDOG, "nothing happened");
        let half = wait(queue);
        let waker = std::task::Waker::noop();
        let waiter = if let Way::Task = way { Waiter::Task(waker) } else { Waiter::Thread };
        match half.arm(waiter)? {
            Armed::Ready => half.disarm(),
            Armed::Park => half.park(slice),
            Armed::After(time) => std::thread::sleep(time),
            Armed::Source(interest) => {
                let flags =
                    if interest == Interest::Readable { PollFlags::IN } else { PollFlags::OUT };
                let source = half.source()?;
                let mut fds = [PollFd::from_borrowed_fd(source.as_fd(), flags)];
                let limit = Timespec { tv_sec: 0, tv_nsec: slice.subsec_nanos().into() };
                poll(&mut fds, Some(&limit)).unwrap();
            }
            other => panic!("armed as {other:?}"),
        }
    }
}

pub(crate) fn send(queue: &mut Handle, way: Way, priority: u32, message: &[u8]) -> Result<()> {
    until(&mut **queue, way, |queue| queue.room(), |queue| queue.try_send(priority, message))
}

pub(crate) fn recv(queue: &mut Handle, way: Way) -> Result<(u32, Vec<u8>)> {
    until(&mut **queue, way, |queue| queue.messages(), try_recv)
}

pub(crate) fn try_recv(queue: &mut dyn Queue) -> Result<(u32, Vec<u8>)> {
    let mut got = None;
    queue.try_recv_with(&mut |priority, message| {
        assert!(got.is_none(), "one call showed two messages");
        got = Some((priority, message.to_vec()));
    })?;
    Ok(got.expect("Ok came without a message"))
}

/// Everything that is there.
pub(crate) fn drain(queue: &mut Handle) -> Vec<(u32, Vec<u8>)> {
    std::iter::from_fn(|| try_recv(&mut **queue).ok()).collect()
}

pub(crate) fn failed<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("a call succeeded that had to fail"),
        Err(error) => error,
    }
}

const ROLE: &str = "ANYIPC_TEST_ROLE";
/// What a line for the parent begins with; others are for people.
const MARK: &str = "@ ";

/// The words of the role that this process was started for; `None` in the parent.
pub(crate) fn role() -> Option<Vec<String>> {
    std::env::var(ROLE).ok().map(|role| role.split(' ').map(str::to_owned).collect())
}

/// One line to the parent, in one system call: it outlives us.
pub(crate) fn say(line: &str) {
    std::io::stderr().write_all(format!("{MARK}{line}\n").as_bytes()).unwrap();
}

/// A process that plays a role in the test `child`. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStderr>,
}

pub(crate) fn spawn(role: &str) -> Process {
    start(Command::new(std::env::current_exe().unwrap()), role)
}

/// The same under another program, which runs what its last arguments say.
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

    /// Kills it, and gives what it said since it was heard last.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.hear() {
            rest.push(line);
        }
        self.child.wait().unwrap();
        rest
    }

    /// Waits for its end, which must be good, and gives what it said since it was heard last.
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
