use std::net::TcpListener;
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A name for a transport that takes `host:port`, on this machine. Each call gives another one; the
/// names of two processes differ as well. Not where the loopback is one address only, as on macOS:
/// there the ports of two processes may meet by chance.
pub fn loopback() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static MANY_ADDRESSES: LazyLock<bool> =
        LazyLock::new(|| TcpListener::bind(("127.99.0.1", 0)).is_ok());
    /// From 20000, below the ports that systems choose.
    const PORTS: u64 = 10_000;
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    if *MANY_ADDRESSES {
        let [.., b, c] = process::id().to_be_bytes();
        let d = 1 + serial / PORTS % 250;
        format!("127.{}.{c}.{d}:{}", b.max(1), 20_000 + serial % PORTS)
    } else {
        format!("127.0.0.1:{}", 20_000 + (u64::from(process::id()) * 499 + serial) % PORTS)
    }
}
