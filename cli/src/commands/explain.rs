use std::process::ExitCode;

use anyipc::transport::{COMMON_KEYS, KeyKind, Side};
use anyipc::{Address, Capabilities, ErrorKind, Key, Object, ObjectState, Operation, Registry};
use serde::Serialize;

use crate::failure::Result;
use crate::objects::{Record, details};
use crate::output::Output;
use crate::table;
use crate::target::Target;

const EXAMPLES: &str = "\
Creates and holds nothing. Prints the transport (also that of best://) and its capabilities, every \
option with its value, whether messages are read in place, and the existing objects with their \
holders.

Examples:
  anyipc explain best://hello
  anyipc explain 'shm://hello?trust=same-user&wait=spin' --json";

/// Explain what an address means, and show its objects
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct Explanation<'a> {
    address: String,
    /// What `best` stands for, and the transport.
    scheme: &'a str,
    name: &'a str,
    /// True if `create` has yet to make the name, or the rest of it.
    unique: bool,
    /// The beginning of its files' names; `None` without files.
    system_name: Option<String>,
    /// The reason, if this platform has no such objects.
    unsupported: Option<String>,
    capabilities: Vec<&'static str>,
    made_of: &'static str,
    reading: Access,
    writing: Access,
    options: Vec<Choice<'a>>,
    objects: Vec<Record<'a>>,
}

/// Where a closure reads or writes messages.
#[derive(Serialize)]
struct Access {
    in_place: bool,
    why: String,
}

/// An option and its value.
#[derive(Serialize)]
struct Choice<'a> {
    name: &'static str,
    value: Option<&'a str>,
    given: bool,
    side: &'static str,
    choices: Vec<&'static str>,
    help: &'static str,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let given = args.target.given(Operation::Address)?;
    let address = args.target.address(Operation::Address)?;
    let (transport, options) = Registry::global().resolve(&address)?;
    let capabilities = transport.capabilities();
    let lists = capabilities.contains(Capabilities::INVENTORY);
    let mut objects = Vec::new();
    let mut unsupported = None;
    if lists {
        match transport.inspect(address.name(), &options) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                unsupported = Some(error.message().unwrap_or("this platform has none").to_owned());
            }
            looked => objects = looked.map_err(|e| e.during(Operation::Stat).at(&address))?,
        }
    }
    let explanation = Explanation {
        address: given.to_string(),
        scheme: address.scheme(),
        name: address.name().as_str(),
        unique: address.is_unique(),
        system_name: transport.file_stem(address.name(), &options),
        unsupported,
        capabilities: capabilities.names().collect(),
        made_of: transport.about(),
        reading: access(&address, capabilities, "read"),
        writing: access(&address, capabilities, "written"),
        options: COMMON_KEYS
            .iter()
            .chain(transport.keys())
            .filter(|key| !key.is_retired())
            .map(|key| choice(&address, key))
            .collect(),
        objects: objects.iter().map(|object| Record::new(address.scheme(), object)).collect(),
    };
    if out.json() {
        out.record(explanation)?;
    } else {
        print(&explanation, &address, lists, &objects, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn access(address: &Address, capabilities: Capabilities, done: &str) -> Access {
    // Only shared memory can be read and written in place.
    let (in_place, why) = if !capabilities
        .contains(Capabilities::CROSS_PROCESS | Capabilities::BLOCK)
    {
        (
            false,
            format!(
                "over this transport each message that is {done} by a closure is a private copy"
            ),
        )
    } else if address.get("trust") == Some("same-user") {
        (true, "trust=same-user: in place where the peer has the same user, else copied".into())
    } else {
        (
            false,
            format!(
                "trust=copy: the peer cannot change what is being {done}; with trust=same-user it \
                 is {done} in place"
            ),
        )
    };
    Access { in_place, why }
}

fn choice<'a>(address: &'a Address, key: &Key) -> Choice<'a> {
    let given = address.get(key.name);
    Choice {
        name: key.name,
        value: given.or(key.default),
        given: given.is_some(),
        side: match key.side {
            Side::Owner => "owner",
            Side::Both => "both",
        },
        choices: match key.kind {
            KeyKind::Choice(words) => words.to_vec(),
            KeyKind::Flag => vec!["true", "false"],
            _ => Vec::new(),
        },
        help: key.help,
    }
}

