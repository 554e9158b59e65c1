//! Commands about the program itself: its configuration, its completions, its manual pages. They
//! need no data folder.

use crate::args::{Cli, Command};
use crate::configuration::Configuration;
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::io::Write;
use std::path::Path;

/// Answers such a command; gives whether it was one.
pub(crate) fn answered(configuration: &Configuration) -> Result<bool> {
    let printed = match &configuration.cli.command {
        Command::Config { action } => configuration.printed(action).into_bytes(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "taghouse", &mut script);
            script
        }
        Command::Man { folder: Some(folder) } => {
            write_pages(folder)?;
            return Ok(true);
        }
        Command::Man { folder: None } => {
            let mut page = Vec::new();
            clap_mangen::Man::new(without_help(Cli::command())).render(&mut page)?;
            page
        }
        _ => return Ok(false),
    };
    std::io::stdout().lock().write_all(&printed)?;
    Ok(true)
}

fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true)
}

/// `taghouse.1`, and one for each command.
fn write_pages(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    clap_mangen::generate_to(without_help(Cli::command()), folder)
        .with_context(|| format!("writing to {}", folder.display()))
}
