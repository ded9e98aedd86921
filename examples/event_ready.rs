//! cargo run --example event_ready
//!
//! A process makes an index, and others wait until it is ready, whenever they come.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use anyipc::sync::{Event, Reset};

const READY: &str = "shm://example.index.ready";

fn main() -> Result<(), Box<dyn Error>> {
    // The first of all these processes makes the event.
    let ready = Event::open_or_create(READY, Reset::Manual)?;
    match std::env::args().nth(1).as_deref() {
        Some("indexer") => {
            println!("the indexer works");
            ready.set()?;
        }
        Some("reader") => {
            ready.wait_timeout(Duration::from_secs(10))?;
            println!("a reader knows that the index is ready");
        }
        _ => {
            let start = |role| Command::new(std::env::current_exe()?).arg(role).spawn();
            let mut processes = [start("reader")?, start("reader")?, start("indexer")?];
            for process in &mut processes {
                process.wait()?;
            }
        }
    }
    Ok(())
}
