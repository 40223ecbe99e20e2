//! `steadfast completion` and `steadfast man`: what shells and `man` want to know of the command line.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::aot::{Bash, Elvish, Fish, PowerShell, Zsh, generate};

use crate::cli::Cli;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  steadfast completion bash > ~/.local/share/bash-completion/completions/steadfast
  steadfast completion fish > ~/.config/fish/completions/steadfast.fish
  steadfast completion zsh > \"${fpath[1]}/_steadfast\"")]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    Pwsh,
    Zsh,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this folder, which is made if it is not there, instead of printing the first
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

const NAME: &str = "steadfast";

pub(crate) fn completion(args: &CompletionArgs) -> anyhow::Result<ExitCode> {
    let mut command = shown(&Cli::command());
    let mut script = Vec::new();
    match args.shell {
        Shell::Bash => generate(Bash, &mut command, NAME, &mut script),
        Shell::Elvish => generate(Elvish, &mut command, NAME, &mut script),
        Shell::Fish => generate(Fish, &mut command, NAME, &mut script),
        Shell::Pwsh => generate(PowerShell, &mut command, NAME, &mut script),
        Shell::Zsh => generate(Zsh, &mut command, NAME, &mut script),
    }
    print(&script)
}

pub(crate) fn pages(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let command = Cli::command();
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).context("cannot make the page")?;
        return print(&page);
    };
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    anstream::println!("Wrote the manual pages into {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// The command line without what is hidden, which the scripts would offer.
fn shown(command: &Command) -> Command {
    // The program ends right after this; clap takes names that live as long as it.
    let name: &'static str = command.get_name().to_owned().leak();
    let arguments = command.get_arguments().filter(|it| !it.is_hide_set()).cloned();
    let commands = command.get_subcommands().filter(|it| !it.is_hide_set()).map(shown);
    let about = command.get_about().cloned().unwrap_or_default();
    Command::new(name).about(about).args(arguments).subcommands(commands)
}

fn print(text: &[u8]) -> anyhow::Result<ExitCode> {
    match io::stdout().lock().write_all(text) {
        // Who reads us has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot print")?,
    }
    Ok(ExitCode::SUCCESS)
}
