//! The contenders: one file each, those in C and C++ as programs of their own.

mod anyipc_channel;
mod anyipc_costs;
mod anyipc_event;
mod anyipc_queue;
mod anyipc_task;
mod iceoryx;
mod interprocess;
mod kernel;
mod locks;
mod ring;
mod tasks;
mod tokio_stream;

use anyipc_measure::Result;
use anyipc_measure::process::Second;

use crate::job::Job;

/// The programs that `run` builds where their headers are installed.
pub(crate) const PROGRAMS: [&str; 12] = [
    "boost_mutex",
    "boost_queue",
    "boost_ring",
    "costs",
    "futex",
    "futex_mutex",
    "nng",
    "posix_mq",
    "posix_semaphore",
    "pthread_mutex",
    "pthread_rwlock",
    "zeromq",
];

/// The first process: the nanoseconds that a message, or a round trip, takes.
pub(crate) fn first(job: &Job) -> Result<f64> {
    match job.contender.as_str() {
        "anyipc" => anyipc_channel::first(job),
        "anyipc-costs" => anyipc_costs::first(job),
        "anyipc-event" => anyipc_event::first(job),
        "anyipc-mutex" => locks::first(job),
        "anyipc-queue" => anyipc_queue::first(job),
        "anyipc-rwlock" => locks::rwlock(job),
        "anyipc-semaphore" => locks::semaphore(job),
        "anyipc-task" => tasks::first::<anyipc_task::Owner>(job),
        "iceoryx2" => iceoryx::first(job),
        "interprocess" => interprocess::first(job),
        "kernel" => kernel::first(job),
        "rtrb" => ring::first(job),
        "std-mutex" => locks::threads(job),
        "tokio-tcp" => tasks::first::<tokio_stream::Tcp>(job),
        "tokio-unix" => tasks::first::<tokio_stream::Unix>(job),
        unknown => Err(format!("no contender {unknown}").into()),
    }
}

/// The second process.
pub(crate) fn second(job: &Job, place: &str) -> Result<()> {
    match job.contender.as_str() {
        "anyipc" => anyipc_channel::second(job, place),
        "anyipc-costs" => anyipc_costs::second(job, place),
        "anyipc-event" => anyipc_event::second(job, place),
        "anyipc-mutex" => locks::second(job, place),
        "anyipc-queue" => anyipc_queue::second(job, place),
        "anyipc-task" => tasks::second::<anyipc_task::Owner>(job, place),
        "iceoryx2" => iceoryx::second(job, place),
        "interprocess" => interprocess::second(job, place),
        "kernel" => kernel::second(job, place),
        "tokio-tcp" => tasks::second::<tokio_stream::Tcp>(job, place),
        "tokio-unix" => tasks::second::<tokio_stream::Unix>(job, place),
        alone => Err(format!("{alone} has no second process").into()),
    }
}

/// Starts the second process, which finds the first one at `place`.
fn start(job: &Job, place: &str) -> Result<Second> {
    let role = ["second".to_owned(), job.contender.clone()];
    Second::start(role.into_iter().chain(job.words()).chain([place.to_owned()]))
}

/// A name that no other measurement has.
fn name(of: &str) -> String {
    format!("others.{}.{of}", std::process::id())
}

/// A path that no other measurement has.
fn path(of: &str) -> String {
    std::env::temp_dir().join(name(of)).display().to_string()
}
