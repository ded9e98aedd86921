//! What the tests share, among them calls and processes with the tests of `mq://`.
#![allow(dead_code, reason = "each test uses a part of it")]

#[path = "../../../message-queue/tests/common/calls.rs"]
mod calls;
#[path = "../../../message-queue/tests/common/process.rs"]
mod process;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyipc_core::{COMMON_KEYS, Name, Options, Transport};
use anyipc_posix_queue::{PosixQueue, PosixQueueEndpoint};

pub(crate) use calls::*;
pub(crate) use process::*;

/// A name that no other test and no other process uses. Before the first one, the queues of killed
/// runs are removed.
pub(crate) fn name(tag: &str) -> Name {
    anyipc_conformance::make_room(&PosixQueue);
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Relaxed);
    Name::new(&format!("posix-mq-{tag}-{}-{serial}", std::process::id())).unwrap()
}

pub(crate) fn options(query: &str) -> Options {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Options::parse(pairs, &[COMMON_KEYS, PosixQueue.keys()]).unwrap()
}

pub(crate) fn create(name: &Name, query: &str) -> PosixQueueEndpoint {
    PosixQueue.create(name, &options(query)).unwrap()
}

pub(crate) fn open(name: &Name, query: &str) -> PosixQueueEndpoint {
    PosixQueue.open(name, &options(query)).unwrap()
}
