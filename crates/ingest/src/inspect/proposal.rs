//! The definition of a source, as YAML, from what was found.

use super::Found;
use super::columns::{ColumnKind, InspectedColumn};
use std::fmt::Write;
use std::path::Path;
use taghouse_model::Name;
use taghouse_rules::RESERVED_PROPERTIES;

/// Names of columns that hold what is asked for, the surest first; compared without case and signs.
const USERS: [&str; 18] = [
    "userid",
    "user",
    "customerid",
    "customer",
    "clientid",
    "memberid",
    "visitorid",
    "visitor",
    "accountid",
    "personid",
    "anonymousid",
    "wallet",
    "email",
    "kunde",
    "kundennummer",
    "uid",
    "useremail",
    "login",
];
const MESSAGES: [&str; 11] = [
    "messageid",
    "msgid",
    "msg",
    "eventid",
    "transactionid",
    "orderid",
    "invoiceid",
    "uuid",
    "guid",
    "rowid",
    "id",
];
const TIMES: [&str; 14] = [
    "time",
    "timestamp",
    "eventtime",
    "at",
    "datetime",
    "when",
    "occurredat",
    "createdat",
    "date",
    "ts",
    "orderdate",
    "invoicedate",
    "datum",
    "dt",
];
const EVENTS: [&str; 6] = ["event", "eventname", "eventtype", "action", "type", "what"];

/// A column of more different values names no events.
const MOST_EVENTS: usize = 50;

/// Which columns are what.
struct Roles<'f> {
    user: &'f InspectedColumn,
    /// Whether the user's column is named as one.
    sure: bool,
    time: Option<&'f InspectedColumn>,
    message: Option<&'f InspectedColumn>,
    event: Option<&'f InspectedColumn>,
}

pub(super) fn write(found: &Found, path: &Path, name: Option<&str>) -> String {
    let columns: Vec<&InspectedColumn> = unique(&found.columns);
    let Some(roles) = roles(&columns, found.rows) else { return String::new() };
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.map_or_else(
        || name_of(file.split('.').next().unwrap_or_default(), &mut Vec::new()),
        str::to_owned,
    );

    let mut yaml = Yaml::default();
    yaml.line(format_args!(
        "# Proposed from the first {} rows of {file}: read it through before you apply it.",
        found.rows
    ));
    yaml.line(format_args!("kind: source\nname: {name}"));
    yaml.format(found, &columns);
    yaml.roles(&roles, &name);
    yaml.other_columns(&roles, &columns);
    yaml.0
}

/// The text of a definition as it grows.
#[derive(Default)]
struct Yaml(String);

impl Yaml {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    /// How the file is written.
    fn format(&mut self, found: &Found, columns: &[&InspectedColumn]) {
        self.line(format_args!("format: {}", found.format));
        if let Some(delimiter) = found.delimiter {
            self.line(format_args!("delimiter: {}", text(&delimiter.to_string())));
        }
        if let Some(encoding) = &found.encoding {
            self.line(format_args!("encoding: {encoding}"));
        }
        if columns
            .iter()
            .any(|column| matches!(column.kind(), ColumnKind::Decimal { comma: true, .. }))
        {
            self.line(format_args!("decimal: \",\""));
        }
        if found.infinite {
            self.line(format_args!(
                "# Numbers are infinite here and there: those are no value.\nnan: no_value"
            ));
        }
    }

    /// The columns that say who did what and when.
    fn roles(&mut self, roles: &Roles<'_>, name: &str) {
        if !roles.sure {
            self.line(format_args!("# No column is called as a user id is: this is a guess."));
        }
        self.line(format_args!("user_id: {}", user(roles.user)));
        if let Some(time) = roles.time {
            match roles.event {
                Some(event) => {
                    self.line(format_args!("event: {{ column: {} }}", text(&event.name)));
                }
                None => self.line(format_args!("event: {name}")),
            }
            self.line(format_args!("time: {}", mapping_of_time(time)));
        } else {
            self.line(format_args!(
                "# No column looks like a time: the rows say what users are, not what they did."
            ));
        }
        match roles.message {
            Some(message) => self.line(format_args!("message_id: {}", text(&message.name))),
            None => self.line(format_args!(
                "# No column has an id for each row: a row is known by its file and place."
            )),
        }
    }

    /// The columns without a role, as properties or attributes.
    fn other_columns(&mut self, roles: &Roles<'_>, columns: &[&InspectedColumn]) {
        let taken = [Some(roles.user), roles.time, roles.message, roles.event];
        let others: Vec<&InspectedColumn> = columns
            .iter()
            .copied()
            .filter(|column| !taken.iter().flatten().any(|taken| taken.name == column.name))
            .collect();
        // A source must say something of its users.
        let others =
            if others.is_empty() && roles.time.is_none() { vec![roles.user] } else { others };

        let key = if roles.time.is_some() { "properties" } else { "attributes" };
        if !others.is_empty() {
            self.line(format_args!("{key}:"));
        }
        let mut names: Vec<String> =
            RESERVED_PROPERTIES.iter().map(|name| (*name).to_owned()).collect();
        for column in others {
            self.line(format_args!("  {}: {}", name_of(&column.name, &mut names), mapping(column)));
        }
    }
}

/// Those with a name, each name once: a file in which a name stands twice is refused where it is
/// read.
fn unique(columns: &[InspectedColumn]) -> Vec<&InspectedColumn> {
    let once = |column: &&InspectedColumn| {
        columns.iter().filter(|other| other.name == column.name).count() == 1
    };
    columns.iter().filter(|column| !column.name.is_empty()).filter(once).collect()
}

