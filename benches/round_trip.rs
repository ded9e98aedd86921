//! A message to another process and an answer of the same length back, over each transport.
//!
//! `cargo bench --bench round_trip`
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod support;

use anyipc_measure::pattern::round_trip::exchange;
use criterion::{BenchmarkId, Criterion, Throughput};
use support::peer::{Connection, Role};

fn benches(criterion: &mut Criterion) {
    for size in support::SIZES {
        let mut group = criterion.benchmark_group(format!("round_trip/{size}"));
        group.throughput(Throughput::Bytes(2 * size as u64));
        for subject in support::subjects() {
            let mut connection = Connection::new(&subject, Role::Answer(size)).checked();
            group.bench_function(BenchmarkId::from_parameter(subject.scheme), |bench| {
                bench.iter_custom(|count| exchange(&mut connection.channel, size, count).unwrap());
            });
        }
        group.finish();
    }
}

fn main() {
    support::main(benches);
}
