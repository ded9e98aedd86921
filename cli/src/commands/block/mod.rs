//! `anyipc block …`: named blocks of shared memory.

mod cat;
mod create;
mod load;
mod open;
mod stat;
mod store;
mod watch;
mod write;

use std::process::ExitCode;

use anyipc::{Address, Error, ErrorKind, Operation};

use crate::failure::Result;
use crate::output::Output;

const EXAMPLES: &str = "\
A block lives until its last holder closes it or dies; its creator may leave earlier.

Examples:
  anyipc block create shm://scratch --size 64KiB --hold     # in one terminal
  echo hello | anyipc block write shm://scratch --offset 16 # in another
  anyipc block cat shm://scratch --offset 16 --len 6
  anyipc block stat shm://scratch
  anyipc block store 'shm://settings?codec=json' '{\"theme\":\"dark\"}'
  anyipc block load 'shm://settings?codec=json'
  anyipc block watch shm://settings                         # each value that is stored";

/// Create, open, read, write and watch named blocks of memory
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Create(create::Args),
    Open(open::Args),
    Write(write::Args),
    Cat(cat::Args),
    Store(store::Args),
    Load(load::Args),
    Stat(stat::Args),
    Watch(watch::Args),
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    match &args.command {
        Command::Create(args) => create::run(args, out),
        Command::Open(args) => open::run(args, out),
        Command::Write(args) => write::run(args, out),
        Command::Cat(args) => cat::run(args, out),
        Command::Store(args) => store::run(args, out),
        Command::Load(args) => load::run(args, out),
        Command::Stat(args) => stat::run(args, out),
        Command::Watch(args) => watch::run(args, out),
    }
}

/// Fails unless the address says that the stored value is JSON, the only codec that describes
/// itself.
fn json_codec(address: &Address) -> Result<()> {
    if address.get("codec") == Some("json") {
        return Ok(());
    }
    let why = "write codec=json in the address: values of other codecs do not describe themselves, \
               and cannot be shown or made without their type; `block watch` prints their bytes";
    Err(Error::new(Operation::Block, ErrorKind::InvalidOption).because(why).at(address).into())
}
