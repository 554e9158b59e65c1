use super::file::File;
use super::keys::{self, Key, KeyKind, OF_ONE_CALL};
use super::{show, with_file};
use crate::args::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use std::path::Path;

fn parsed(text: &str) -> Result<File, String> {
    File::parse(Path::new("/etc/taghouse.toml"), text).map_err(|error| error.to_string())
}

fn every_command(command: &clap::Command) -> Vec<&clap::Command> {
    command.get_subcommands().fold(vec![command], |mut all, below| {
        all.extend(every_command(below));
        all
    })
}

/// What has a variable configures, and what `serve` takes.
#[test]
fn every_flag_that_configures_is_a_key_and_a_variable() {
    let command = Cli::command();
    let keys = keys::all();
    let has_key = |name: &str| keys.iter().any(|key| key.name == name);
    for command in every_command(&command) {
        for argument in command.get_arguments().filter(|argument| argument.get_env().is_some()) {
            let name = argument.get_id().as_str();
            assert!(
                has_key(name) || OF_ONE_CALL.contains(&name),
                "{}: --{name} has a variable and is not a key",
                command.get_name()
            );
        }
    }
    assert!(keys.len() > 20, "{} keys", keys.len());
    for Key { name, argument, .. } in &keys {
        assert!(argument.get_env().is_some(), "the key {name} has no variable");
    }
}

#[test]
fn every_key_of_the_file_reaches_the_command() {
    let text = uncommented(&show::example());
    let file = parsed(&text).unwrap();
    for key in keys::all() {
        assert!(file.value(key.table, &key.name).is_some(), "{} is not in the example", key.path());
    }
    for command in
        [&["taghouse", "serve"][..], &["taghouse", "demo"], &["taghouse", "config", "show"]]
    {
        with_file(Cli::command(), Some(&file)).try_get_matches_from(command).unwrap();
    }
    let file = parsed("data = 'there'\n[serve]\nland_every = 3\nweb_origins = ['https://a.example', 'https://b.example']\n").unwrap();
    let matches =
        with_file(Cli::command(), Some(&file)).try_get_matches_from(["taghouse", "serve"]).unwrap();
    let cli = Cli::from_arg_matches(&matches).unwrap();
    assert_eq!(cli.global.data, Path::new("/etc/there"));
    let Command::Serve(serve) = cli.command else { panic!("another command") };
    assert!((serve.land_every - 3.0).abs() < f64::EPSILON);
}

/// The lines of keys without the `# ` before them.
fn uncommented(text: &str) -> String {
    let is_key = |line: &&str| {
        line.split_once(" = ")
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    text.lines()
        .map(|line| line.strip_prefix("# ").filter(is_key).unwrap_or(line).to_owned() + "\n")
        .collect()
}

#[test]
fn kinds_follow_the_types() {
    let keys = keys::all();
    let kind = |name: &str| keys.iter().find(|key| key.name == name).map(|key| key.kind);
    for (name, expected) in [
        ("data", KeyKind::Path),
        ("backup_dir", KeyKind::Path),
        ("key", KeyKind::Text),
        ("listen", KeyKind::Text),
        ("query_seconds", KeyKind::Number),
        ("questions_per_key", KeyKind::Integer),
        ("audit_days", KeyKind::Integer),
        ("upload_bytes", KeyKind::Size),
        ("web_origins", KeyKind::List),
        ("webhook_networks", KeyKind::List),
        ("webhook_ca", KeyKind::Path),
    ] {
        assert_eq!(kind(name), Some(expected), "{name}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let check = |text: &str, expected: &str| match parsed(text) {
        Ok(_) => assert_eq!(expected, "", "{text}"),
        Err(said) => assert!(!expected.is_empty() && said.contains(expected), "{text}: {said}"),
    };
    check("", "");
    check("# nothing\n[serve]\nlisten = \"127.0.0.1:1\"\nupload_bytes = 1000\n", "");
    check("serve.listen = \"127.0.0.1:1\"", "");
    check(
        "\nqerry_seconds = 3",
        "/etc/taghouse.toml:2: unknown key `qerry_seconds` at the top; did you mean `query_seconds`?",
    );
    check(
        "[serve]\nquestions-per-key = 3",
        "taghouse.toml:2: unknown key `questions-per-key` in [serve]; did you mean `questions_per_key`?",
    );
    check(
        "listen = \"127.0.0.1:1\"",
        ":1: unknown key `listen` at the top: it stands in the table [serve]",
    );
    check(
        "[serve]\n\ndata = \"x\"",
        ":3: unknown key `data` in [serve]: it stands before the first table",
    );
    check("[serv]\nlisten = \"127.0.0.1:1\"", ":1: unknown table [serv]; did you mean `serve`?");
    check(
        "[server]\nlisten = \"127.0.0.1:1\"",
        ":1: `server` takes a text in quotes, not a table; what `taghouse serve` takes",
    );
    check("serve = 3", ":1: unknown key `serve` at the top");
    check("json = true", "unknown key `json`");
    check(
        "[serve]\nlisten = 7700",
        ":2: `serve.listen` takes a text in quotes, not a whole number",
    );
    check("[serve]\nlisten = \"7700\"", ":2: `serve.listen` is \"7700\": invalid socket address");
    check(
        "[serve]\nquestions_per_key = 0",
        ":2: `serve.questions_per_key` is 0: a whole number from 1 to 1000000",
    );
    check(
        "[serve]\nquestions_per_key = \"3\"",
        "`serve.questions_per_key` takes a whole number, not a text",
    );
    check("[serve]\naudit_days = -1", "`serve.audit_days` is -1: ");
    check("[serve]\nupload_bytes = \"3 lorries\"", "is not a valid size");
    check("[serve]\nweb_origins = [3]", "takes a list of texts, not a list");
    check("query_seconds = nan", "a number of seconds");
    check("data = \"\"", "a value is required");
    check("data = \"a\"\n\ndata = \"b\"", ":3: duplicate key");
    check("data = ", "/etc/taghouse.toml:1: ");
    let both = parsed("a_key = 1\n[serve]\nlisten = 1").err().unwrap();
    assert_eq!(both.lines().count(), 2, "{both}");
    assert!(!parsed("key = 17").err().unwrap().contains("17"), "a secret is shown");
}

#[test]
fn the_example_of_the_repository_is_that_of_the_program() {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/taghouse.toml");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, show::example()).unwrap();
    }
    let there = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        there == show::example(),
        "examples/taghouse.toml is not what the program says now: run `make docs`, and commit what it writes"
    );
}
