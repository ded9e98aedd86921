//! Other processes: this program, started once more to play a part. It speaks in lines over its
//! standard output, and ends when its standard input does.

use std::env;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::{panics, probes, suite};

/// How long a process may take to answer, unless something else is said.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Such a process, as the one that started it has it. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// Why there is no line.
#[derive(Debug)]
pub(crate) enum Silence {
    /// The time is over.
    Late,
    /// The process ended.
    Ended(String),
}

impl Helper {
    pub(crate) fn start<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> io::Result<Self> {
        Self::start_in(words, None)
    }

    /// With another directory for its objects.
    pub(crate) fn start_in<W: AsRef<str>>(
        words: impl IntoIterator<Item = W>,
        directory: Option<&std::path::Path>,
    ) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--role").args(words.into_iter().map(|word| word.as_ref().to_owned()));
        if let Some(directory) = directory {
            command.env("ANYIPC_DIR", directory);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (said, lines) = channel();
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            // Ends with the process, or with a line that nobody waits for.
            thread::spawn(move || pass_on(BufReader::new(output), &said));
        }
        Ok(Self { child, input, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self, limit: Duration) -> Result<String, Silence> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(Silence::Late),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait();
                Err(Silence::Ended(status.map_or_else(|e| e.to_string(), describe)))
            }
        }
    }

    /// Waits until it says exactly this.
    pub(crate) fn expect(&mut self, word: &str) -> Result<(), String> {
        let said = self.answer()?;
        if said == word { Ok(()) } else { Err(format!("the other process: {said}")) }
    }

    /// The next line that it says, in good time.
    pub(crate) fn answer(&mut self) -> Result<String, String> {
        self.line(PATIENCE).map_err(|silence| match silence {
            Silence::Late => format!("the other process says nothing for {PATIENCE:?}"),
            Silence::Ended(status) => format!("the other process ended: {status}"),
        })
    }

    /// Says a line to it.
    pub(crate) fn tell(&mut self, word: &str) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("no pipe to the other process")?;
        writeln!(input, "{word}").map_err(|error| format!("telling the other process: {error}"))
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Kills it. What it had said, and nothing had read.
    pub(crate) fn kill_and_read(mut self) -> io::Result<Vec<String>> {
        self.kill()?;
        Ok(self.lines.iter().collect())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn describe(status: ExitStatus) -> String {
    status.to_string()
}

/// Reads lines until there are no more, or nothing waits for them.
fn pass_on(input: impl BufRead, to: &Sender<String>) {
    for line in input.lines().map_while(Result::ok) {
        if to.send(line).is_err() {
            break;
        }
    }
}

/// Says a line to the process that started this one.
pub(crate) fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        process::exit(1);
    }
}

/// The lines that the process that started this one says. If it ends, this one ends, too.
pub(crate) struct Orders(Receiver<String>);

impl Orders {
    fn listen() -> Self {
        let (said, lines) = channel();
        thread::spawn(move || {
            pass_on(io::stdin().lock(), &said);
            process::exit(0);
        });
        Self(lines)
    }

    /// The next one.
    pub(crate) fn next(&self) -> String {
        self.0.recv().unwrap_or_else(|_| process::exit(0))
    }

    /// Waits to be killed.
    pub(crate) fn wait(&self) -> ! {
        loop {
            self.next();
        }
    }
}

/// Plays the part that these words name.
pub(crate) fn play(words: &[String]) -> io::Result<bool> {
    let orders = Orders::listen();
    panics::keep();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let played = panics::caught(|| match words.as_slice() {
        ["suite", label, first] => suite::play(label, first),
        ["probe", name, kills] => probes::play(name, kills),
        [part, words @ ..] => probes::play_part(part, words, &orders),
        [] => Err("no role".to_owned()),
    });
    match played.and_then(|result| result) {
        Ok(()) => Ok(true),
        Err(fault) => {
            say(format_args!("failed: {}", fault.replace('\n', " ")));
            Ok(false)
        }
    }
}
