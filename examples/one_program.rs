//! cargo run --example one_program --features config
//!
//! The same program over every transport: only the address differs, and it comes from the
//! environment. Try `ANYIPC_ERRORS_URL=tcp://127.0.0.1:4711` in front of the command, or
//! `local://errors`, `pipe://errors`, …

use std::error::Error;
use std::process::{Command, ExitCode};

use anyipc::{Channel, Config, ErrorKind};

const FILE: &str = r#"
[addresses]
errors = "shm://example.one_program"
"#;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // `inproc://` reaches no other process: there the compiler is a thread.
    let address = Config::from_str(FILE)?.address("errors")?;
    if std::env::args().nth(1).as_deref() == Some("compiler") {
        compile(anyipc::connect(&address)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let editor = anyipc::create(&address)?;
    if address.scheme() == "inproc" {
        let compiler = std::thread::spawn(move || compile(anyipc::connect(&address)?));
        edit(editor.accept()?)?;
        compiler.join().map_err(|_| "the compiler panicked")??;
        return Ok(ExitCode::SUCCESS);
    }
    // Inherits the environment; a port that the system chose is told.
    let mut compiler = Command::new(std::env::current_exe()?)
        .arg("compiler")
        .env("ANYIPC_ERRORS_URL", editor.address().to_string())
        .spawn()?;
    edit(editor.accept()?)?;
    Ok(if compiler.wait()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells its errors, each answered, and one that is longer than any frame.
fn compile(mut channel: Channel) -> anyipc::Result<()> {
    for line in 1..=3 {
        channel.send(format!("main.rs:{line}: unused variable").as_bytes())?;
        assert_eq!(channel.recv()?, b"shown");
    }
    channel.send(&vec![b'.'; 1 << 20])?;
    channel.close()
}

/// Prints messages until the compiler leaves.
fn edit(mut channel: Channel) -> anyipc::Result<()> {
    loop {
        match channel.recv() {
            Ok(message) if message.len() < 80 => {
                println!("{}", String::from_utf8_lossy(&message));
                channel.send(b"shown")?;
            }
            Ok(message) => println!("and {} bytes", message.len()),
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
