//! Shell completions and manual pages, generated from the command line's description.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::{Failure, Result};
use crate::output::Output;

const COMPLETIONS: &str = "\
Examples:
  anyipc completions bash > ~/.local/share/bash-completion/completions/anyipc
  anyipc completions zsh  > ~/.zfunc/_anyipc
  anyipc completions fish > ~/.config/fish/completions/anyipc.fish";

const MAN: &str = "\
Examples:
  anyipc man | man -l -
  anyipc man --dir ~/.local/share/man/man1";

/// Print completions for a shell
#[derive(clap::Args, Debug)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page, or write the pages of all commands
#[derive(clap::Args, Debug)]
#[command(after_help = MAN)]
pub(crate) struct ManArgs {
    /// Write one page per command into this existing directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs, out: &Output) -> Result<ExitCode> {
    // The generator panics when it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "anyipc", &mut script);
    out.bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: &ManArgs, out: &Output) -> Result<ExitCode> {
    let command = Cli::command();
    if let Some(dir) = &args.dir {
        clap_mangen::generate_to(command, dir).map_err(|error| {
            Failure::Io(format!("writing the manual to {}", dir.display()), error)
        })?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::Io("writing the manual".into(), error))?;
        out.bytes(&page)?;
    }
    Ok(ExitCode::SUCCESS)
}
