//! The configuration file through the binary: where it is found, what wins over what, what is
//! refused, and a server that has nothing else.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, shop_definitions};
use std::path::Path;
use std::process::{Command, Stdio};

/// `taghouse` in a working folder, with nothing of our own environment that could configure it.
fn taghouse(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taghouse"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TAGHOUSE_"))
    {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

fn said(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?} should have failed");
    String::from_utf8(output.stderr).unwrap()
}

/// The line of a key in what `config show` prints.
fn line(shown: &str, key: &str) -> String {
    let begins = [format!("{key} = "), format!("# {key}")];
    let found = shown.lines().find(|line| begins.iter().any(|begin| line.starts_with(begin)));
    found.unwrap_or_else(|| panic!("no {key} in\n{shown}")).to_owned()
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default() {
    let house = House::new();
    let file = house.file("taghouse.toml", "query_seconds = 3\n[serve]\nquestions_per_key = 3\n");
    let folder = file.parent().unwrap();
    let show = &["config", "show"];
    let key = "questions_per_key";
    let nowhere = tempfile::tempdir().unwrap();
    assert_eq!(
        line(&said(taghouse(nowhere.path(), show)), key),
        "questions_per_key = 64  # default"
    );
    assert_eq!(line(&said(taghouse(folder, show)), key), "questions_per_key = 3  # file");
    let with_variable = |arguments: &[&str]| {
        let mut command = taghouse(folder, arguments);
        command.env("TAGHOUSE_QUESTIONS_PER_KEY", "4").env("TAGHOUSE_QUERY_SECONDS", "4");
        said(command)
    };
    assert_eq!(
        line(&with_variable(show), key),
        "questions_per_key = 4  # environment TAGHOUSE_QUESTIONS_PER_KEY"
    );
    let flag =
        with_variable(&["config", "show", "--questions-per-key", "5", "--query-seconds", "5"]);
    assert_eq!(line(&flag, key), "questions_per_key = 5  # flag --questions-per-key");
    assert_eq!(line(&flag, "query_seconds"), "query_seconds = 5  # flag --query-seconds");
    assert_eq!(
        line(&with_variable(show), "query_seconds"),
        "query_seconds = 4  # environment TAGHOUSE_QUERY_SECONDS"
    );
    assert_eq!(line(&said(taghouse(folder, show)), "query_seconds"), "query_seconds = 3  # file");
    // A flag of every command may stand before the command too.
    assert_eq!(
        line(&with_variable(&["--query-seconds", "6", "config", "show"]), "query_seconds"),
        "query_seconds = 6  # flag --query-seconds"
    );
    let json: serde_json::Value =
        serde_json::from_str(&said(taghouse(folder, &["config", "show", "--json"]))).unwrap();
    assert_eq!(
        json["values"]["serve.questions_per_key"],
        serde_json::json!({"value": 3, "from": "file"})
    );
    assert_eq!(
        json["values"]["serve.max_connections"],
        serde_json::json!({"value": null, "from": "not set"})
    );
}

#[test]
fn the_file_is_the_one_named_else_that_of_the_working_folder_else_that_of_the_data_folder() {
    let house = House::new();
    let here = house.file("here/taghouse.toml", "app = \"here\"\n").parent().unwrap().to_owned();
    let elsewhere = house.file("elsewhere/other.toml", "");
    let elsewhere = elsewhere.parent().unwrap();
    let data = house.file("data/taghouse.toml", "app = \"data\"\n").parent().unwrap().to_owned();
    let (by_variable, by_flag) = (
        house.file("variable.toml", "app = \"variable\"\n"),
        house.file("flag.toml", "app = \"flag\"\n"),
    );
    let data = data.to_str().unwrap();
    let check = |folder: &Path, variable: Option<&Path>, arguments: &[&str], app: &str| {
        let mut command = taghouse(folder, &["config", "show", "--data", data]);
        command.args(arguments).envs(variable.map(|path| ("TAGHOUSE_CONFIG", path)));
        assert_eq!(line(&said(command), "app"), format!("app = \"{app}\"  # file"));
    };
    check(elsewhere, None, &[], "data");
    check(&here, None, &[], "here");
    check(&here, Some(&by_variable), &[], "variable");
    check(&here, Some(&by_variable), &["--config", by_flag.to_str().unwrap()], "flag");
    let nowhere = line(&said(taghouse(elsewhere, &["config", "show"])), "app");
    assert_eq!(nowhere, "# app  # not set");
    assert!(
        refused(taghouse(&here, &["config", "show", "--config", "missing.toml"]))
            .contains("missing.toml")
    );
    house.file("data/taghouse.toml", "data = \"elsewhere\"\n");
    assert!(
        refused(taghouse(elsewhere, &["config", "show", "--data", data]))
            .contains("`data` cannot stand in the file of a data folder")
    );
}

#[test]
fn a_file_that_is_wrong_is_refused_by_every_command_with_all_its_lines() {
    let house = House::new();
    let text =
        "data = \"data\"\nqerry_seconds = 3\n\n[serve]\nlisten = 7700\nquestions_per_key = 0\n";
    let folder = house.file("taghouse.toml", text).parent().unwrap().to_owned();
    for arguments in [&["config", "show"][..], &["tags"], &["serve"]] {
        let said = refused(taghouse(&folder, arguments));
        let expected = [
            "taghouse.toml:2: unknown key `qerry_seconds` at the top; did you mean `query_seconds`?",
            "taghouse.toml:5: `serve.listen` takes a text in quotes, not a whole number",
            "taghouse.toml:6: `serve.questions_per_key` is 0: a whole number from 1 to 1000000",
        ];
        assert_eq!(
            said.trim_start_matches("error: ").lines().collect::<Vec<_>>(),
            expected,
            "{arguments:?}"
        );
    }
    assert!(!house.data().exists());
}

#[test]
fn what_is_shown_means_the_same_when_it_is_read_back() {
    let house = House::new();
    let text = "data = \"below/data\"\nquery_seconds = 12.5\napp = \"a \\\"b\\\"\"\n[serve]\nweb_origins = [\"https://a.example\", \"https://b.example\"]\n\
                upload_bytes = \"3GiB\"\nupload_bytes_per_app = 4096\nbackup_dir = \"../copies\"\nland_every = 0.5\n";
    let folder = house.file("one/taghouse.toml", text).parent().unwrap().to_owned();
    let shown = said(taghouse(&folder, &["config", "show", "--audit-days", "3"]));
    let again = house.file("two/taghouse.toml", &shown);
    let read_back = said(taghouse(again.parent().unwrap(), &["config", "show"]));
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once("  # ").map_or(line, |(value, _)| value).to_owned())
            .collect()
    };
    assert_eq!(values(&shown), values(&read_back));
    assert_eq!(line(&shown, "audit_days"), "audit_days = 3  # flag --audit-days");
    assert_eq!(line(&read_back, "audit_days"), "audit_days = 3  # file");
    assert_eq!(
        line(&shown, "data"),
        format!("data = \"{}\"  # file", folder.join("below/data").display())
    );
    assert!(line(&shown, "web_origins").contains("https://a.example,https://b.example"), "{shown}");
}

