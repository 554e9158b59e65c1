//! The configuration file, `taghouse.toml`. It can set what flags and environment variables set. A
//! flag overrides the environment, the environment overrides the file, and the file overrides the
//! default: its values are used as the defaults of the command line.

mod file;
mod keys;
mod show;
#[cfg(test)]
mod tests;

use crate::args::{Cli, Serve};
use anyhow::Result;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Subcommand};
use file::File;

/// What `taghouse config` does.
#[derive(Subcommand)]
pub(crate) enum ConfigAction {
    /// Print the configuration in effect as a file, with the origin of each value. Accepts the
    /// flags of serve
    Show(Box<Serve>),
    /// Print a configuration file with every key, its meaning and its default, all commented out
    Example,
}

/// How this process was started.
pub(crate) struct Configuration {
    pub(crate) cli: Cli,
    matches: ArgMatches,
    file: Option<File>,
    /// A data folder was named in a stronger layer than a server.
    serverless: bool,
}

/// Reads command line, environment and file. A command line that is wrong ends the process.
///
/// # Errors
/// All that is wrong in the file, with its lines.
pub(crate) fn read() -> Result<Configuration> {
    // The file may only be looked for once it is known what names it.
    let named =
        Cli::from_arg_matches(&Cli::command().get_matches()).unwrap_or_else(|error| error.exit());
    let file = File::find(named.global.config.as_deref(), &named.global.data)?;
    let matches = with_file(Cli::command(), file.as_ref()).get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // Who names a folder in a call does not mean the server that a file names.
    let layer = |name| show::Layer::of(None, name, &matches, file.as_ref());
    let serverless = layer("data") > layer("server");
    if serverless {
        cli.global.server = None;
    }
    Ok(Configuration { cli, matches, file, serverless })
}

/// The command line with what the file says as defaults.
fn with_file(command: Command, file: Option<&File>) -> Command {
    let Some(file) = file else { return command };
    let serving = |command: Command| {
        command.mut_args(|argument| default_of(file, Some(keys::TABLE), argument))
    };
    command
        .mut_args(|argument| default_of(file, None, argument))
        .mut_subcommand(keys::TABLE, serving)
        .mut_subcommand("demo", serving)
        .mut_subcommand("config", |config| config.mut_subcommand("show", serving))
}

fn default_of(file: &File, table: Option<&str>, argument: Arg) -> Arg {
    match file.value(table, argument.get_id().as_str()) {
        Some(value) => argument.default_value(value.to_owned()),
        None => argument,
    }
}

impl Configuration {
    /// What `taghouse config` prints.
    pub(crate) fn printed(&self, action: &ConfigAction) -> String {
        match action {
            ConfigAction::Show(_) => show::in_effect(
                self.leaf(),
                self.file.as_ref(),
                self.serverless,
                self.cli.global.json,
            ),
            ConfigAction::Example => show::example(),
        }
    }

    /// The matches of the innermost subcommand.
    fn leaf(&self) -> &ArgMatches {
        let mut leaf = &self.matches;
        while let Some((_, below)) = leaf.subcommand() {
            leaf = below;
        }
        leaf
    }
}
