//! The definition of an activation.

use super::events::duration;
use super::kafka::{self, Wrong};
use super::{Errors, name_of, read, sink, webhook};
use crate::raw::activation::{
    RawActivation, RawDestination, RawFile, RawFileFormat, RawPostgresql, RawRedis, RawRun, RawSend,
};
use crate::{
    ActivationDefinition, CrowdDefinition, Definitions, Destination, Document, DocumentKind,
    FileDestination, Forbidden, Labelled, PostgresqlDestination, RedisDestination, SendMode,
    SettingOf, SettingPart, TagDefinition, Use, did_you_mean,
};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::{Name, ValueType};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const LONGEST_RETRY_MS: i64 = 7 * 24 * HOUR_MS;
const DEFAULT_PRIORITY: u32 = 50;
const MAX_FIELDS: usize = 200;
const MAX_PATH_BYTES: usize = 400;
/// As PostgreSQL has it.
const MAX_COLUMN_BYTES: usize = 63;
/// What deliveries say of each row besides; a column of the activation's would hide it.
const OWN_COLUMNS: [&str; 5] = ["app", "change", "crowd", "version", "delivery"];

/// What activations refer to.
pub(super) struct Known<'a> {
    pub(super) tags: &'a BTreeMap<Name, TagDefinition>,
    pub(super) crowds: &'a BTreeMap<Name, CrowdDefinition>,
    /// Of all documents, be they right or not: what is wrong with them is said of them.
    pub(super) crowd_names: &'a BTreeSet<&'a str>,
}

/// Reads the activations.
pub(super) fn check(
    documents: &[Document],
    known: &Known<'_>,
    errors: &mut Errors,
) -> BTreeMap<Name, ActivationDefinition> {
    let mut activations = BTreeMap::new();
    for (document, raw) in read::<RawActivation>(documents, DocumentKind::Activation, errors) {
        let before = errors.len();
        let name = name_of(document, errors);
        let mut wrong = Vec::new();
        let activation = name.and_then(|name| activation(name, raw, known, &mut wrong));
        errors.extend(wrong.into_iter().map(|wrong| document.error(&wrong.pointer, wrong.message)));
        if let Some(activation) = activation.filter(|_| errors.len() == before) {
            if let Some(other) = activations.values().find(|other| share_a_key(other, &activation))
            {
                let message = format!(
                    "`{}` writes the same key of the same Redis: give one of the two another `key`",
                    other.name
                );
                errors.push(document.error("/to/redis", message));
            }
            activations.insert(activation.name.clone(), activation);
        }
    }
    activations
}

/// Whether two write one key of Redis, where each would take the other's deliveries for its own.
fn share_a_key(one: &ActivationDefinition, other: &ActivationDefinition) -> bool {
    let (Destination::Redis(a), Destination::Redis(b)) = (&one.to, &other.to) else { return false };
    let is_same_key = match (&a.key, &b.key) {
        (None, None) => one.crowd == other.crowd,
        (a, b) => a == b,
    };
    a.url == b.url && is_same_key
}

/// What activations would send although a label forbids it.
pub(super) fn forbidden(documents: &[Document], definitions: &Definitions) -> Errors {
    let mut errors = Errors::new();
    let of_kind = |document: &&Document| document.kind == DocumentKind::Activation;
    for document in documents.iter().filter(of_kind) {
        let Some(sent) = definitions.activations.get(document.name.as_str()) else { continue };
        let crowd = ("/crowd".to_owned(), Labelled::Crowd(sent.crowd.as_str()));
        let fields = sent
            .fields
            .iter()
            .map(|(column, tag)| (format!("/fields/{column}"), Labelled::Tag(tag.as_str())));
        let found = std::iter::once(crowd).chain(fields).find_map(|(pointer, of)| {
            definitions.forbidden(of, Use::Activate).map(|forbidden| (pointer, forbidden))
        });
        if let Some((pointer, Forbidden { label, path })) = found {
            let message = format!(
                "{path}: the app's `access` forbids to activate what is labelled {label}; send another crowd, or leave the column out"
            );
            errors.push(document.error(&pointer, message));
        }
    }
    errors
}