#[test]
fn a_key_is_shown_to_nobody() {
    let house = House::new();
    let folder = house.file("taghouse.toml", "key = \"tgh_secret\"\n").parent().unwrap().to_owned();
    for (variable, from) in
        [(None, "file"), (Some(("TAGHOUSE_KEY", "tgh_secret")), "environment TAGHOUSE_KEY")]
    {
        for form in [&["config", "show"][..], &["config", "show", "--json"]] {
            let mut command = taghouse(&folder, form);
            command.envs(variable);
            let shown = said(command);
            assert!(
                !shown.contains("tgh_secret") && shown.contains("********") && shown.contains(from),
                "{shown}"
            );
        }
    }
}

#[test]
fn a_server_starts_with_a_file_alone_and_a_file_leads_to_it() {
    let house = House::new();
    let backups = house.path("copies");
    std::fs::create_dir_all(&backups).unwrap();
    let folder = house
        .file(
            "etc/taghouse.toml",
            "data = \"../data\"\n[serve]\nlisten = \"127.0.0.1:0\"\nland_every = 0.1\nbackup_dir = \"../copies\"\nquestions_per_key = 7\n",
        )
        .parent()
        .unwrap()
        .to_owned();
    said(taghouse(&folder, &["apply", "-f", shop_definitions().to_str().unwrap()]));
    assert!(
        house.data().join("catalog.db").is_file(),
        "the data folder is not where the file says"
    );
    let server = Server::of(taghouse(&folder, &["serve"]), &house.path("serve.stderr")).unwrap();
    let key = server.admin_key.clone().unwrap();
    assert_eq!(server.get("/api/v1/apps", &key).status, 200);
    // The backup goes below the folder of the file.
    let far =
        house.file("far/taghouse.toml", format!("server = \"{}\"\nkey = \"{key}\"\n", server.base));
    let far = far.parent().unwrap();
    said(taghouse(far, &["backup", "first"]));
    assert!(backups.join("first").is_dir());
    assert!(!said(taghouse(far, &["tags"])).is_empty());
    // A flag of the key goes with a server of the file, and a server without a key with none.
    let keyless = house.file("keyless/taghouse.toml", format!("server = \"{}\"\n", server.base));
    let keyless = keyless.parent().unwrap();
    assert!(refused(taghouse(keyless, &["tags"])).contains("--key"));
    assert!(!said(taghouse(keyless, &["tags", "--key", &key])).is_empty());
    // Who names a folder does not mean the server of a file.
    let data = house.data();
    assert!(said(taghouse(keyless, &["keys", "--data", data.to_str().unwrap()])).contains("admin"));
    let shown = said(taghouse(keyless, &["config", "show", "--data", "elsewhere"]));
    assert!(line(&shown, "server").contains("# file; not used"), "{shown}");
}

#[test]
fn the_program_prints_its_completions_its_manual_and_an_example() {
    let house = House::new();
    let folder = house.file("empty", "").parent().unwrap().to_owned();
    for (shell, expected) in [
        ("bash", "--questions-per-key"),
        ("zsh", "#compdef taghouse"),
        ("fish", "complete -c taghouse"),
    ] {
        assert!(said(taghouse(&folder, &["completions", shell])).contains(expected), "{shell}");
    }
    let page = said(taghouse(&folder, &["man"]));
    assert!(page.contains(".TH taghouse 1") && page.contains("TAGHOUSE_DATA"), "{page}");
    said(taghouse(&folder, &["man", "pages"]));
    assert!(
        std::fs::read_to_string(folder.join("pages/taghouse-serve.1"))
            .unwrap()
            .contains("questions")
    );
    let example = said(taghouse(&folder, &["config", "example"]));
    let read = house.file("read/taghouse.toml", &example);
    let values = |text: String| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        values(said(taghouse(&folder, &["config", "show", "--data", "/d"]))),
        values(said(taghouse(read.parent().unwrap(), &["config", "show", "--data", "/d"]))),
        "what is commented out changes something"
    );
}
