//! Every input that a fuzzer has found worth keeping, again.

use std::fs;
use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn address() {
    replay("address", anyipc_fuzz::address);
}

#[test]
fn codec() {
    replay("codec", anyipc_fuzz::codec);
}

#[test]
fn config() {
    replay("config", anyipc_fuzz::config);
}

#[test]
fn framing() {
    replay("framing", anyipc_fuzz::framing);
}

#[test]
fn handshake() {
    replay("handshake", anyipc_fuzz::handshake);
}

#[test]
fn request() {
    replay("request", anyipc_fuzz::request);
}

#[test]
fn segment() {
    replay("segment", anyipc_fuzz::segment);
    fs::remove_dir_all(std::env::var_os("ANYIPC_DIR").unwrap()).unwrap();
}