fn plain(name: &str) -> String {
    name.rsplit('.')
        .next()
        .unwrap_or(name)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect::<String>()
        .to_lowercase()
}

/// The column that is called by the first of these names that any is.
fn called<'f>(
    columns: &[&'f InspectedColumn],
    names: &[&str],
    fits: impl Fn(&InspectedColumn) -> bool,
) -> Option<&'f InspectedColumn> {
    names.iter().find_map(|name| {
        columns.iter().copied().find(|column| plain(&column.name) == *name && fits(column))
    })
}

fn roles<'f>(columns: &[&'f InspectedColumn], rows: usize) -> Option<Roles<'f>> {
    let is_time = |column: &InspectedColumn| {
        matches!(column.kind(), ColumnKind::Time { .. } | ColumnKind::Day { .. })
    };
    let time = called(columns, &TIMES, is_time)
        .or_else(|| columns.iter().copied().find(|column| is_time(column)));
    let is_id = |column: &InspectedColumn| {
        matches!(column.kind(), ColumnKind::Text | ColumnKind::Int | ColumnKind::Decimal { .. })
    };
    let ends_as_id =
        |column: &&&InspectedColumn| plain(&column.name).ends_with("id") && is_id(column);
    let named = called(columns, &USERS, is_id);
    // Without a name that says so, users are those who come again, or the only id.
    let again = || {
        columns
            .iter()
            .copied()
            .filter(|column| ends_as_id(&column))
            .max_by_key(|column| column.seen() - column.distinct())
    };
    let user = named.or_else(again).or_else(|| columns.first().copied())?;
    let is_own = |column: &InspectedColumn| {
        column.name != user.name
            && column.seen() == rows
            && column.distinct() == rows
            && is_id(column)
    };
    let message = called(columns, &MESSAGES, is_own);
    let names_events = |column: &InspectedColumn| {
        column.name != user.name
            && column.kind() == ColumnKind::Text
            && column.distinct() <= MOST_EVENTS
    };
    let event = time.and_then(|_| {
        called(columns, &EVENTS, |column| names_events(column) && column.seen() == rows)
    });
    Some(Roles { user, sure: named.is_some(), time, message, event })
}

fn user(column: &InspectedColumn) -> String {
    match column.kind() {
        // An id that was written as 17850.0.
        ColumnKind::Int if column.floating => {
            format!("{{ column: {}, type: int }}", text(&column.name))
        }
        ColumnKind::Decimal { scale: 1, comma: false } => {
            format!("{{ column: {}, type: int }}", text(&column.name))
        }
        _ => text(&column.name),
    }
}

fn mapping_of_time(column: &InspectedColumn) -> String {
    match column.kind() {
        ColumnKind::Time { format: Some(format) } | ColumnKind::Day { pattern: Some(format) } => {
            format!("{{ column: {}, format: {} }}", text(&column.name), text(format))
        }
        _ => text(&column.name),
    }
}

fn mapping(column: &InspectedColumn) -> String {
    let name = text(&column.name);
    match column.kind() {
        ColumnKind::Text => name,
        ColumnKind::Bool => format!("{{ column: {name}, type: bool }}"),
        ColumnKind::Int => format!("{{ column: {name}, type: int }}"),
        ColumnKind::Decimal { scale, .. } if column.rounds() => {
            format!("{{ column: {name}, type: decimal, scale: {scale}, round: true }}")
        }
        ColumnKind::Decimal { scale, .. } => {
            format!("{{ column: {name}, type: decimal, scale: {scale} }}")
        }
        ColumnKind::Set => format!("{{ column: {name}, type: set }}"),
        ColumnKind::Day { pattern: None } => format!("{{ column: {name}, type: date }}"),
        ColumnKind::Day { pattern: Some(pattern) } => {
            format!("{{ column: {name}, type: date, format: {} }}", text(pattern))
        }
        ColumnKind::Time { format: None } => {
            format!("{{ column: {name}, type: date, precision: millisecond }}")
        }
        // Epochs are read as times of events only.
        ColumnKind::Time { format: Some(format) } if format.starts_with("epoch") => {
            format!("{{ column: {name}, type: int }}")
        }
        ColumnKind::Time { format: Some(format) } => {
            format!(
                "{{ column: {name}, type: date, precision: millisecond, format: {} }}",
                text(format)
            )
        }
    }
}

/// A text in YAML: quotes as in JSON mean the same there.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// A name that none has yet, made of the column's.
fn name_of(column: &str, taken: &mut Vec<String>) -> String {
    let mut name = String::new();
    for c in column.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c.to_ascii_lowercase()),
            'ä' | 'Ä' => name.push_str("ae"),
            'ö' | 'Ö' => name.push_str("oe"),
            'ü' | 'Ü' => name.push_str("ue"),
            'ß' => name.push_str("ss"),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_matches('_');
    let name: String = if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        format!("c_{name}")
    } else {
        name.to_owned()
    };
    let name: String = name.trim_end_matches('_').chars().take(56).collect();
    let free = (1..)
        .map(|number| if number == 1 { name.clone() } else { format!("{name}_{number}") })
        .find(|name| !taken.contains(name));
    let name = free.filter(|name| Name::new(name).is_ok()).unwrap_or_else(|| "column".to_owned());
    taken.push(name.clone());
    name
}
