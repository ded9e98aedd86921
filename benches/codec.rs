//! Values to bytes and back, by each codec that is compiled in: a small record, and a list of a
//! thousand.
//!
//! `cargo bench --bench codec --all-features`
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod support;

use std::hint::black_box;

use anyipc::codec::CodecId;
use criterion::{Criterion, Throughput};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Diagnostic {
    file: String,
    line: u32,
    column: Option<u32>,
    severity: Severity,
    text: String,
    score: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Severity {
    Error,
    Warning { code: u16 },
}

fn diagnostic(line: u32) -> Diagnostic {
    Diagnostic {
        file: format!("src/module_{}/main.rs", line % 10),
        line,
        column: line.is_multiple_of(2).then_some(line / 2),
        severity: if line.is_multiple_of(3) {
            Severity::Error
        } else {
            Severity::Warning { code: 7 }
        },
        text: "unused variable: `x`".into(),
        score: f64::from(line) / 4.0,
    }
}

fn benches(criterion: &mut Criterion) {
    compare(criterion, "record", &diagnostic(7));
    compare(criterion, "list", &(0..1000).map(diagnostic).collect::<Vec<_>>());
}

/// Throughput is of encoded bytes, which differ between the codecs: compare times.
fn compare<T: Serialize + DeserializeOwned + PartialEq>(
    criterion: &mut Criterion,
    name: &str,
    value: &T,
) {
    let mut group = criterion.benchmark_group(format!("codec/{name}"));
    for codec in [CodecId::Postcard, CodecId::Bincode, CodecId::Json] {
        if !codec.is_available() {
            continue;
        }
        let mut bytes = Vec::new();
        codec.encode(value, &mut bytes).unwrap();
        assert!(codec.decode::<T>(&bytes).unwrap() == *value);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut out = Vec::with_capacity(bytes.len());
        group.bench_function(format!("{}/encode", codec.as_str()), |bench| {
            bench.iter(|| {
                out.clear();
                codec.encode(black_box(value), &mut out).unwrap();
            });
        });
        group.bench_function(format!("{}/decode", codec.as_str()), |bench| {
            bench.iter(|| codec.decode::<T>(black_box(&bytes)).unwrap());
        });
    }
    group.finish();
}

fn main() {
    support::main(benches);
}
