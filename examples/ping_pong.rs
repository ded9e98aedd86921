//! cargo run --release --example ping_pong
//!
//! Round trips between two processes, timed. Give an address to try another transport or another
//! way to wait: `cargo run --release --example ping_pong 'shm://example.ping_pong?wait=block'`.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use anyipc::ErrorKind;

const ROUNDS: usize = 10_000;
const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "shm://example.ping_pong".into());
    if args.next().as_deref() == Some("echo") {
        return echo(&address);
    }

    let owner = anyipc::create(&address)?;
    let mut peer = Command::new(std::env::current_exe()?).args([&address, "echo"]).spawn()?;
    let mut channel = owner.accept_timeout(Duration::from_secs(10))?;
    let mut answer = Vec::new();
    for size in SIZES {
        let message = vec![7; size];
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            channel.send(&message)?;
            channel.recv_into(&mut answer)?;
            times.push(start.elapsed());
        }
        assert_eq!(answer, message);
        times.sort_unstable();
        println!(
            "{size:>6} bytes: p50 {:?}, p99 {:?}",
            times[ROUNDS / 2],
            times[ROUNDS * 99 / 100]
        );
    }
    channel.close()?;
    peer.wait()?;
    Ok(())
}

fn echo(address: &str) -> Result<(), Box<dyn Error>> {
    let mut channel = anyipc::connect(address)?;
    let mut message = Vec::new();
    loop {
        match channel.recv_into(&mut message) {
            Ok(_) => channel.send(&message)?,
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
