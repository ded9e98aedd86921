//! One instance of a program: later ones hand over what they were started with.
//!
//! `launch` is what is handed over, `word` what the first instance says to it. `first` is the first
//! instance, `later` a later one. `sys` writes arguments as bytes.

pub(crate) mod first;
pub(crate) mod later;
pub(crate) mod launch;
mod sys;
pub(crate) mod word;

use std::thread;

use anyipc_core::{Hello, Result};

use crate::address::IntoAddress;
use crate::endpoint::Endpoint;
use crate::registry::Registry;
use crate::registry::first::{Instance, Race};
use first::FirstInstance;
use later::{LaterInstance, Offer};
use launch::Launch;

/// One instance of a program for each user: the first one stays, later ones hand over their
/// arguments and their directory, and exit with the code that the first one answers.
///
/// ```no_run
/// use std::process::exit;
///
/// use anyipc::SingleInstance;
///
/// fn main() -> anyipc::Result<()> {
///     let mut first = match SingleInstance::start("best://org.example.editor")? {
///         SingleInstance::First(first) => first,
///         SingleInstance::Later(later) => exit(later.wait()?),
///     };
///     loop {
///         let handover = first.next()?;
///         for file in handover.launch().args.iter().skip(1) {
///             println!("open {}", handover.launch().resolve(file).display());
///         }
///         handover.answer(0)?;
///     }
/// }
/// ```
///
/// Exactly one process is first, however many start at once; nothing that a killed one leaves is in
/// the way of the next. Each launch is given to one first instance once, or the call that hands it
/// over returns an error: a later instance is never silently ignored. If the first one leaves or is
/// killed before it has taken the launch, the later one becomes the first itself.
///
/// Users do not share an instance, nor does an administrator's `sudo`; containers share one only if
/// they share the directory of the objects. Let the name be that of your program, and take another
/// name for a version that must run beside it. Any address will do; over `tcp` the process ids
/// below are not known.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one")]
pub enum SingleInstance {
    /// This process is the first instance.
    First(FirstInstance),
    /// There is a first instance, and it has taken this one's launch.
    Later(LaterInstance),
}

impl SingleInstance {
    /// Becomes the first instance, or hands over to it the arguments and the directory of this
    /// process.
    ///
    /// Blocks until the first instance has taken them, as long as the address's `timeout` (5 s by
    /// default) at most.
    ///
    /// # Errors
    /// `TimedOut` if the first instance is stopped, hangs or is busy; the text has its process id
    /// and says whether it may still take the launch. Others are those of
    /// [`first`](crate::first()): among them `Mismatch` or `Corrupt` if a program that is no single
    /// instance owns the name. `MessageTooLarge` if the arguments are longer than `max_message`.
    /// `PeerGone` over `tcp` if the first instance died and may have taken the launch.
    pub fn start(address: impl IntoAddress) -> Result<Self> {
        Self::start_with(address, &Launch::current())
    }

    /// As [`start`](Self::start), but hands over `launch`.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn start_with(address: impl IntoAddress, launch: &Launch) -> Result<Self> {
        let mut race = Race::new(Registry::global(), address)?;
        let offer = Offer::new(launch)?;
        loop {
            match race.run(Offer::hello)? {
                Instance::First(owner) => return FirstInstance::new(owner).map(Self::First),
                Instance::Later(channel) => {
                    if let Some(later) = offer.make(channel, &race)? {
                        return Ok(Self::Later(later));
                    }
                }
            }
            thread::sleep(race.pause()?);
        }
    }
}

/// What one side says of itself: only single instances understand each other.
fn hello(endpoint: &Endpoint, sends: &str, receives: &str) -> Hello {
    Hello { sends: Some(sends.into()), receives: Some(receives.into()), ..endpoint.hello() }
}