/// `None`, and what is wrong with it.
fn activation(
    name: Name,
    raw: RawActivation,
    known: &Known<'_>,
    wrong: &mut Vec<Wrong>,
) -> Option<ActivationDefinition> {
    let send = match raw.send {
        Some(RawSend::Delta) => SendMode::Delta,
        Some(RawSend::Full) | None => SendMode::Full,
    };
    let crowd = crowd("/crowd", &raw.crowd, known, wrong);
    let unless = raw.unless.iter().enumerate();
    let unless: Vec<_> = unless
        .map(|(i, crowd_)| self::crowd(&format!("/unless/{i}"), crowd_, known, wrong))
        .collect();
    let id = raw.id.clone().unwrap_or_else(|| "user_id".to_owned());
    check_column("/id", &id, wrong);
    let fields = fields(&raw.fields, &id, known, wrong);
    let consent = raw.consent.as_deref().and_then(|tag| consent(tag, known, wrong));
    let to = destination(&raw.to, wrong);
    if let Some(Destination::File(FileDestination { format, .. })) = &to
        && format.starts_with("roaring")
        && (send == SendMode::Delta || !raw.fields.is_empty())
    {
        let message = format!(
            "a file of the format {format} holds numbers of users alone: write csv, jsonl or parquet for a delta or for fields"
        );
        wrong.push(Wrong::new("/to/file/format", message));
    }
    let on_version = raw.run == Some(RawRun::Version);
    let is_live = known.crowds.get(raw.crowd.as_str()).is_some_and(|crowd| crowd.is_live);
    if on_version && is_live {
        let message = format!(
            "the crowd `{}` is live and has no versions: say with `every` how often it is sent",
            raw.crowd
        );
        wrong.push(Wrong::new("/run", message));
    }
    let year = 365 * 24 * HOUR_MS;
    let every_ms = raw
        .every
        .as_deref()
        .and_then(|text| length("every", text, MINUTE_MS..=year, "1m to 365d", wrong));
    let retry_for_ms = match raw.retry_for.as_deref() {
        None => Some(HOUR_MS),
        Some(text) => length("retry_for", text, 1000..=LONGEST_RETRY_MS, "1s to 7d", wrong),
    };
    let priority = raw.priority.unwrap_or(DEFAULT_PRIORITY);
    if priority > 100 {
        wrong.push(Wrong::new("/priority", format!("`priority` is 0 to 100, not {priority}")));
    }
    Some(ActivationDefinition {
        name,
        description: raw.description,
        crowd: crowd?,
        to: to?,
        send,
        id,
        fields,
        unless: unless.into_iter().flatten().collect(),
        consent,
        on_version,
        every_ms,
        priority,
        retry_for_ms: retry_for_ms?,
    })
}

fn crowd(pointer: &str, name: &str, known: &Known<'_>, wrong: &mut Vec<Wrong>) -> Option<Name> {
    if !known.crowd_names.contains(name) {
        let near = did_you_mean(name, known.crowd_names.iter().copied());
        wrong.push(Wrong::new(pointer, format!("there is no crowd `{name}`{near}")));
    }
    Name::new(name).ok()
}

fn tag<'a>(
    pointer: &str,
    name: &str,
    known: &Known<'a>,
    wrong: &mut Vec<Wrong>,
) -> Option<&'a TagDefinition> {
    let tag = known.tags.get(name).filter(|tag| !tag.is_anonymous());
    if tag.is_none() {
        let named = known.tags.values().filter(|tag| !tag.is_anonymous());
        let near = did_you_mean(name, named.map(|tag| tag.name.as_str()));
        wrong.push(Wrong::new(pointer, format!("there is no tag `{name}`{near}")));
    }
    tag
}

fn consent(name: &str, known: &Known<'_>, wrong: &mut Vec<Wrong>) -> Option<Name> {
    let tag = tag("/consent", name, known, wrong)?;
    if tag.value_type != ValueType::Bool {
        let message = format!(
            "`consent` names a tag of type bool, and `{name}` is of type {}",
            tag.value_type
        );
        wrong.push(Wrong::new("/consent", message));
    }
    Some(tag.name.clone())
}

fn fields(
    raw: &BTreeMap<String, String>,
    id: &str,
    known: &Known<'_>,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<String, Name> {
    if raw.len() > MAX_FIELDS {
        wrong.push(Wrong::new("/fields", format!("{} fields, more than {MAX_FIELDS}", raw.len())));
    }
    let mut fields = BTreeMap::new();
    for (column, name) in raw {
        let pointer = format!("/fields/{column}");
        check_column(&pointer, column, wrong);
        if column == id {
            let message = format!("`{column}` is the column of the user ids: choose another name");
            wrong.push(Wrong::new(pointer.as_str(), message));
        }
        if let Some(tag) = tag(&pointer, name, known, wrong) {
            fields.insert(column.clone(), tag.name.clone());
        }
    }
    fields
}

fn check_column(pointer: &str, column: &str, wrong: &mut Vec<Wrong>) {
    let mut bytes = column.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let is_name = begins
        && column.len() <= MAX_COLUMN_BYTES
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        let message = format!(
            "a column's name is a letter or _, then letters, digits or _, {MAX_COLUMN_BYTES} bytes at most, not `{column}`"
        );
        wrong.push(Wrong::new(pointer, message));
    } else if OWN_COLUMNS.contains(&column) {
        let message =
            format!("`{column}` is a column that deliveries have anyway: choose another name");
        wrong.push(Wrong::new(pointer, message));
    }
}

fn length(
    name: &str,
    text: &str,
    may: std::ops::RangeInclusive<i64>,
    shown: &str,
    wrong: &mut Vec<Wrong>,
) -> Option<i64> {
    let pointer = format!("/{name}");
    let ms =
        duration(text).map_err(|message| wrong.push(Wrong::new(pointer.as_str(), message))).ok()?;
    if !may.contains(&ms) {
        wrong.push(Wrong::new(pointer, format!("`{name}` is {shown}, not `{text}`")));
        return None;
    }
    Some(ms)
}

