//! cargo run --release --example zero_copy
//!
//! Frames written where the other process reads them: `send_with` fills the ring in place, and
//! `recv_with` shows it in place, because the address trusts a peer of the same user. Without
//! `trust=same-user` both closures get private memory, which the other process cannot change.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use anyipc::ErrorKind;

const ADDRESS: &str = "shm://example.zero_copy?trust=same-user&capacity=1MiB";
const FRAME: usize = 64 << 10;
const FRAMES: u64 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("camera") {
        let mut channel = anyipc::connect(ADDRESS)?;
        for number in 0..FRAMES {
            channel.send_with(FRAME, |frame| {
                frame.fill(number as u8);
                Some(frame.len())
            })?;
        }
        channel.close()?;
        return Ok(());
    }

    let owner = anyipc::create(ADDRESS)?;
    let mut camera = Command::new(std::env::current_exe()?).arg("camera").spawn()?;
    let mut channel = owner.accept_timeout(Duration::from_secs(10))?;
    let (mut frames, start) = (0, Instant::now());
    loop {
        match channel
            .recv_with(|frame| frame.len() == FRAME && frame.iter().all(|&b| b == frames as u8))
        {
            Ok(true) => frames += 1,
            Ok(false) => return Err(format!("frame {frames} is damaged").into()),
            Err(error) if error.kind() == ErrorKind::Closed => break,
            Err(error) => return Err(error.into()),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(frames, FRAMES);
    let rate = (FRAMES * FRAME as u64) as f64 / seconds / f64::from(1 << 30);
    println!(
        "{frames} frames of {FRAME} bytes in {seconds:.2} s: {rate:.1} GiB/s, \
         each byte written and checked once"
    );
    camera.wait()?;
    Ok(())
}
