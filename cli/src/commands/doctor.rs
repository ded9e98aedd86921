use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyipc::transport::Options;
use anyipc::{Capabilities, ErrorKind, ObjectState, Registry};
use serde::Serialize;

use crate::failure::Result;
use crate::objects::address;
use crate::output::Output;
use crate::sys;

/// Longest wait for each step of a trial.
const TIMEOUT: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Checks the directory of the objects, its permissions and its file system, tries each transport \
once, and searches for objects that crashes left behind. --fix removes stale objects and makes the \
directory private again. It never touches a live object, or a file that is not provably a dead \
object of anyipc. Exit code 1 if problems remain.

Examples:
  anyipc doctor
  anyipc doctor --fix";

/// Check this machine, and remove what crashes left behind
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Remove stale objects, and make the directory private
    #[arg(long)]
    fix: bool,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Ok,
    /// Nothing wrong, but worth knowing.
    Info,
    Fixed,
    Problem,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Fixed => "fixed",
            Self::Problem => "PROBLEM",
        }
    }
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    pub(crate) status: Status,
    pub(crate) detail: String,
}

impl Finding {
    pub(crate) fn new(check: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self { check, status, detail: detail.into() }
    }
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    // Creates the directory if there is none. The checks below find its faults.
    let _ = Registry::global().list();
    let mut findings = sys::check_directory(args.fix);
    findings.extend(leftovers(args.fix));
    findings.extend(trials());
    for finding in &findings {
        if out.json() {
            out.record(finding)?;
        } else {
            out.line(format_args!(
                "{:<8} {:<10} {}",
                finding.status.as_str(),
                finding.check,
                finding.detail
            ))?;
        }
    }
    let problems = findings.iter().filter(|finding| finding.status == Status::Problem).count();
    if problems == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    out.note(format_args!(
        "{problems} {}{}",
        if problems == 1 { "problem" } else { "problems" },
        if args.fix { " left" } else { "; --fix repairs what can be repaired" }
    ));
    Ok(ExitCode::FAILURE)
}

/// Objects that crashes left behind, before and after the repair.
fn leftovers(fix: bool) -> Vec<Finding> {
    const CHECK: &str = "leftovers";
    let mut findings = Vec::new();
    for transport in Registry::global().transports() {
        if !transport.capabilities().contains(Capabilities::INVENTORY) {
            continue;
        }
        let scheme = transport.schemes().first().copied().unwrap_or_default();
        let sweep = |fix| transport.sweep(&Options::default(), fix);
        let swept = sweep(false).and_then(|before| {
            if !fix {
                return Ok((before.clone(), before));
            }
            sweep(true)?;
            Ok((before, sweep(false)?))
        });
        let (before, after) = match swept {
            Ok(found) => found,
            Err(error) => {
                findings.push(Finding::new(
                    CHECK,
                    severity(&error),
                    format!("{scheme}://: {error}"),
                ));
                continue;
            }
        };
        for object in &before {
            let what = address(scheme, object)
                .map_or_else(String::new, |address| format!(" of {address}"));
            let what =
                format!("{} {}{what} at {}", object.state.as_str(), object.kind, object.path);
            findings.push(if !after.iter().any(|left| left.path == object.path) {
                Finding::new(CHECK, Status::Fixed, format!("{what}: removed"))
            } else if object.state == ObjectState::Invalid {
                Finding::new(
                    CHECK,
                    Status::Problem,
                    format!("{what}: {}; remove it by hand", problem(object)),
                )
            } else {
                Finding::new(
                    CHECK,
                    Status::Problem,
                    format!("{what}: {}", if fix { "still there" } else { "--fix removes it" }),
                )
            });
        }
        if before.is_empty() {
            findings.push(Finding::new(CHECK, Status::Ok, format!("{scheme}:// has none")));
        }
    }
    findings
}

/// A limit of the platform is no problem to repair.
fn severity(error: &anyipc::Error) -> Status {
    if error.kind() == ErrorKind::Unsupported { Status::Info } else { Status::Problem }
}

fn problem(object: &anyipc::Object) -> &str {
    object.facts.iter().find(|(label, _)| *label == "problem").map_or("damaged", |(_, why)| why)
}

/// One round trip and one block per transport that has them.
fn trials() -> Vec<Finding> {
    let mut findings = Vec::new();
    for transport in Registry::global().transports() {
        let scheme = transport.schemes().first().copied().unwrap_or_default();
        let url = match scheme {
            "tcp" => "tcp://127.0.0.1:0?timeout=2s".to_owned(),
            _ => format!("{scheme}://anyipc.doctor.{}?timeout=2s", std::process::id()),
        };
        let mut attempt = |capability, check, attempt: fn(&str) -> anyipc::Result<()>| {
            if transport.capabilities().contains(capability) {
                findings.push(match attempt(&url) {
                    Ok(()) => Finding::new(check, Status::Ok, format!("{scheme}:// works")),
                    Err(error) => Finding::new(check, severity(&error), error.to_string()),
                });
            }
        };
        attempt(Capabilities::BLOCK, "block", try_block);
        attempt(Capabilities::CHANNEL, "channel", try_channel);
    }
    findings
}

fn try_block(url: &str) -> anyipc::Result<()> {
    let endpoint = anyipc::create(format!("{url}&size=4096"))?;
    let mut word = [0];
    endpoint.block()?.write_at(4095, b"x")?;
    endpoint.block()?.read_at(4095, &mut word)?;
    endpoint.close()
}

fn try_channel(url: &str) -> anyipc::Result<()> {
    let owner = anyipc::create(url)?;
    thread::scope(|scope| {
        let client = scope.spawn(|| anyipc::connect(owner.address())?.recv_timeout(TIMEOUT));
        let mut channel = owner.accept_timeout(TIMEOUT)?;
        channel.send_timeout(b"hello", TIMEOUT)?;
        // A panic of the client continues here.
        client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(drop)
    })?;
    owner.close()
}
