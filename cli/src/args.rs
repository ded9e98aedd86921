use clap::builder::{FalseyValueParser, TypedValueParser};
use clap::{CommandFactory, Parser, Subcommand};

use crate::bench;
use crate::commands::{
    block, call, connect, doctor, explain, generate, inspect, lpsz, ls, queue, recv, rm, send,
    serve,
};
use crate::torture;

const AFTER: &str = "\
Exit codes: 0 done; 1 failed; 2 the command line or an address is wrong; 130 ended by a signal.

Data goes to the standard output, everything else to the standard error. With --json, data and \
errors are JSON lines with a \"schema\" version. NO_COLOR is respected.

Flags come first, then ANYIPC_* variables, then the configuration file, then the defaults.

Examples:
  anyipc recv shm://hello                  # in one terminal
  echo hi | anyipc send shm://hello        # in another
  anyipc explain 'shm://hello?wait=block'
  anyipc doctor";

/// Send, receive, inspect and benchmark over every local transport, chosen by an address.
#[derive(Parser, Debug)]
#[command(
    name = "anyipc",
    version,
    after_help = AFTER,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Print data and errors as JSON lines
    #[arg(
        long,
        global = true,
        env = "ANYIPC_JSON",
        help_heading = "Global options",
        hide_env_values = true,
        value_parser = FalseyValueParser::new(),
        action = clap::ArgAction::SetTrue
    )]
    pub(crate) json: bool,

    /// Print no remarks on the standard error
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// True if the environment asks for JSON. For a command line that cannot be parsed.
pub(crate) fn json_by_environment() -> bool {
    let value = std::env::var_os("ANYIPC_JSON").unwrap_or_default();
    !value.is_empty()
        && FalseyValueParser::new().parse_ref(&Cli::command(), None, &value).unwrap_or(false)
}

/// A command.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Send(send::Args),
    Recv(recv::Args),
    Serve(serve::Args),
    Call(call::Args),
    Connect(connect::Args),
    Block(block::Args),
    Queue(queue::Args),
    Lpsz(lpsz::Args),
    Ls(ls::Args),
    Inspect(inspect::Args),
    Rm(rm::Args),
    Explain(explain::Args),
    Doctor(doctor::Args),
    Bench(Box<bench::Args>),
    Torture(torture::Args),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
