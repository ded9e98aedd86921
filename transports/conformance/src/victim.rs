//! A process to be killed: the test's own program once more, which plays a role until it dies.
//!
//! The test file has one test called `child`, which does nothing unless [`role`] tells what it is there for:
//!
//! ```no_run
//! use anyipc_conformance::victim;
//!
//! #[test]
//! fn child() {
//!     let Some((role, name)) = victim::role() else { return };
//!     // … opens the name …
//!     victim::say(1);
//!     // … goes on until it is killed.
//! }
//!
//! #[test]
//! fn a_killed_owner_leaves_nothing() {
//!     let victim = victim::Victim::spawn("owner", "a-name");
//!     victim.kill();
//!     // … looks what is left.
//! }
//! ```

use std::env;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyipc_core::Name;

const ROLE: &str = "ANYIPC_TEST_ROLE";
const NAME: &str = "ANYIPC_TEST_NAME";

/// How often each scene kills: `ANYIPC_KILLS`, or 50.
pub fn kills() -> u64 {
    env::var("ANYIPC_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

/// A time up to 5 ms, another each round: when to kill.
pub fn moment(round: u64) -> Duration {
    Duration::from_micros(round.wrapping_mul(7919) % 5000)
}

/// The role that this process is to play, and the name to play it with; `None` in the test itself.
pub fn role() -> Option<(String, Name)> {
    let (role, name) = (env::var(ROLE).ok()?, env::var(NAME).ok()?);
    Some((role, Name::new(&name).expect("a name that the test has used itself")))
}

/// Tells the test a number, on a pipe that outlives this process.
///
/// # Panics
/// If the test is gone.
pub fn say(number: u64) {
    io::stderr().write_all(&number.to_le_bytes()).expect("the test listens");
}

/// The message of this number: of many lengths, and told from any other.
pub fn message(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(7) { 60_000 } else { number as usize % 3000 };
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + len, number as u8);
    bytes
}

/// The process, seen from the test. Dropping it kills it, too.
#[derive(Debug)]
pub struct Victim(Child);

impl Victim {
    /// Starts the test `child` of this test file in a process of its own.
    ///
    /// # Panics
    /// If the system makes none.
    pub fn spawn(role: &str, name: &str) -> Self {
        let program = env::current_exe().expect("this program");
        let child = Command::new(program)
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(NAME, name)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.expect("a process"))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The next number that it tells; waits for it.
    ///
    /// # Panics
    /// If it ends without.
    pub fn told(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.words().read_exact(&mut bytes).expect("it tells a number");
        u64::from_le_bytes(bytes)
    }

    /// Kills it, and gives the last number that it told beyond those that were heard.
    ///
    /// # Panics
    /// If what it told cannot be read.
    pub fn kill(mut self) -> Option<u64> {
        self.end();
        let mut told = Vec::new();
        self.words().read_to_end(&mut told).expect("what it told");
        told.chunks_exact(8).last().and_then(|last| Some(u64::from_le_bytes(last.try_into().ok()?)))
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
