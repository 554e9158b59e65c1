//! Prints the configuration in effect, and the example file with every key.

use super::file::{File, NAME};
use super::keys::{self, Key, KeyKind};
use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::json;
use std::ffi::OsStr;
use std::fmt::Write;
use toml_edit::Value;

/// What stands in the example for keys without a default.
const INSTEAD_OF_DEFAULTS: [(&str, &str); 8] = [
    ("app", "shop"),
    ("server", "https://tags.example.com"),
    ("key", "tgh_…"),
    ("webhook_networks", "10.20.0.0/16"),
    ("webhook_ca", "/etc/ssl/company.pem"),
    ("activation_dir", "/srv/taghouse/outbox"),
    ("max_connections", "10000"),
    ("backup_dir", "/srv/backups"),
];

const HEAD: &str = "\
# What the flags and environment variables of taghouse set, in a file. A flag wins over the environment, that over the file, and the file over
# the default; `taghouse config show` prints what is in effect, and why. Read from --config, else TAGHOUSE_CONFIG, else taghouse.toml in the
# working folder, else taghouse.toml in the data folder. Relative paths begin at the folder of the file. What stands here are the defaults, or
# examples where there is none.
";

/// All values as a file, each with where it comes from; as JSON where that is asked for.
pub(crate) fn in_effect(
    matches: &ArgMatches,
    file: Option<&File>,
    serverless: bool,
    as_json: bool,
) -> String {
    let place = file.map(|file| {
        std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone()).display().to_string()
    });
    let mut text = format!("# {NAME}: {}\n\n", place.as_deref().unwrap_or("none was found"));
    let mut all = serde_json::Map::new();
    let mut table = None;
    for key in keys::all() {
        if key.table != table {
            table = key.table;
            _ = writeln!(text, "\n[{}]", table.unwrap_or_default());
        }
        let value = matches
            .get_raw(&key.name)
            .and_then(|mut values| values.next())
            .map(|raw| written(key.kind, raw));
        let mut from = from(&key, matches, file);
        let overruled =
            serverless && key.table.is_none() && key.name == "server" && value.is_some();
        if overruled {
            from.push_str("; not used, for a data folder is named more strongly");
        }
        let shown = if key.is_secret() { value.map(|_| "********".into()) } else { value };
        let line = shown
            .as_ref()
            .map(|value| format!("{} = {}  # {from}", key.name, value.to_string().trim()));
        _ = match line {
            // Commented out, so that nobody takes what hides it for the secret.
            Some(line) if key.is_secret() => writeln!(text, "# {line}; not shown"),
            Some(line) if overruled => writeln!(text, "# {line}"),
            Some(line) => writeln!(text, "{line}"),
            None => writeln!(text, "# {}  # not set", key.name),
        };
        all.insert(
            key.path(),
            json!({"value": shown.as_ref().map(as_json_value), "from": if shown.is_some() { from } else { "not set".to_owned() }}),
        );
    }
    if as_json {
        return format!("{:#}\n", json!({"file": place, "values": all}));
    }
    text
}

/// Where a value comes from, the strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Default,
    File,
    Environment,
    Flag,
}

impl Layer {
    pub(crate) fn of(
        table: Option<&str>,
        name: &str,
        matches: &ArgMatches,
        file: Option<&File>,
    ) -> Self {
        match matches.value_source(name) {
            Some(ValueSource::CommandLine) => Self::Flag,
            Some(ValueSource::EnvVariable) => Self::Environment,
            _ if file.is_some_and(|file| file.value(table, name).is_some()) => Self::File,
            _ => Self::Default,
        }
    }
}

fn from(key: &Key, matches: &ArgMatches, file: Option<&File>) -> String {
    match Layer::of(key.table, &key.name, matches, file) {
        Layer::Flag => format!("flag {}", key.flag()),
        Layer::Environment => format!(
            "environment {}",
            key.argument.get_env().map(OsStr::to_string_lossy).unwrap_or_default()
        ),
        Layer::File => "file".to_owned(),
        Layer::Default => "default".to_owned(),
    }
}

/// A value of the command line as it is written in the file.
fn written(kind: KeyKind, raw: &OsStr) -> Value {
    let text = raw.to_string_lossy();
    match kind {
        KeyKind::Path => std::path::absolute(raw)
            .map_or_else(|_| text.to_string().into(), |path| path.display().to_string().into()),
        KeyKind::Integer | KeyKind::Size => {
            text.parse::<i64>().map_or_else(|_| text.to_string().into(), Value::from)
        }
        KeyKind::Number => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(integer), _) => integer.into(),
            (_, Ok(number)) => number.into(),
            _ => text.to_string().into(),
        },
        KeyKind::Flag => (text == "true").into(),
        KeyKind::Text | KeyKind::List => text.to_string().into(),
    }
}

fn as_json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Integer(integer) => json!(integer.value()),
        Value::Float(number) => json!(number.value()),
        Value::Boolean(flag) => json!(flag.value()),
        other => json!(other.as_str()),
    }
}

/// A file with every key, commented out.
pub(crate) fn example() -> String {
    let mut text = HEAD.to_owned();
    let mut table = None;
    for key in keys::all() {
        if key.table != table {
            table = key.table;
            _ = write!(text, "\n# What `taghouse serve` takes.\n[{}]\n", table.unwrap_or_default());
        }
        let help =
            key.argument.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
        let instead = INSTEAD_OF_DEFAULTS
            .iter()
            .find(|(name, _)| *name == key.name)
            .map(|(_, value)| OsStr::new(*value));
        let default = key.argument.get_default_values().first().map(|default| default.as_os_str());
        let value = default.or(instead).unwrap_or(OsStr::new("1"));
        // A path stays as it is given: the folder in which the example is made says nothing.
        let kind = if key.kind == KeyKind::Path { KeyKind::Text } else { key.kind };
        let by = [
            Some(key.flag()),
            key.argument.get_env().map(|name| name.to_string_lossy().into_owned()),
        ];
        let by = by.into_iter().flatten().collect::<Vec<_>>().join(", ");
        _ = write!(
            text,
            "\n# {help} ({by})\n# {} = {}\n",
            key.name,
            written(kind, value).to_string().trim()
        );
    }
    text
}
