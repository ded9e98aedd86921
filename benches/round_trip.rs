//! A message to another process and an answer of the same length back, over each transport.
//!
//! `cargo bench --bench round_trip`

mod support;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use support::link::{Link, Received};
use support::payload::LAST;
use support::peer::{Connection, Role};

fn benches(criterion: &mut Criterion) {
    for size in support::SIZES {
        let mut group = criterion.benchmark_group(format!("round_trip/{size}"));
        group.throughput(Throughput::Bytes(2 * size as u64));
        for subject in support::subjects() {
            let mut connection = Connection::new(&subject, Role::Answer(size)).checked();
            group.bench_function(BenchmarkId::from_parameter(subject.scheme), |bench| {
                bench.iter_custom(|count| exchange(&mut connection.channel, size, count));
            });
        }
        group.finish();
    }
}

/// The time of this many round trips. One more, not timed, tells the peer that they are over.
fn exchange(link: &mut impl Link, size: usize, count: u64) -> Duration {
    let start = Instant::now();
    for sequence in 0..count {
        trip(link, size, sequence, sequence);
    }
    let time = start.elapsed();
    trip(link, size, count, count | LAST);
    time
}

fn trip(link: &mut impl Link, size: usize, sequence: u64, stamp: u64) {
    let answer = link.send(size, stamp).and_then(|()| link.receive(size, sequence));
    assert!(matches!(answer, Ok(Received::Message)), "{answer:?}");
}

fn main() {
    support::main(benches);
}
