//! A named block created, opened by its name and closed by both, over each transport that has
//! blocks. Its memory is not touched.
//!
//! `cargo bench --bench block`
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod support;

use anyipc::{Capabilities, Registry};
use criterion::{BenchmarkId, Criterion, Throughput};

const SIZES: [usize; 2] = [4 << 10, 1 << 20];

fn benches(criterion: &mut Criterion) {
    let able = |capabilities: Capabilities| capabilities.contains(Capabilities::BLOCK);
    for size in SIZES {
        let mut group = criterion.benchmark_group(format!("block/{size}"));
        group.throughput(Throughput::Elements(1));
        for transport in Registry::global().transports().filter(|t| able(t.capabilities())) {
            let scheme = transport.schemes()[0];
            let url = format!("{scheme}://benches.{}?size={size}", std::process::id());
            group.bench_function(BenchmarkId::from_parameter(scheme), |bench| {
                bench.iter(|| {
                    let creator = anyipc::create(&url).unwrap();
                    anyipc::open(&url).unwrap().close().unwrap();
                    creator.close().unwrap();
                });
            });
        }
        group.finish();
    }
}

fn main() {
    support::main(benches);
}
