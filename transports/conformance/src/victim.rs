//! A process for a test to kill: the test's own program, started once more to play a role.
//!
//! The test file has one test called `child`, which does nothing unless it has a [`role`]:
//!
//! ```no_run
//! use anyipc_conformance::victim;
//!
//! #[test]
//! fn child() {
//!     let Some((role, name)) = victim::role() else { return };
//!     // … opens the name …
//!     victim::say(1);
//!     // … works on until it is killed.
//! }
//!
//! #[test]
//! fn a_killed_owner_leaves_nothing() {
//!     let victim = victim::Victim::spawn("owner", "a-name");
//!     victim.kill();
//!     // … checks what is left.
//! }
//! ```

use std::env;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyipc_core::Name;

const ROLE: &str = "ANYIPC_TEST_ROLE";
const NAME: &str = "ANYIPC_TEST_NAME";

/// The number of kills per scene: `ANYIPC_KILLS`, or 50.
pub fn kills() -> u64 {
    env::var("ANYIPC_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

/// When to kill: a time of up to 5 ms, different in each round.
pub fn moment(round: u64) -> Duration {
    Duration::from_micros(round.wrapping_mul(7919) % 5000)
}

/// The role of this process and the name that it uses; `None` in the test itself.
pub fn role() -> Option<(String, Name)> {
    let (role, name) = (env::var(ROLE).ok()?, env::var(NAME).ok()?);
    Some((role, Name::new(&name).expect("the test passes a legal name")))
}

/// Sends the test a number, over a pipe that outlives this process.
///
/// # Panics
/// If the test is gone.
pub fn say(number: u64) {
    io::stderr().write_all(&number.to_le_bytes()).expect("the test has closed the pipe");
}

/// The message with this number. Messages have many lengths, and each differs from any other.
pub fn message(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(7) { 60_000 } else { number as usize % 3000 };
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + len, number as u8);
    bytes
}

/// The process, as the test has it. Dropping it kills it.
#[derive(Debug)]
pub struct Victim(Child);

impl Victim {
    /// Starts the test `child` of this test file in a process of its own.
    ///
    /// # Panics
    /// If the system starts no process.
    pub fn spawn(role: &str, name: &str) -> Self {
        let program = env::current_exe().expect("the path of this program");
        let child = Command::new(program)
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(NAME, name)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.expect("starting the process failed"))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for the next number that it sends.
    ///
    /// # Panics
    /// If it ends before.
    pub fn reported(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.words().read_exact(&mut bytes).expect("the process ended before it sent a number");
        u64::from_le_bytes(bytes)
    }

    /// Kills it. Returns the last number that it sent and that was not waited for.
    ///
    /// # Panics
    /// If the pipe cannot be read.
    pub fn kill(mut self) -> Option<u64> {
        self.end();
        let mut rest = Vec::new();
        self.words().read_to_end(&mut rest).expect("reading the pipe failed");
        rest.chunks_exact(8).last().and_then(|last| Some(u64::from_le_bytes(last.try_into().ok()?)))
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn words(&mut self) -> &mut impl Read {
        self.0.stderr.as_mut().expect("a pipe")
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.end();
    }
}
