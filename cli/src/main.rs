//! The `anyipc` command.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod commands;
mod failure;
mod hold;
mod interrupt;
mod message;
mod objects;
mod output;
mod owner;
mod sys;
mod table;
mod target;
mod text;
mod torture;
mod values;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::commands::{
    block, call, connect, doctor, explain, generate, inspect, lpsz, ls, queue, recv, rm, send,
    serve,
};
use crate::failure::{Failure, Result};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error),
    };
    let out = Output::new(cli.json, cli.quiet);
    let done = run(&cli.command, &out).and_then(|code| out.flush().map(|()| code));
    done.unwrap_or_else(|failure| {
        // Data printed before the failure stays valid.
        let _ = out.flush();
        out.failure(&failure);
        ExitCode::from(failure.exit_code())
    })
}

fn run(command: &Command, out: &Output) -> Result<ExitCode> {
    match command {
        Command::Send(args) => send::run(args, out),
        Command::Recv(args) => recv::run(args, out),
        Command::Serve(args) => serve::run(args, out),
        Command::Call(args) => call::run(args, out),
        Command::Connect(args) => connect::run(args, out),
        Command::Block(args) => block::run(args, out),
        Command::Queue(args) => queue::run(args, out),
        Command::Lpsz(args) => lpsz::run(args, out),
        Command::Ls(args) => ls::run(args, out),
        Command::Inspect(args) => inspect::run(args, out),
        Command::Rm(args) => rm::run(args, out),
        Command::Explain(args) => explain::run(args, out),
        Command::Doctor(args) => doctor::run(args, out),
        Command::Bench(args) => bench::run(args, out),
        Command::Torture(args) => torture::run(args, out),
        Command::Completions(args) => generate::completions(args, out),
        Command::Man(args) => generate::man(args, out),
    }
}

/// Prints the help, the version, or the fault of the command line.
fn unparsed(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let Err(failed) = error.print().and_then(|()| io::stdout().flush()) else {
            return ExitCode::SUCCESS;
        };
        let failure = output::stdout_failed(failed);
        Output::new(false, false).failure(&failure);
        return ExitCode::from(failure.exit_code());
    }
    if std::env::args_os().any(|arg| arg == "--json") || args::json_by_environment() {
        let text = error.to_string();
        Output::new(true, false)
            .failure(&Failure::Usage(text.trim_start_matches("error: ").trim_end().into()));
    } else {
        let _ = error.print();
    }
    ExitCode::from(2)
}
