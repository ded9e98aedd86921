//! RPC frameworks over any address: each needs a few lines.
//!
//! - [`rpc`]: tarpc, on messages ([`anyipc::AsyncChannel::into_framed`]);
//! - [`grpc`]: tonic, on bytes ([`anyipc::AsyncChannel::into_io`]);
//! - [`language_server`]: tower-lsp, on bytes.

pub mod grpc;
pub mod language_server;
pub mod rpc;

/// Addresses of this process for an example or a test: what is on the command line, or some.
pub fn addresses(tag: &str) -> Vec<String> {
    let given: Vec<String> = std::env::args().skip(1).filter(|word| word.contains("://")).collect();
    if !given.is_empty() {
        return given;
    }
    let schemes = ["shm", "local", "pipe", "mq", "inproc"];
    schemes.iter().map(|scheme| format!("{scheme}://{tag}.{}", std::process::id())).collect()
}
