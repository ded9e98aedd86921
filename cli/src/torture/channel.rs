//! An owner that accepts, with a thread for each channel.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyipc::{Channel, ErrorKind, Result};

use super::context::{Context, Fault};
use super::link::{Outgoing, Receives, Sends, TO_CONNECTOR, TO_OWNER, Tasks};
use super::message::Id;
use super::plan::{Pattern, Plan};
use super::record::{BOTH, RECEIVE, SEND, What};
use crate::sys;

/// The owner looks this often whether it is to finish.
const RECHECK: Duration = Duration::from_millis(50);

/// The number of a connection: the owner's life, and a count.
pub(super) fn stream(life: u32, connection: u32) -> u64 {
    u64::from(life) << 32 | u64::from(connection)
}

/// The owner's life.
pub(super) fn owner_of(stream: u64) -> u32 {
    (stream >> 32) as u32
}

pub(super) fn owner(context: &Context) -> Result<()> {
    let endpoint = anyipc::create(&context.order.address)?;
    let before = sys::descriptors();
    context.log.say(What::Ready, &endpoint.address().to_string());
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        let mut connections = 0;
        loop {
            match endpoint.accept_timeout(RECHECK) {
                Ok(channel) => {
                    let stream = stream(context.order.life, connections);
                    connections += 1;
                    let served = &served;
                    served.fetch_add(1, Ordering::Relaxed);
                    scope.spawn(move || {
                        serve(context, channel, stream);
                        served.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
                // All connectors have left before the owner is told to finish.
                Err(_) if context.is_finishing() && served.load(Ordering::Relaxed) == 0 => {
                    return Ok(());
                }
                Err(_) => {}
            }
        }
    })?;
    context.count_descriptors(before);
    endpoint.close()
}

impl Context {
    /// Reports the descriptors that were not there before.
    pub(super) fn count_descriptors(&self, before: Option<Vec<String>>) {
        if self.has(Fault::Descriptor) {
            std::mem::forget(std::fs::File::open(std::env::current_exe().unwrap_or_default()));
        }
        let (Some(mut before), Some(mut after)) = (before, sys::descriptors()) else { return };
        after.retain(|target| {
            let found = before.iter().position(|was| was == target);
            found.map(|index| before.swap_remove(index)).is_none()
        });
        self.log.say(What::Descriptors, &after.join(", "));
    }
}

/// The owner's side of one connection.
fn serve(context: &Context, channel: Channel, stream: u64) {
    let number = channel.peer().pid.unwrap_or(0).into();
    context.log.write(What::Open, Id { stream, lane: 0, number });
    if !context.is_async(stream) {
        let (tx, rx) = channel.split();
        return serve_by(context, tx, rx, stream);
    }
    match context.in_runtime(|| channel.into_async()) {
        Ok(channel) => {
            let (tx, rx) = channel.split();
            serve_by(context, Tasks(context, tx), Tasks(context, rx), stream);
        }
        Err(error) => context.end(stream, SEND, &error),
    }
}

fn serve_by(context: &Context, mut tx: impl Sends + Send, mut rx: impl Receives, stream: u64) {
    let plan = Plan::new(context.order.kind, context.order.seed, stream);
    let mut out = Outgoing::new(context, stream, TO_CONNECTOR);
    // The first message tells the connector its number.
    if let Err(error) = out.send_surely(&mut tx) {
        context.end(stream, SEND, &error);
        return context.close(stream, BOTH);
    }
    match plan.pattern {
        Pattern::In | Pattern::OwnerIdle | Pattern::Few => {
            drain(context, &mut rx, stream, TO_OWNER);
        }
        Pattern::Out | Pattern::Both | Pattern::Full => thread::scope(|scope| {
            scope.spawn(move || stream_out(context, tx, out, plan.count));
            drain(context, &mut rx, stream, TO_OWNER);
        }),
        Pattern::Ask => loop {
            match rx.recv() {
                Ok(message) => context.got(&message, stream, TO_OWNER),
                Err(error) => break context.end(stream, RECEIVE, &error),
            }
            if let Err(error) = out.send_surely(&mut tx) {
                break context.end(stream, SEND, &error);
            }
        },
        Pattern::ConnectorIdle => idle(context, &mut rx, stream, TO_OWNER, plan.pause),
    }
    context.close(stream, BOTH);
}

/// Sends so many messages and gives the half up.
pub(super) fn stream_out(context: &Context, mut tx: impl Sends, mut out: Outgoing<'_>, count: u64) {
    for _ in 0..count {
        if context.is_finishing() {
            break;
        }
        if let Err(error) = out.send(&mut tx) {
            return context.end(out.stream(), SEND, &error);
        }
    }
    context.close(out.stream(), SEND);
}

/// Receives until that fails.
pub(super) fn drain(context: &Context, rx: &mut impl Receives, stream: u64, lane: u8) {
    loop {
        match rx.recv() {
            Ok(message) => context.got(&message, stream, lane),
            Err(error) => return context.end(stream, RECEIVE, &error),
        }
    }
}

/// Waits for a message that does not come.
pub(super) fn idle(
    context: &Context,
    rx: &mut impl Receives,
    stream: u64,
    lane: u8,
    time: Duration,
) {
    match rx.recv_timeout(time) {
        Ok(message) => context.got(&message, stream, lane),
        Err(error) if error.kind() == ErrorKind::TimedOut => {}
        Err(error) => context.end(stream, RECEIVE, &error),
    }
}
