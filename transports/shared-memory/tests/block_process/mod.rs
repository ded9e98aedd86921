//! A second process for the tests: this test binary again, with one command per line.
//!
//! Each test binary declares `#[test] fn process() { block_process::serve() }`; [`Process::spawn`]
//! runs that one test in a new process, where it reads commands until its input ends.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod alone;
#[cfg(unix)]
pub(crate) mod forked;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use alone::Random;
use anyipc_core::{
    COMMON_KEYS, Endpoint as _, Error, ErrorKind, Name, Operation, Options, Result, Role,
    Transport, keys,
};
use anyipc_os::{Dir, Scope};
use anyipc_shared_memory::{Block, Endpoint, SharedMemory};

const ROLE: &str = "ANYIPC_TEST_PROCESS";
const ANSWER: &str = ">> ";
/// The longest a process may take for one answer before the test fails.
const WATCHDOG: Duration = Duration::from_secs(60);

/// The directory of this user's objects in ordinary programs.
fn usual() -> PathBuf {
    Dir::open(Scope::User, Operation::Create).unwrap().path().to_owned()
}

/// A directory for one test's objects.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let path = usual().with_file_name(format!("anyipc-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The one that `ANYIPC_DIR` names.
    fn of_environment() -> Self {
        Self(std::env::var_os("ANYIPC_DIR").unwrap().into())
    }

    pub(crate) fn base(&self) -> &Path {
        &self.0
    }

    /// Where the objects lie.
    pub(crate) fn private(&self) -> PathBuf {
        self.0.join(usual().file_name().unwrap())
    }

    pub(crate) fn block(&self, name: &str) -> PathBuf {
        self.private().join(Name::new(name).unwrap().os_name() + ".block")
    }

    /// The names of all files.
    pub(crate) fn files(&self) -> Vec<String> {
        match std::fs::read_dir(self.private()) {
            Ok(entries) => {
                entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
            }
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn spawn(&self) -> Process {
        self.spawn_by(Command::new(std::env::current_exe().unwrap()))
    }

    /// Runs `script` in a shell that ends by replacing itself with the process, by `exec "$@"`.
    pub(crate) fn spawn_in_shell(&self, script: &str) -> Process {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg("sh").arg(std::env::current_exe().unwrap());
        self.spawn_by(shell)
    }

    fn spawn_by(&self, mut command: Command) -> Process {
        command.args(["--exact", "process", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, "1").env("ANYIPC_DIR", &self.0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (send, answers) = channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if let Some(at) = line.find(ANSWER) {
                    let _ = send.send(line[at + ANSWER.len()..].to_owned());
                }
            }
        });
        Process { input: child.stdin.take(), child, answers }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running process.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Process {
    /// Gives a command; its answer comes later.
    pub(crate) fn give(&mut self, command: &str) {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
    }

    /// Gives a command and waits for the answer.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.give(command);
        self.answer(command)
    }

    pub(crate) fn answer(&mut self, command: &str) -> String {
        match self.answers.recv_timeout(WATCHDOG) {
            Ok(answer) => answer,
            Err(error) => {
                let _ = self.child.kill();
                panic!("{command:?}: {error}: {:?}", self.child.wait());
            }
        }
    }

    /// Gives a command that must succeed; its answer.
    #[track_caller]
    pub(crate) fn ok(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        match answer.strip_prefix("ok ") {
            Some(rest) => rest.to_owned(),
            None => panic!("{command:?}: {answer}"),
        }
    }

    /// Gives a command that must fail so; the message.
    #[track_caller]
    pub(crate) fn fails(&mut self, command: &str, kind: &str, code: i32) -> String {
        let answer = self.ask(command);
        let start = format!("err {kind} {code} ");
        assert!(answer.starts_with(&start), "{command:?}: expected {start:?}, got {answer:?}");
        answer
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Leaves in an orderly way.
    pub(crate) fn exit(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }

    /// `kill -9`, and waits until the kernel is done with it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The options in `key=value,key=value`.
pub(crate) fn options(text: &str) -> Result<Options> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    Options::parse(pairs, &[COMMON_KEYS, SharedMemory.keys(), &[keys::TIMEOUT]])
}

/// The process's side: obeys until the input ends, then drops all it holds.
pub(crate) fn serve() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut held = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match obey(&words, &mut held) {
            Ok(text) => format!("ok {text}"),
            Err(error) => {
                let code = error.code().map_or(0, |code| code.value());
                format!("err {} {code} {error}", error.kind().as_str())
            }
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{ANSWER}{answer}").unwrap();
        out.flush().unwrap();
    }
}

fn obey(words: &[&str], held: &mut HashMap<String, Endpoint>) -> Result<String, Error> {
    let t = SharedMemory;
    let name = |text: &str| Name::new(text);
    let number = |text: &str| text.parse::<usize>().unwrap();
    match *words {
        ["create", slot, of, opts] => {
            let endpoint = t.create(&name(of)?, &options(opts)?)?;
            let role = endpoint.role();
            held.insert(slot.into(), endpoint);
            Ok(if role == Role::Owner { "owner".into() } else { "opener".into() })
        }
        ["open", slot, of, opts] => {
            held.insert(slot.into(), t.open(&name(of)?, &options(opts)?)?);
            Ok(String::new())
        }
        ["lpsz", slot, of, text] => {
            held.insert(slot.into(), t.alloc_lpsz(&name(of)?, text.as_bytes(), &options("")?)?);
            Ok(String::new())
        }
        ["text", slot] => {
            let mut text = String::new();
            held[slot].read_lpsz(&mut |s| text = s.to_string_lossy().into_owned())?;
            Ok(text)
        }
        ["close", slot] => t.close(held.remove(slot).unwrap()).map(|()| String::new()),
        ["len", slot] => Ok(block(&held[slot]).len().to_string()),
        ["write", slot, offset, text] => {
            block(&held[slot]).write_at(number(offset), text.as_bytes()).map(|()| String::new())
        }
        ["read", slot, offset, len] => {
            let mut bytes = vec![0; number(len)];
            block(&held[slot]).read_at(number(offset), &mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        ["store", slot, text] => {
            block(&held[slot]).store_bytes(text.as_bytes()).map(|()| String::new())
        }
        ["load", slot] => Ok(match block(&held[slot]).load_bytes()? {
            Some(value) => String::from_utf8_lossy(&value).into_owned(),
            None => "nothing".into(),
        }),
        ["list"] => Ok(objects(t.list(&options("")?)?)),
        ["inspect", of] => Ok(objects(t.inspect(&name(of)?, &options("")?)?)),
        ["sweep", fix] => Ok(objects(t.sweep(&options("")?, fix == "fix")?)),
        ["remove", of, force] => {
            t.remove(&name(of)?, &options("")?, force == "force").map(|()| String::new())
        }
        ["race", seed, count] => race(number(seed) as u64, number(count)).map(|()| String::new()),
        _ => panic!("no such command: {words:?}"),
    }
}

/// Creates, adopts and opens the block `block` in turn with other processes, and looks for a second
/// owner while it is the owner.
fn race(seed: u64, count: usize) -> Result<()> {
    let t = SharedMemory;
    let name = Name::new("block")?;
    let me = u64::from(std::process::id());
    let mut random = Random::new(seed);
    for _ in 0..count {
        let found = match random.below(3) {
            0 => t.create(&name, &options("size=64")?),
            1 => t.create(&name, &options("size=64,create=open_or_create")?),
            _ => t.open(&name, &options("")?),
        };
        let endpoint = match found {
            Ok(endpoint) => endpoint,
            Err(error) if matches!(error.kind(), ErrorKind::Exists | ErrorKind::NotFound) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        if endpoint.role() == Role::Owner {
            let owner = block(&endpoint).atomic_u64(0)?;
            owner.store(me, SeqCst);
            for _ in 0..random.below(20) {
                std::thread::yield_now();
                let seen = owner.load(SeqCst);
                assert_eq!(seen, me, "two owners");
            }
        }
        t.close(endpoint)?;
    }
    Ok(())
}

pub(crate) fn block(endpoint: &Endpoint) -> &Block {
    endpoint.block().expect("the endpoint has a block")
}

/// `kind:state:name:holders`, one word per object.
fn objects(objects: Vec<anyipc_core::Object>) -> String {
    let word = |o: &anyipc_core::Object| {
        let name = o.name.as_ref().map_or("?", |n| n.as_str());
        format!("{}:{}:{name}:{:?}", o.kind, o.state.as_str(), o.holders).replace(' ', "")
    };
    objects.iter().map(word).collect::<Vec<_>>().join(" ")
}
