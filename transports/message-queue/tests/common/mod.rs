//! What the tests share.
#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

mod calls;
mod process;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyipc_core::{COMMON_KEYS, Endpoint as _, Name, Options, Transport};
use anyipc_message_queue::{MessageQueue, QueueEndpoint};

pub(crate) use calls::*;
pub(crate) use process::*;

/// A name that no other test and no other process uses.
pub(crate) fn name(tag: &str) -> Name {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Relaxed);
    Name::new(&format!("mq-{tag}-{}-{serial}", std::process::id())).unwrap()
}

pub(crate) fn options(query: &str) -> Options {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Options::parse(pairs, &[COMMON_KEYS, MessageQueue.keys()]).unwrap()
}

pub(crate) fn create(name: &Name, query: &str) -> QueueEndpoint {
    MessageQueue.create(name, &options(query)).unwrap()
}

pub(crate) fn open(name: &Name) -> QueueEndpoint {
    MessageQueue.open(name, &options("")).unwrap()
}

/// A queue, and a handle of it.
pub(crate) fn queue(tag: &str, query: &str) -> (QueueEndpoint, Handle) {
    let owner = create(&name(tag), query);
    let handle = owner.queue().unwrap();
    (owner, handle)
}
