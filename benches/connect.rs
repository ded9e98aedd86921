//! A connection from another process, accepted and closed, over each transport.
//!
//! `cargo bench --bench connect`
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use anyipc::{Channel, Endpoint};
use criterion::{BenchmarkId, Criterion, Throughput};
use support::peer::{Connection, Role, owner};

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("connect");
    group.throughput(Throughput::Elements(1));
    for subject in support::subjects() {
        let owner = owner(&subject);
        let mut control = Connection::new(&subject, Role::Connect);
        control.channel.send(owner.address().to_string().as_bytes()).unwrap();
        group.bench_function(BenchmarkId::from_parameter(subject.scheme), |bench| {
            bench.iter_custom(|count| accept(&owner, &mut control, count));
        });
    }
    group.finish();
}

/// The time in which the peer connects and leaves this often.
fn accept(owner: &Endpoint, control: &mut Connection<Channel>, count: u64) -> Duration {
    let start = Instant::now();
    control.tell(count);
    for _ in 0..count {
        owner.accept_timeout(Duration::from_secs(10)).unwrap();
    }
    start.elapsed()
}

fn main() {
    support::main(benches);
}
