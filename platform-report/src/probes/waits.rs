//! Sleeping and waking, between two processes.
//!
//! The calls of `anyipc` look again after 100 ms, and hide a wake-up that was lost. These wait
//! without that: what is not woken is told after [`WATCHDOG`](anyipc_conformance::WATCHDOG). How
//! long the rest takes says how busy the machine is. Only an owner's clock for half-open handshakes
//! can still hide a loss, as a connection of one second.

use std::error::Error;
use std::time::{Duration, Instant};

use anyipc::transport::{DynEndpoint, DynHalves, DynTransport, Flags, Hello, Interest};
use anyipc::{Address, Options, Registry};
use anyipc_conformance::WaitLoop;
use anyipc_os::{Set, sleep};

use super::{Found, Setting, spread, time, url};
use crate::helper::{Helper, Orders, say};
use crate::outcome::Outcome;

const WAIT: WaitLoop = WaitLoop::new(sleep);

fn resolve(address: &Address) -> anyipc::Result<(&'static dyn DynTransport, Options)> {
    Registry::global().resolve(address)
}

/// An owner, and the address that its peers open.
fn owner(scheme: &str) -> anyipc::Result<(Box<dyn DynEndpoint>, String)> {
    let address: Address = url(scheme).parse()?;
    let (transport, options) = resolve(&address)?;
    let owner = transport.create(address.name(), &options)?;
    let name = owner.local_name();
    let address = format!("{scheme}://{}", name.as_ref().unwrap_or(address.name()));
    Ok((owner, address))
}

fn opener(url: &str) -> anyipc::Result<Box<dyn DynEndpoint>> {
    let address: Address = url.parse()?;
    let (transport, options) = resolve(&address)?;
    transport.open(address.name(), &options)
}

/// Accepts, or connects.
fn meet(endpoint: &dyn DynEndpoint) -> anyipc::Result<DynHalves> {
    WAIT.connect(endpoint, Hello { max_message: 1 << 20, ..Hello::default() })
}

/// The part of a process that sends back what it receives.
pub(super) fn echo(url: &str) -> Result<(), Box<dyn Error>> {
    let (mut sender, mut receiver, _) = meet(&*opener(url)?)?;
    let mut message = Vec::new();
    // Ends with the channel.
    while WAIT.recv(&mut *receiver, &mut message).is_ok() {
        WAIT.send(&mut *sender, Flags::NONE, &message)?;
    }
    Ok(())
}

pub(super) fn round_trips(setting: &Setting) -> Found {
    const TRIPS: usize = 1000;
    let (owner, address) = owner(setting.scheme)?;
    let _peer = Helper::start(["echo", &address])?;
    let (mut sender, mut receiver, _) = meet(&*owner)?;
    let (mut times, mut answer) = (Vec::new(), Vec::new());
    for _ in 0..TRIPS {
        let start = Instant::now();
        WAIT.send(&mut *sender, Flags::NONE, &[1; 64])?;
        WAIT.recv(&mut *receiver, &mut answer)?;
        times.push(start.elapsed());
    }
    Ok(Outcome::passed(format!("{TRIPS} round trips, {}", spread(&mut times))))
}

/// The part of a process that connects once for each line.
pub(super) fn connect(url: &str, orders: &Orders) -> Result<(), Box<dyn Error>> {
    loop {
        orders.next();
        let start = Instant::now();
        let (mut sender, _receiver, _) = meet(&*opener(url)?)?;
        let took = start.elapsed();
        WAIT.send(&mut *sender, Flags::NONE, b"here")?;
        say(took.as_micros());
    }
}

pub(super) fn connections(setting: &Setting) -> Found {
    const CONNECTIONS: usize = 200;
    let (owner, address) = owner(setting.scheme)?;
    let mut peer = Helper::start(["connect", &address])?;
    let (mut times, mut message) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let start = Instant::now();
        peer.tell("connect")?;
        let (_sender, mut receiver, _) = meet(&*owner)?;
        let accepted = start.elapsed();
        let said = peer.answer()?;
        let micros = said.parse().map_err(|_| said)?;
        times.push(accepted.max(Duration::from_micros(micros)));
        WAIT.recv(&mut *receiver, &mut message)?;
    }
    // The first one has to load the program.
    times.remove(0);
    Ok(Outcome::passed(format!("{} connections, {}", times.len(), spread(&mut times))))
}

pub(super) fn way(_: &Setting) -> Found {
    Ok(Outcome::passed(if anyipc_memory::parks() {
        "on a word of shared memory (a futex, or os_sync_wait_on_address)"
    } else {
        "by the channel's doorbell: no call sleeps on a word of shared memory"
    }))
}

pub(super) fn timer(_: &Setting) -> Found {
    const SOON: Duration = Duration::from_millis(50);
    const NEVER: Duration = Duration::from_secs(10);
    let set = Set::new()?;
    let start = Instant::now();
    set.wake_at(Some(start + SOON))?;
    let woken = sleep(&set.source(), Interest::Readable, NEVER);
    let took = start.elapsed();
    let detail = format!("told {}, woken after {}", time(SOON), time(took));
    let fine = woken && took >= SOON.mul_f32(0.9) && took < NEVER;
    Ok(if fine { Outcome::passed(detail) } else { Outcome::failed(detail) })
}
