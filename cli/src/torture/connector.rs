//! A process that connects, works, and connects again.

use std::thread;
use std::time::Duration;

use anyipc::{Channel, ErrorKind, Result};

use super::channel::{drain, idle, stream_out};
use super::context::Context;
use super::kind::Kind;
use super::link::{Outgoing, Receives, Sends, TO_CONNECTOR, TO_OWNER, Tasks};
use super::message::{self, Id};
use super::plan::{Pattern, Plan};
use super::record::{BOTH, RECEIVE, SEND, What};
use crate::sys;

/// A pause after a connect for which the system had no memory, queue or descriptor.
const SCARCE: Duration = Duration::from_millis(10);

pub(super) fn work(kind: Kind, context: &Context) -> Result<()> {
    context.log.say(What::Ready, &context.order.address);
    let mut before = None;
    while !context.is_finishing() {
        let since = sys::now();
        let met = anyipc::connect(&context.order.address).and_then(|mut channel| {
            let welcome = channel.recv()?;
            Ok((channel, welcome))
        });
        match met {
            Ok((channel, welcome)) => connected(kind, context, channel, &welcome),
            // The owner is dead or just starts, or it died before it said a word.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NoOwner
                        | ErrorKind::TimedOut
                        | ErrorKind::PeerGone
                        | ErrorKind::OutOfMemory
                ) =>
            {
                let none = Id { stream: 0, lane: 0, number: 0 };
                context.log.record(What::Retry, none, since, error.kind().as_str());
                if error.kind() == ErrorKind::OutOfMemory {
                    // Others have to end first.
                    thread::sleep(SCARCE);
                }
            }
            Err(error) => return Err(error),
        }
        // What is made once and kept is no leak.
        before = before.or_else(sys::descriptors);
    }
    context.count_descriptors(before);
    Ok(())
}

/// The connector's side of one connection.
fn connected(kind: Kind, context: &Context, channel: Channel, welcome: &[u8]) {
    let stream = match message::read(welcome, context.order.size) {
        Ok(id) => id.stream,
        // Reported as torn below, for no connection.
        Err(_) => 0,
    };
    context.log.write(What::Open, Id { stream, lane: 0, number: 0 });
    context.got(welcome, stream, TO_CONNECTOR);
    // The other side chooses for itself.
    if !context.is_async(!stream) {
        let (tx, rx) = channel.split();
        return talk(kind, context, tx, rx, stream);
    }
    match context.in_runtime(|| channel.into_async()) {
        Ok(channel) => {
            let (tx, rx) = channel.split();
            talk(kind, context, Tasks(context, tx), Tasks(context, rx), stream);
        }
        Err(error) => context.end(stream, SEND, &error),
    }
}

fn talk(
    kind: Kind,
    context: &Context,
    mut tx: impl Sends + Send,
    mut rx: impl Receives,
    stream: u64,
) {
    let plan = Plan::new(kind, context.order.seed, stream);
    let mut out = Outgoing::new(context, stream, TO_OWNER);
    match plan.pattern {
        Pattern::In => {
            for _ in 0..plan.count {
                if context.is_finishing() {
                    break;
                }
                if let Err(error) = out.send(&mut tx) {
                    context.end(stream, SEND, &error);
                    break;
                }
            }
        }
        Pattern::Out | Pattern::ConnectorIdle => drain(context, &mut rx, stream, TO_CONNECTOR),
        Pattern::Full => {
            thread::sleep(plan.pause);
            drain(context, &mut rx, stream, TO_CONNECTOR);
        }
        Pattern::Both => thread::scope(|scope| {
            scope.spawn(move || stream_out(context, tx, out, plan.count));
            drain(context, &mut rx, stream, TO_CONNECTOR);
        }),
        Pattern::Ask => {
            for _ in 0..plan.count {
                if context.is_finishing() {
                    break;
                }
                if let Err(error) = out.send_surely(&mut tx) {
                    context.end(stream, SEND, &error);
                    break;
                }
                match rx.recv() {
                    Ok(message) => context.got(&message, stream, TO_CONNECTOR),
                    Err(error) => {
                        context.end(stream, RECEIVE, &error);
                        break;
                    }
                }
            }
        }
        Pattern::OwnerIdle => idle(context, &mut rx, stream, TO_CONNECTOR, plan.pause),
        Pattern::Few => {
            for _ in 1..plan.count {
                match rx.recv() {
                    Ok(message) => context.got(&message, stream, TO_CONNECTOR),
                    Err(error) => {
                        context.end(stream, RECEIVE, &error);
                        break;
                    }
                }
            }
        }
    }
    context.close(stream, BOTH);
}
