//! cargo run --example block_typed
//!
//! A value of any serde type in a named block: two processes replace it as a whole, and no reader
//! sees half of a value. Beside it, a counter that both increment.

use std::error::Error;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

use anyipc::BlockExt;
use serde::{Deserialize, Serialize};

const SETTINGS: &str = "shm://example.block_typed.settings?size=4KiB";
const COUNTER: &str = "shm://example.block_typed.counter?size=8";

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    theme: String,
    font_size: u32,
    recent: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("editor") {
        let (settings, counter) = (anyipc::open(SETTINGS)?, anyipc::open(COUNTER)?);
        let mut value: Settings = settings.block()?.load()?.ok_or("nothing is stored")?;
        value.theme = "dark".into();
        value.recent.push("main.rs".into());
        settings.block()?.store(&value)?;
        counter.block()?.atomic_u64(0)?.fetch_add(1, Relaxed);
        return Ok(());
    }

    let (settings, counter) = (anyipc::create(SETTINGS)?, anyipc::create(COUNTER)?);
    settings.block()?.store(&Settings {
        theme: "light".into(),
        font_size: 11,
        recent: Vec::new(),
    })?;
    counter.block()?.atomic_u64(0)?.fetch_add(1, Relaxed);
    Command::new(std::env::current_exe()?).arg("editor").status()?;

    let value: Settings = settings.block()?.load()?.ok_or("nothing is stored")?;
    println!("{value:?} after {} edits", counter.block()?.atomic_u64(0)?.load(Relaxed));
    Ok(())
}
