//! Channels of this transport without the facade, and other programs with a watchdog.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyipc_conformance::{WATCHDOG, WaitLoop};
use anyipc_core::{
    COMMON_KEYS, DynEndpoint, DynHalves, DynTransport, Flags, Hello, Name, Options, RecvHalf,
    Result, SendHalf, Transport,
};
use anyipc_plain_socket::PlainSocket;

/// A name that no other test has.
pub(crate) fn name() -> Name {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Relaxed);
    Name::new(&format!("anyipc-plain.test.{}.{serial}", std::process::id())).unwrap()
}

/// A directory of a test's own, with paths in it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(name().as_str());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    pub(crate) fn name(&self, file: &str) -> Name {
        Name::path(self.path(file).to_str().unwrap()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn options(pairs: &[(&str, &str)]) -> Options {
    Options::parse(pairs.iter().copied(), &[Transport::keys(&PlainSocket), COMMON_KEYS]).unwrap()
}

pub(crate) fn create(name: &Name, pairs: &[(&str, &str)]) -> Result<Box<dyn DynEndpoint>> {
    DynTransport::create(&PlainSocket, name, &options(pairs))
}

pub(crate) fn open(name: &Name, pairs: &[(&str, &str)]) -> Result<Box<dyn DynEndpoint>> {
    DynTransport::open(&PlainSocket, name, &options(pairs))
}

/// Waits for a server of another program, as the facade does.
pub(crate) fn open_soon(name: &Name, pairs: &[(&str, &str)]) -> Box<dyn DynEndpoint> {
    let begun = Instant::now();
    loop {
        match open(name, pairs) {
            Ok(endpoint) => return endpoint,
            Err(error) if begun.elapsed() > WATCHDOG => panic!("{error}"),
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

pub(crate) fn wait_loop() -> WaitLoop {
    WaitLoop::new(anyipc_os::sleep)
}

/// One end of a channel.
pub(crate) struct End {
    pub(crate) sender: Box<dyn SendHalf>,
    pub(crate) receiver: Box<dyn RecvHalf>,
    pub(crate) peer: anyipc_core::Peer,
}

pub(crate) fn meet(endpoint: &dyn DynEndpoint) -> Result<End> {
    let hello = Hello { transport: "plain".into(), max_message: 1 << 20, ..Hello::default() };
    let (sender, receiver, peer): DynHalves = wait_loop().connect(endpoint, hello)?;
    Ok(End { sender, receiver, peer })
}

impl End {
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<()> {
        wait_loop().send(&mut *self.sender, Flags::NONE, message)
    }

    /// The next message, put together of its pieces.
    pub(crate) fn recv(&mut self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let mut piece = Vec::new();
            let flags = wait_loop().recv(&mut *self.receiver, &mut piece)?;
            message.extend(piece);
            if flags == Flags::NONE {
                return Ok(message);
            }
        }
    }
}

/// A program of somebody else, killed when the test is over.
pub(crate) struct Program(Option<Child>);

impl Program {
    /// `None`, with a word about it, if the program is missing on this machine.
    pub(crate) fn start<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match command.spawn() {
            Ok(child) => Some(Self(Some(child))),
            Err(error) => {
                println!("left out: {program} is not on this machine ({error})");
                None
            }
        }
    }

    /// Writes to its standard input, which is then closed.
    pub(crate) fn feed(&mut self, text: &[u8]) {
        let mut input = self.0.as_mut().unwrap().stdin.take().unwrap();
        input.write_all(text).unwrap();
    }

    /// What it has printed, once it has ended well.
    pub(crate) fn output(mut self) -> String {
        let child = self.0.take().unwrap();
        let id = child.id();
        let waiter = thread::spawn(move || child.wait_with_output().unwrap());
        let begun = Instant::now();
        while !waiter.is_finished() {
            if begun.elapsed() > WATCHDOG {
                let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
                panic!("the program did not end");
            }
            thread::sleep(Duration::from_millis(2));
        }
        let Output { status, stdout, stderr } = waiter.join().unwrap();
        let text = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{status}: {text}{}", String::from_utf8_lossy(&stderr));
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
