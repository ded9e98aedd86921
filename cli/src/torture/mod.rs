//! `anyipc torture`: kills and stops workers at random, and checks what the transport promises.
//!
//! - `kind`: the kinds of work; `channel`, `inbox`, `queue`, `lease`, `block`, `mutex`, `lock`,
//!   `event`, `condvar`, `barrier` and `once`: what their workers do
//! - `connector`, `link`, `plan`: what channels and inboxes share; `message`: messages that show
//!   damage
//! - `context`: what each worker has; `record`: what it reports, through a pipe that outlives it
//! - `driver`, `lives`, `news`: the process that starts, kills and stops the workers
//! - `oracle`: what is checked; `connections`, `lanes` judge channels and inboxes, `holds` locks,
//!   `lease` also what is done once, `queue`, `block`, `event` and `barrier` their own kind
//! - `place`: where a run's objects are; `tidy`: what is left over; `report`, `progress`: what is
//!   shown
//!
//! The driver and the oracle use no transport: they know what workers report, and the kills.

mod barrier;
mod block;
mod channel;
mod condvar;
mod connections;
mod connector;
mod context;
mod driver;
mod event;
mod holds;
mod inbox;
mod kind;
mod lanes;
mod lease;
mod link;
mod lives;
mod lock;
mod message;
mod mutex;
mod news;
mod once;
mod oracle;
mod place;
mod plan;
mod progress;
mod queue;
mod random;
mod record;
mod report;
mod tidy;

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyipc::{Address, Operation};

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;
use crate::sys;
use crate::target::Target;
use crate::values;
use driver::Driver;
use kind::Kind;
use progress::Progress;

const EXAMPLES: &str = "\
Starts worker processes that use the address, kills them at random instants (SIGKILL, \
TerminateProcess) and stops some for a while (SIGSTOP), and starts others in their place. Each \
worker reports what it did through a pipe that outlives it. From these reports alone it is checked \
that nothing that was sent with Ok is lost (where the transport promises that), torn, repeated or \
out of order; that survivors are told of a death within a second, and of no other; that no call \
hangs; and that no file and no descriptor is left over.

Runs in a private directory of its own; objects of other programs are not touched. Prints a table; \
with --json {\"schema\":1,\"held\",\"seed\",\"checks\",\"told\",\"went_on\",\"successor\",\
\"violations\"}. The same seed makes the same choices, but not the same timing.

Exit codes: 0 all held; 1 a promise was broken; 2 usage; 130 ended by a signal.

Examples:
  anyipc torture shm://x
  anyipc torture local://x --as inbox --workers 8 --kills 500 --seed 7
  anyipc torture 'mq://x?priorities=4&capacity=16KiB' --duration 60s
  anyipc torture shm://x --as rwlock --stops 500
  anyipc torture 'shm://x?size=64KiB' --as block --json | jq .violations";

/// Kill processes that use an address, at random, and check what they promise each other
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// What the workers do [default: block with size=, queue where there are queues, else channel]
    #[arg(long = "as", value_name = "KIND")]
    kind: Option<Kind>,

    /// Kill so many workers [default: 500, or no limit with --duration]
    #[arg(long, value_name = "N")]
    kills: Option<u64>,

    /// Stop so many workers for up to a second [default: a quarter of the kills]
    #[arg(long, value_name = "N")]
    stops: Option<u64>,

    /// Go on for this long, such as 60s
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    duration: Option<Duration>,

    /// Number that all random choices follow from [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Processes at work, 2 to 64
    #[arg(long, value_name = "N", default_value_t = 4,
        value_parser = clap::value_parser!(u8).range(2..=64))]
    workers: u8,

    /// Bytes of the longest message or value
    #[arg(long, value_name = "BYTES", default_value = "4KiB", value_parser = values::bytes)]
    size: u64,

    /// Call it late when a death or a change shows after more than this
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::span)]
    late_after: Duration,

    /// Call it a hang when a call takes longer than this
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::span)]
    hang_after: Duration,

    /// Be a worker: the address is in its order
    #[arg(long, hide = true)]
    worker: bool,
}

/// Bytes of a message or value.
const SIZES: RangeInclusive<usize> = message::SHORTEST..=64 << 20;

/// More kills than a run has time for; a sum of two is still a number.
const NO_LIMIT: u64 = 1 << 40;

/// A run as the command line asks for it.
#[derive(Debug)]
struct Plan {
    address: Address,
    kind: Kind,
    /// At most; without a duration, the run ends after these and the stops.
    kills: u64,
    stops: u64,
    duration: Option<Duration>,
    seed: u64,
    workers: usize,
    size: usize,
    hang_after: Duration,
    late_after: Duration,
}

impl Plan {
    fn new(args: &Args) -> Result<Self> {
        let address = args.target.channel(Operation::Create)?;
        let kind = args.kind.map_or_else(|| Kind::of(&address), Ok)?;
        kind.check(&address)?;
        if args.stops.is_some_and(|stops| stops > 0) && !sys::CAN_STOP {
            return Err(Failure::Usage("--stops: this system cannot stop processes".into()));
        }
        let kills = args.kills.unwrap_or(if args.duration.is_some() { NO_LIMIT } else { 500 });
        let stops = if sys::CAN_STOP { args.stops.unwrap_or(kills / 4) } else { 0 };
        let time =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
        let size = usize::try_from(args.size).ok().filter(|size| SIZES.contains(size));
        let size = size.ok_or_else(|| {
            Failure::Usage(format!("--size: {} is not 16 to {} bytes", args.size, SIZES.end()))
        })?;
        Ok(Self {
            address: kind.address(address, size),
            kind,
            kills,
            stops,
            duration: args.duration,
            seed: args.seed.unwrap_or_else(|| time() % 1_000_000_007),
            workers: args.workers.into(),
            size,
            hang_after: args.hang_after,
            late_after: args.late_after,
        })
    }
}

/// Runs the torture, or one worker of it.
///
/// # Errors
/// A wrong command line, a worker that cannot be started, a signal.
pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    if args.worker {
        context::run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = Plan::new(args)?;
    interrupt::install()?;
    let started = Instant::now();
    let known = plan.duration.is_none().then_some(plan.kills);
    let mut driver = Driver::new(&plan, Progress::new(known, out.quiet()))?;
    let ran = driver.run();
    driver.clean_up(ran.is_err())?;
    ran?;
    report::print(&plan, &driver, started.elapsed().as_secs_f64(), out)?;
    let held = driver.findings.violated() == 0;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
