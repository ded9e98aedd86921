use std::process::ExitCode;

use anyipc::{Address, Object, Operation, Registry};

use crate::failure::Result;
use crate::objects::{Record, details, not_found};
use crate::output::Output;
use crate::table;
use crate::target::Target;

const EXAMPLES: &str = "\
A name has up to two objects: a block of memory and the rendezvous of its owner. Changes and holds \
nothing. With --json one line per object, with the fields of `anyipc ls`.

Example:
  anyipc inspect shm://hello";

/// Show the objects of one name
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.address(Operation::Stat)?;
    show(&address, &find(&address)?, out)?;
    Ok(ExitCode::SUCCESS)
}

/// The objects of a name, at least one.
fn find(address: &Address) -> Result<Vec<Object>> {
    let objects = Registry::global().inspect(address)?;
    if objects.is_empty() {
        return Err(not_found(Operation::Stat, address).into());
    }
    Ok(objects)
}

/// Prints them.
pub(crate) fn show(address: &Address, objects: &[Object], out: &Output) -> Result<()> {
    for (index, object) in objects.iter().enumerate() {
        if out.json() {
            out.record(Record::new(address.scheme(), object))?;
            continue;
        }
        if index > 0 {
            out.line("")?;
        }
        let rows = details(address.scheme(), object)
            .into_iter()
            .map(|(label, value)| [label.into(), value]);
        out.line(table::columns(["", ""], rows))?;
    }
    Ok(())
}
