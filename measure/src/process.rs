//! The second process of a measurement: this program again.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{Result, sys};

/// This program as the second process, with a pipe to its stdin.
///
/// # Errors
/// The program does not know its own path.
pub fn second_process() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdin(Stdio::piped());
    Ok(command)
}

/// A terminal's Ctrl-C will not reach the process, where the platform can do that: the process
/// that starts it has to end it.
pub fn keep_signals_off(command: &mut Command) {
    sys::keep_signals_off(command);
}

/// The calling process ends with the thread that started it, even if that is killed. Nothing
/// happens on platforms without such a call: there the end of stdin has to be enough.
///
/// # Errors
/// The system refused.
pub fn end_with_parent() -> io::Result<()> {
    sys::end_with_parent()
}

/// Waits, in the second process, until the first one drops its [`Second`] or dies.
pub fn until_dismissed() {
    let _ = io::stdin().read(&mut [0]);
}

/// A running second process. Dropping it closes its stdin and waits for its end.
#[derive(Debug)]
pub struct Second(Child);

impl Second {
    /// Starts this program again with these words.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self> {
        Ok(Self(second_process()?.args(words).spawn()?))
    }

    /// Closes its stdin and waits for its end. After a panic it is killed first: it may wait for a
    /// message that never comes.
    ///
    /// # Errors
    /// The system does not know the process.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        drop(self.0.stdin.take());
        if std::thread::panicking() {
            let _ = self.0.kill();
        }
        self.0.wait()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // Its failure shows in what the first process receives.
        let _ = self.end();
    }
}
