//! An owner with an inbox: one thread for all connections.

use std::collections::HashMap;
use std::time::Duration;

use anyipc::{ErrorKind, Event, Inbox, PeerId, Result};

use super::channel::stream;
use super::context::Context;
use super::link::{Outgoing, TO_CONNECTOR, TO_OWNER};
use super::message::Id;
use super::plan::{Pattern, Plan};
use super::record::{BOTH, RECEIVE, SEND, What};
use crate::sys;

/// The owner looks this often whether it is to finish.
const RECHECK: Duration = Duration::from_millis(50);

/// A connection of the inbox.
struct Peer<'c> {
    stream: u64,
    answers: bool,
    out: Outgoing<'c>,
}

pub(super) fn owner(context: &Context) -> Result<()> {
    let endpoint = anyipc::create(&context.order.address)?;
    let address = endpoint.address().to_string();
    let mut inbox = Inbox::new(endpoint)?;
    let mut before = None;
    context.log.say(What::Ready, &address);
    let mut peers: HashMap<PeerId, Peer<'_>> = HashMap::new();
    let mut connections = 0;
    loop {
        match inbox.next_event_timeout(RECHECK) {
            Ok(Event::Connected(id)) => {
                let pid = inbox.peer(id).and_then(|peer| peer.pid);
                let mut peer = connected(context, connections, pid);
                connections += 1;
                let count = peer.1;
                let sent =
                    (0..count).try_for_each(|_| peer.0.out.send_surely(&mut (&mut inbox, id)));
                if let Err(error) = sent {
                    context.end(peer.0.stream, SEND, &error);
                }
                peers.insert(id, peer.0);
            }
            Ok(Event::Message(id, message)) => {
                let Some(peer) = peers.get_mut(&id) else {
                    context.got_any(&message);
                    continue;
                };
                context.got(&message, peer.stream, TO_OWNER);
                if peer.answers
                    && let Err(error) = peer.out.send_surely(&mut (&mut inbox, id))
                {
                    context.end(peer.stream, SEND, &error);
                }
            }
            Ok(Event::Disconnected(id, reason)) => {
                if let Some(peer) = peers.remove(&id) {
                    context.end(peer.stream, RECEIVE, &reason);
                    context.close(peer.stream, BOTH);
                    inbox.disconnect(id);
                    // What is made with the first peer and kept is no leak.
                    if peers.is_empty() {
                        before = before.or_else(sys::descriptors);
                    }
                }
            }
            Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
            // All connectors have left before the owner is told to finish.
            Err(_) if context.is_finishing() && peers.is_empty() => break,
            Err(_) => {}
        }
    }
    context.count_descriptors(before);
    inbox.into_endpoint().close()
}

/// A new connection, and the number of messages that it begins with.
fn connected(context: &Context, connection: u32, pid: Option<u32>) -> (Peer<'_>, u64) {
    let stream = stream(context.order.life, connection);
    context.log.write(What::Open, Id { stream, lane: 0, number: pid.unwrap_or(0).into() });
    let plan = Plan::new(context.order.kind, context.order.seed, stream);
    let answers = plan.pattern == Pattern::Ask;
    let out = Outgoing::new(context, stream, TO_CONNECTOR);
    (Peer { stream, answers, out }, if plan.pattern == Pattern::Few { plan.count } else { 1 })
}
