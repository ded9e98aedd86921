//! cargo run --example settings_board
//!
//! Settings in a block, and a process that applies each change as soon as it is stored. It sleeps
//! in between. It may skip a value that was replaced at once, but never misses the last one.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use anyipc::BlockExt;
use serde::{Deserialize, Serialize};

const BOARD: &str = "shm://example.settings_board?size=4KiB";

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    theme: String,
    font_size: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("editor") {
        let (board, mut seen) = (anyipc::open(BOARD)?, 0);
        loop {
            let settings: Settings =
                board.block()?.load_newer(&mut seen, Duration::from_secs(5))?;
            println!("change {seen}: {settings:?}");
            if settings.font_size == 12 {
                return Ok(());
            }
        }
    }

    let board = anyipc::create(BOARD)?;
    let mut editor = Command::new(std::env::current_exe()?).arg("editor").spawn()?;
    for font_size in 10..=12 {
        board.block()?.store(&Settings { theme: "dark".into(), font_size })?;
    }
    editor.wait()?;
    Ok(())
}
