//! Messages to one inbox from 1, 10 and 100 channels of another process, over each transport: the
//! cost of a message as the number of possible senders grows.
//!
//! `cargo bench --bench inbox_fan_in`
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use anyipc::{Channel, Event, Inbox};
use criterion::{BenchmarkId, Criterion, Throughput};
use support::FAN_IN_SIZE;
use support::peer::{Connection, Role, owner};

const SENDERS: [usize; 3] = [1, 10, 100];

fn benches(criterion: &mut Criterion) {
    for senders in SENDERS {
        let mut group = criterion.benchmark_group(format!("inbox_fan_in/{senders}"));
        group.throughput(Throughput::Elements(1));
        for subject in support::subjects() {
            let owner = owner(&subject);
            let url = owner.address().to_string();
            let mut inbox = Inbox::new(owner).unwrap();
            let mut control = Connection::new(&subject, Role::Send(senders));
            control.channel.send(url.as_bytes()).unwrap();
            while inbox.peers().count() < senders {
                match inbox.next_event_timeout(Duration::from_secs(10)).unwrap() {
                    Event::Connected(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            group.bench_function(BenchmarkId::from_parameter(subject.scheme), |bench| {
                bench.iter_custom(|count| receive(&mut inbox, &mut control, count));
            });
        }
        group.finish();
    }
}

/// The time in which this many messages are sent and received.
fn receive(inbox: &mut Inbox, control: &mut Connection<Channel>, count: u64) -> Duration {
    let start = Instant::now();
    control.tell(count);
    for _ in 0..count {
        inbox.recv_with(|_, message| assert_eq!(message.len(), FAN_IN_SIZE)).unwrap();
    }
    start.elapsed()
}

fn main() {
    support::main(benches);
}