fn destination(raw: &RawDestination, wrong: &mut Vec<Wrong>) -> Option<Destination> {
    let mut within = Vec::new();
    let destination = match raw {
        RawDestination {
            file: Some(file),
            webhook: None,
            redis: None,
            postgresql: None,
            kafka: None,
        } => file_of(file, &mut within).map(Destination::File),
        RawDestination {
            file: None,
            webhook: Some(raw),
            redis: None,
            postgresql: None,
            kafka: None,
        } => {
            if raw.retry_for.is_some() {
                let message = "`retry_for` of an activation stands beside `to`";
                within.push(Wrong::new("/webhook/retry_for", message));
            }
            webhook::check(raw, &mut within).map(Destination::Webhook)
        }
        RawDestination {
            file: None,
            webhook: None,
            redis: Some(raw),
            postgresql: None,
            kafka: None,
        } => redis_of(raw, &mut within).map(Destination::Redis),
        RawDestination {
            file: None,
            webhook: None,
            redis: None,
            postgresql: Some(raw),
            kafka: None,
        } => postgresql_of(raw, &mut within).map(Destination::Postgresql),
        RawDestination {
            file: None,
            webhook: None,
            redis: None,
            postgresql: None,
            kafka: Some(raw),
        } => Some(Destination::Kafka(sink::topic(raw, crate::StartAt::Latest, &mut within))),
        _ => {
            let message =
                "`to` needs one of file, webhook, redis, postgresql and kafka, and that one alone";
            within.push(Wrong::new("", message));
            None
        }
    };
    wrong.extend(
        within.into_iter().map(|wrong| Wrong { pointer: format!("/to{}", wrong.pointer), ..wrong }),
    );
    destination
}

/// A path of plain names, so that it leads nowhere else, on any system.
fn file_of(raw: &RawFile, wrong: &mut Vec<Wrong>) -> Option<FileDestination> {
    let path = raw.path.replace("{version}", "0").replace("{delivery}", "0");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    if raw.path.len() > MAX_PATH_BYTES || !path.split('/').all(is_name) {
        let message = format!(
            "`path` is names with / between them, such as vip/{{version}}.csv: of letters, digits, ., _ and -, none of them beginning with ., {MAX_PATH_BYTES} bytes at most"
        );
        wrong.push(Wrong::new("/file/path", message));
        return None;
    }
    let format = match raw.format {
        Some(RawFileFormat::Csv) | None => "csv",
        Some(RawFileFormat::Jsonl) => "jsonl",
        Some(RawFileFormat::Parquet) => "parquet",
        Some(RawFileFormat::Roaring) => "roaring",
        Some(RawFileFormat::Roaring64) => "roaring64",
    };
    Some(FileDestination { path: raw.path.clone(), format })
}

/// The whole address is a reference: it holds a password, and the operator says which servers can be
/// reached, not whoever writes definitions.
fn check_address(pointer: &str, url: &str, wrong: &mut Vec<Wrong>) {
    match SettingPart::read(SettingOf::Activation, url) {
        Err(e) => wrong.push(Wrong::new(pointer, e.to_string())),
        Ok(parts) if kafka::is_written_out(&parts) => {
            let message = "`url` is not written here: name an environment variable, as ${ACTIVATE_URL}, or a file of the secrets' folder, as ${file:NAME}";
            wrong.push(Wrong::new(pointer, message));
        }
        Ok(_) => {}
    }
}

fn redis_of(raw: &RawRedis, wrong: &mut Vec<Wrong>) -> Option<RedisDestination> {
    let before = wrong.len();
    check_address("/redis/url", &raw.url, wrong);
    if let Some(key) = &raw.key
        && (key.is_empty() || key.len() > 200 || key.chars().any(|c| c.is_control() || c == ' '))
    {
        let message = "`key` has 1 to 200 bytes, no blanks among them";
        wrong.push(Wrong::new("/redis/key", message));
    }
    (wrong.len() == before).then(|| RedisDestination { url: raw.url.clone(), key: raw.key.clone() })
}

fn postgresql_of(raw: &RawPostgresql, wrong: &mut Vec<Wrong>) -> Option<PostgresqlDestination> {
    let before = wrong.len();
    check_address("/postgresql/url", &raw.url, wrong);
    let (schema, table) = match raw.table.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, raw.table.as_str()),
    };
    // Shorter than what PostgreSQL takes: the tables that deliveries are prepared in have longer names.
    let is_name = |part: &str| part.len() <= 40 && Name::new(part).is_ok();
    if !schema.into_iter().chain([table]).all(is_name) {
        let message = format!(
            "`table` is a name or schema.name, each a letter or _, then letters, digits or _, 40 bytes at most, not `{}`",
            raw.table
        );
        wrong.push(Wrong::new("/postgresql/table", message));
    }
    let (url, table) = (raw.url.clone(), table.to_owned());
    (wrong.len() == before).then(|| PostgresqlDestination {
        url,
        schema: schema.map(str::to_owned),
        table,
    })
}
