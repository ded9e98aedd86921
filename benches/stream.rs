//! Messages to another process, as fast as they are taken, over each transport. The clock stops
//! when the receiver has confirmed the last one.
//!
//! `cargo bench --bench stream`
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod support;

use anyipc_measure::pattern::stream::send_all;
use criterion::{BenchmarkId, Criterion, Throughput};
use support::peer::{Connection, Role};

fn benches(criterion: &mut Criterion) {
    for size in support::SIZES {
        let mut group = criterion.benchmark_group(format!("stream/{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        for subject in support::subjects() {
            let mut connection = Connection::new(&subject, Role::Drain(size)).checked();
            group.bench_function(BenchmarkId::from_parameter(subject.scheme), |bench| {
                bench.iter_custom(|count| {
                    send_all(&mut connection.channel, size, count, 1).unwrap()
                });
            });
        }
        group.finish();
    }
}

fn main() {
    support::main(benches);
}
