//! The conformance suite, each check in a process that the report can outlive.

use std::time::{Duration, Instant};

use anyipc::{Address, ErrorKind, Registry};
use anyipc_conformance as conformance;
use anyipc_conformance::CHECKS;
use serde::Serialize;

use crate::helper::{Helper, Silence, say};
use crate::outcome::{Counts, Outcome};
use crate::output::Progress;
use crate::panics;

type Pairs = &'static [(&'static str, &'static str)];

/// More than the default settings: small buffers, so that nearly every send waits, and messages
/// that are read where they stand.
const SETTINGS: &[(&str, Pairs)] = &[
    ("inproc", &[("capacity", "128")]),
    ("shm", &[("capacity", "4KiB")]),
    ("shm", &[("trust", "same-user")]),
    ("mq", &[("capacity", "1KiB")]),
    ("pipe", &[("capacity", "4KiB")]),
    ("plain", &[("frames", "content-length")]),
];

/// All queues of a user share a limit of the kernel.
const SCARCE: (&str, Pairs) = ("posix-mq", &[("capacity", "4KiB")]);
/// By default a message is a line, which takes no line feed.
const LINES: (&str, Pairs) = ("plain", &[("frames", "length32le")]);

/// A transport with settings.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    /// `scheme://`, and the settings as in an address.
    pub(crate) label: String,
    scheme: &'static str,
    settings: Pairs,
}

impl Fixture {
    fn new(scheme: &'static str, settings: Pairs) -> Self {
        let pairs: Vec<_> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let question = if pairs.is_empty() { "" } else { "?" };
        Self { label: format!("{scheme}://{question}{}", pairs.join("&")), scheme, settings }
    }

    fn conformance(&self) -> Result<conformance::Fixture<'static>, String> {
        let (transport, _) = resolve(self.scheme).map_err(|error| error.to_string())?;
        let mut fixture = conformance::Fixture::of(transport).sleeper(anyipc_os::sleep);
        for (key, value) in self.settings {
            fixture = fixture.option(key, value);
        }
        Ok(match self.scheme {
            "tcp" => fixture.names(|_| conformance::loopback()),
            // A name is a socket's, of at most 107 bytes.
            "plain" => fixture.names(|serial| format!("report.{}.{serial}", std::process::id())),
            _ => fixture,
        })
    }

    /// Why the transport is not there on this platform.
    fn is_missing(&self) -> Option<String> {
        let (transport, options) = match resolve(self.scheme) {
            Ok(found) => found,
            Err(error) => return Some(error.to_string()),
        };
        let name = anyipc::Name::new("report.nothing").ok()?;
        let error = transport.create(&name, &options).err()?;
        (error.kind() == ErrorKind::Unsupported).then(|| error.to_string())
    }
}

/// Every transport of the registry, and the further settings.
pub(crate) fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    for transport in Registry::global().transports() {
        let Some(&scheme) = transport.schemes().first() else { continue };
        let usual = [SCARCE, LINES].into_iter().find(|(its, _)| *its == scheme);
        let settings = usual.map_or(&[][..], |(_, settings)| settings);
        all.push(Fixture::new(scheme, settings));
        let more = SETTINGS.iter().filter(|(its, _)| *its == scheme);
        all.extend(more.map(|(_, settings)| Fixture::new(scheme, settings)));
    }
    all
}

type Resolved = (&'static dyn anyipc::transport::DynTransport, anyipc::Options);

fn resolve(scheme: &str) -> anyipc::Result<Resolved> {
    let name = if scheme == "tcp" { "127.0.0.1:0" } else { "report.nothing" };
    let address: Address = format!("{scheme}://{name}").parse()?;
    Registry::global().resolve(&address)
}

/// A check that was run.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
    pub(crate) milliseconds: u128,
}

/// The suite over one transport.
#[derive(Debug, Serialize)]
pub(crate) struct Suite {
    pub(crate) transport: String,
    /// Why nothing was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<String>,
    pub(crate) checks: Vec<Checked>,
}

impl Suite {
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.checks.iter().for_each(|check| counts.add(check.outcome.verdict));
        counts
    }
}

/// Runs every check, each for at most `limit`. A check that hangs or ends its process has failed.
pub(crate) fn run(fixture: &Fixture, limit: Duration, progress: &mut Progress) -> Suite {
    let mut suite = Suite {
        transport: fixture.label.clone(),
        missing: fixture.is_missing(),
        checks: Vec::new(),
    };
    let mut helper = None;
    while suite.missing.is_none() && suite.checks.len() < CHECKS.len() {
        let index = suite.checks.len();
        let name = CHECKS[index].name;
        progress.step(name);
        let start = Instant::now();
        let outcome = match helper.take().map_or_else(|| begin(fixture, index), Ok) {
            Ok(mut process) => match process.line(limit) {
                Ok(line) => {
                    helper = Some(process);
                    serde_json::from_str(&line).unwrap_or_else(|_| Outcome::failed(line))
                }
                Err(Silence::Late) => Outcome::failed(format!("no end within {limit:?}")),
                Err(Silence::Ended(status)) => {
                    Outcome::failed(format!("its process ended: {status}"))
                }
            },
            Err(error) => Outcome::failed(format!("no process could be started: {error}")),
        };
        let milliseconds = start.elapsed().as_millis();
        suite.checks.push(Checked { name, outcome, milliseconds });
    }
    suite
}

fn begin(fixture: &Fixture, first: usize) -> std::io::Result<Helper> {
    Helper::start(["suite", &fixture.label, &first.to_string()])
}

/// Runs the checks from this one on, and says how each ended.
pub(crate) fn play(label: &str, first: &str) -> Result<(), String> {
    let first = first.parse().map_err(|_| "not a number")?;
    let fixture = fixtures().into_iter().find(|fixture| fixture.label == label);
    let fixture = fixture.ok_or("no such suite")?.conformance()?;
    for check in CHECKS.iter().skip(first) {
        let outcome = match panics::caught(|| check.run(&fixture)) {
            Ok(conformance::Outcome::Passed) => Outcome::passed(""),
            Ok(conformance::Outcome::Skipped(reason)) => Outcome::skipped(reason),
            Err(message) => Outcome::failed(message),
        };
        say(serde_json::to_string(&outcome).map_err(|error| error.to_string())?);
    }
    Ok(())
}