fn print(
    explanation: &Explanation<'_>,
    address: &Address,
    lists: bool,
    objects: &[Object],
    out: &Output,
) -> Result<()> {
    let mut transport = explanation.scheme.to_owned();
    if !explanation.address.starts_with(&format!("{transport}://")) {
        transport.push_str(": what best:// is on this platform, for every program");
    }
    let mut facts = vec![
        ("address", explanation.address.clone()),
        ("transport", transport),
        ("can", explanation.capabilities.join(", ")),
        ("made of", explanation.made_of.to_owned()),
    ];
    facts.extend(explanation.system_name.clone().map(|name| ("system name", name)));
    for (label, access) in [("reading", &explanation.reading), ("writing", &explanation.writing)] {
        let place = if access.in_place { "in place" } else { "copied" };
        facts.push((label, format!("{place}: {}", access.why)));
    }
    let facts = facts.into_iter().map(|(label, value)| [label.into(), value]);
    out.line(table::columns(["", ""], facts))?;
    out.line("")?;
    let rows = explanation.options.iter().map(|option| {
        [
            option.name.to_owned(),
            option.value.unwrap_or("-").to_owned(),
            if option.given { "address" } else { "default" }.to_owned(),
            option.side.to_owned(),
            option.help.to_owned(),
        ]
    });
    out.line(table::columns(["OPTION", "VALUE", "FROM", "SIDE", "MEANING"], rows))?;
    for object in objects {
        out.line("")?;
        let rows = details(address.scheme(), object)
            .into_iter()
            .map(|(label, value)| [label.into(), value]);
        out.line(table::columns(["", ""], rows))?;
    }
    out.line("")?;
    if explanation.unique {
        return out.line(
            "Each create makes another name, of 128 random bits; open and connect need that name.",
        );
    }
    match &explanation.unsupported {
        Some(why) => out.line(format!("It is unsupported here: {why}.")),
        None if lists => out.line(verdict(objects)),
        None => out.line("This transport keeps no list: open it to see whether it has an owner."),
    }
}

/// What create, open and connect would do now.
fn verdict(objects: &[Object]) -> &'static str {
    let live = |kind: &str| objects.iter().any(|o| o.kind == kind && o.state == ObjectState::Live);
    let invalid = objects.iter().any(|o| o.state == ObjectState::Invalid);
    match (live("rendezvous"), live("block")) {
        _ if invalid => {
            "A file of this name is damaged or no object of anyipc: create and open fail until it \
             is removed."
        }
        (true, _) => "It has a live owner: open and connect work, create fails with -1.",
        _ if objects.iter().any(|o| o.state == ObjectState::Persistent) => {
            "It stays although nobody holds it: open works, create needs create=open_or_create, \
             rm removes it."
        }
        _ if live("queue") => {
            "Its queue has holders but no owner: open works, connect waits for an owner, create \
             becomes the owner."
        }
        (false, true) => {
            "It has a live block and no owner: open works, connect waits for an owner, create \
             needs create=open_or_create."
        }
        (false, false) if objects.is_empty() => {
            "It does not exist: create works, open fails with -3, connect waits for an owner."
        }
        (false, false) => {
            "Only leftovers of a crash exist: create works and reclaims them, open fails with -3."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value() {
        for transport in Registry::global().transports() {
            let keys = [transport.keys(), COMMON_KEYS];
            for key in keys.concat() {
                let given = key.default.map(|value| (key.name, value));
                assert!(anyipc::transport::Options::parse(given, &keys).is_ok(), "{key:?}");
            }
            assert!(!transport.about().is_empty(), "{transport:?}");
        }
    }
}
