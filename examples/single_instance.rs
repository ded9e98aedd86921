//! cargo run --example single_instance --features single-instance
//!
//! An editor that runs once. Started again, it hands its files over to the one that runs, and exits
//! with the code that it is answered. To show that, the first one starts itself again.
//! Any address will do: add `-- local://example.editor`.

use std::error::Error;
use std::process::{Command, ExitCode, exit};

use anyipc::SingleInstance;

const ADDRESS: &str = "best://example.single_instance";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or(ADDRESS.into());
    let mut first = match SingleInstance::start(&address)? {
        SingleInstance::First(first) => first,
        SingleInstance::Later(later) => exit(later.wait()?),
    };

    // A user in another directory opens a file.
    let mut second = Command::new(std::env::current_exe()?)
        .args([&address, "notes.txt"])
        .current_dir(std::env::temp_dir())
        .spawn()?;

    let handover = first.next()?;
    for file in handover.launch().args.iter().skip(2) {
        println!("open {}", handover.launch().resolve(file).display());
    }
    handover.answer(3)?;
    let code = second.wait()?.code();
    println!("the second one exits with {code:?}");
    Ok(if code == Some(3) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
