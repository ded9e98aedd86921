use std::process::ExitCode;

use anyipc::Registry;

use crate::failure::Result;
use crate::objects::{Record, address, holders};
use crate::output::Output;
use crate::table;

const EXAMPLES: &str = "\
States: `live` has a holder; `stale` was left by a crash, and the next create or open, or \
`anyipc doctor --fix`, reclaims it; `persistent` stays without a holder; `invalid` is damaged or \
no object of anyipc. With --json one line per object.

Examples:
  anyipc ls
  anyipc ls --json | jq -r 'select(.state == \"live\").address'";

/// List the objects of all transports
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, out: &Output) -> Result<ExitCode> {
    let objects = Registry::global().list()?;
    if out.json() {
        for (scheme, object) in &objects {
            out.record(Record::new(scheme, object))?;
        }
    } else if objects.is_empty() {
        out.note("no objects");
    } else {
        let rows = objects.iter().map(|(scheme, object)| {
            [
                address(scheme, object)
                    .map_or_else(|| format!("{scheme}://?"), |address| address.to_string()),
                object.kind.to_owned(),
                object.state.as_str().to_owned(),
                object.size.map_or_else(|| "-".to_owned(), |size| size.to_string()),
                holders(object),
                object.path.clone(),
            ]
        });
        out.line(table::columns(["ADDRESS", "KIND", "STATE", "SIZE", "HOLDERS", "PATH"], rows))?;
    }
    Ok(ExitCode::SUCCESS)
}
