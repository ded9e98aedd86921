//! A named block created, opened by its name and closed by both, over each transport that has
//! blocks; its memory is not touched. A value stored in a block that nobody waits for.
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
    store(criterion);
}

#[cfg(feature = "shared-memory")]
fn store(criterion: &mut Criterion) {
    let url = format!("shm://benches.store.{}?size=8KiB", std::process::id());
    let owner = anyipc::create(url).unwrap();
    let block = owner.block().unwrap();
    let mut group = criterion.benchmark_group("block/store");
    for size in [64, 4 << 10] {
        let value = vec![7; size];
        group.bench_function(BenchmarkId::from_parameter(size), |bench| {
            bench.iter(|| block.store_bytes(&value).unwrap());
        });
    }
    group.finish();
}

#[cfg(not(feature = "shared-memory"))]
fn store(_: &mut Criterion) {}

fn main() {
    support::main(benches);
}
