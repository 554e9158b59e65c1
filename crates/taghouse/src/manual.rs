//! The book's page of all commands, made from their definitions. `make docs` writes it.

use crate::args::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::fmt::Write;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/reference/commands.md");

const HEAD: &str = "# Command line

*This page is made from the program's own help by `make docs`. `taghouse COMMAND --help` prints the same.*

Every command ends with the status 0 if it did what it says, 2 if the command line is wrong, 1 for anything else. What it found goes to standard
output, what it has to tell to standard error.

";

fn page() -> String {
    let mut command = Cli::command();
    // Without it, global flags are not known to the commands below, nor is the order of what is
    // shown.
    command.build();
    let mut page = HEAD.to_owned();
    page.push_str("| command | what it does |\n|---|---|\n");
    for below in shown(&command) {
        let heading = format!("taghouse {}", below.get_name());
        _ = writeln!(
            page,
            "| [`{}`](#{}) | {} |",
            below.get_name(),
            heading.replace(' ', "-"),
            about(below)
        );
    }
    page.push_str("\n## Flags of every command\n");
    flags(&mut page, command.get_arguments().filter(|argument| is_common(argument)));
    for below in shown(&command) {
        section(&mut page, below, "taghouse", 2);
    }
    page
}

fn section(page: &mut String, command: &Command, above: &str, level: usize) {
    let name = format!("{above} {}", command.get_name());
    _ = writeln!(
        page,
        "\n{} {name}\n\n{}.\n\n`{}`",
        "#".repeat(level),
        about(command),
        usage(command, &name)
    );
    let own = || {
        command.get_arguments().filter(|argument| !argument.is_global_set() && !is_common(argument))
    };
    flags(page, own().filter(|argument| argument.get_help_heading().is_none()));
    let mut headings: Vec<&str> = own().filter_map(Arg::get_help_heading).collect();
    headings.dedup();
    for heading in headings {
        _ = write!(page, "\n{heading}:\n");
        flags(page, own().filter(|argument| argument.get_help_heading() == Some(heading)));
    }
    for below in shown(command) {
        section(page, below, &name, level + 1);
    }
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
}

fn is_common(argument: &Arg) -> bool {
    argument.is_global_set()
        || matches!(
            argument.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        )
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// The call in one line, without the flags that every command has.
fn usage(command: &Command, name: &str) -> String {
    let mut usage = name.to_owned();
    let (mut flags, mut places) = (false, String::new());
    for argument in command.get_arguments().filter(|argument| !is_common(argument)) {
        let shown = written(argument);
        // Of `-f, --file` the long one.
        let shown = shown.rsplit(", ").next().unwrap_or_default();
        match (argument.is_positional(), argument.is_required_set()) {
            (true, true) => _ = write!(places, " {shown}"),
            (true, false) => _ = write!(places, " [{shown}]"),
            (false, true) => _ = write!(usage, " {shown}"),
            (false, false) => flags = true,
        }
    }
    if flags {
        usage.push_str(" [FLAGS]");
    }
    if shown(command).next().is_some() {
        usage.push_str(" [COMMAND]");
    }
    usage + &places
}

/// `--limit <LIMIT>`, `<EXPRESSION>`
fn written(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let value = if argument.get_action().takes_values() {
        names.first().map(|name| format!("<{name}>"))
    } else {
        None
    };
    let more = if argument.is_positional() && matches!(argument.get_action(), ArgAction::Append) {
        "…"
    } else {
        ""
    };
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let flag = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    let parts: Vec<String> =
        [flag].into_iter().filter(|flag| !flag.is_empty()).chain(value).collect();
    parts.join(" ") + more
}

fn flags<'a>(page: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let mut arguments = arguments.filter(|argument| !argument.is_hide_set()).peekable();
    if arguments.peek().is_none() {
        return;
    }
    page.push_str("\n| argument | meaning |\n|---|---|\n");
    for argument in arguments {
        _ = writeln!(
            page,
            "| `{}` | {} |",
            written(argument),
            meaning(argument).replace('|', "\\|")
        );
    }
}

fn meaning(argument: &Arg) -> String {
    let mut meaning =
        argument.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
    let takes = argument.get_action().takes_values();
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|choice| format!("`{}`", choice.get_name()))
        .collect();
    if takes && !choices.is_empty() {
        _ = write!(meaning, ". One of {}", choices.join(", "));
    }
    let defaults: Vec<String> = argument
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if takes && !defaults.is_empty() {
        _ = write!(meaning, ". Default: {}", defaults.join(", "));
    }
    if let Some(variable) = argument.get_env() {
        _ = write!(meaning, ". Environment: `{}`", variable.to_string_lossy());
    }
    meaning
}

#[test]
fn the_page_of_commands_is_that_of_the_commands() {
    let right = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &right).unwrap();
    }
    let there = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        there == right,
        "docs/src/reference/commands.md is not what the program says now: run `make docs`, and commit what it writes"
    );
}
