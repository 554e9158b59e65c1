//! Finds the file, reads it, and says all that is wrong with it.

use super::keys::{self, Key};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use taghouse_rules::did_you_mean;
use toml_edit::{Document, Item, TableLike};

/// Its name where none is given.
pub(crate) const NAME: &str = "taghouse.toml";

/// A file that was read and found right.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// By table and name, as they would stand on the command line.
    values: BTreeMap<(Option<&'static str>, String), OsString>,
}

impl File {
    /// The file named, else that of the working folder, else that of the data folder.
    pub(crate) fn find(named: Option<&Path>, data: &Path) -> Result<Option<Self>> {
        if let Some(named) = named {
            return Self::read(named).map(Some);
        }
        let (here, there) = (PathBuf::from(NAME), data.join(NAME));
        if here.try_exists().unwrap_or(true) {
            return Self::read(&here).map(Some);
        }
        if !there.try_exists().with_context(|| format!("looking for {}", there.display()))? {
            return Ok(None);
        }
        let file = Self::read(&there)?;
        if file.value(None, "data").is_some() {
            bail!(
                "{}: `data` cannot stand in the file of a data folder, which says where that folder is itself",
                there.display()
            );
        }
        Ok(Some(file))
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the configuration file {}", path.display()))?;
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let mut reading = Reading {
            text,
            folder: path.parent().unwrap_or(Path::new("")),
            values: BTreeMap::new(),
            wrong: Vec::new(),
        };
        match Document::parse(text) {
            Ok(document) => reading.top(document.as_table()),
            Err(error) => {
                reading.complain(error.span().map_or(0, |span| span.start), error.message().trim())
            }
        }
        let Reading { values, mut wrong, .. } = reading;
        wrong.sort_by_key(|(line, _)| *line);
        let wrong: Vec<String> = wrong
            .into_iter()
            .map(|(line, what)| format!("{}:{line}: {what}", path.display()))
            .collect();
        if wrong.is_empty() {
            Ok(Self { path: path.to_owned(), values })
        } else {
            bail!("{}", wrong.join("\n"))
        }
    }

    pub(crate) fn value(&self, table: Option<&str>, name: &str) -> Option<&OsStr> {
        self.values
            .iter()
            .find(|((its_table, its_name), _)| *its_table == table && its_name == name)
            .map(|(_, value)| value.as_os_str())
    }
}

struct Reading<'a> {
    text: &'a str,
    /// What relative paths begin at.
    folder: &'a Path,
    values: BTreeMap<(Option<&'static str>, String), OsString>,
    /// With the lines.
    wrong: Vec<(usize, String)>,
}

impl Reading<'_> {
    fn top(&mut self, top: &dyn TableLike) {
        let keys = keys::all();
        for (name, item) in top.iter() {
            match item.as_table_like() {
                Some(table) if name == keys::TABLE => {
                    table.iter().for_each(|(name, item)| {
                        self.entry(&keys, Some(keys::TABLE), table, name, item)
                    });
                }
                _ => self.entry(&keys, None, top, name, item),
            }
        }
    }

    fn entry(
        &mut self,
        keys: &[Key],
        table: Option<&'static str>,
        within: &dyn TableLike,
        name: &str,
        item: &Item,
    ) {
        let at = within
            .key(name)
            .and_then(toml_edit::Key::span)
            .or_else(|| item.span())
            .map_or(0, |span| span.start);
        match keys.iter().find(|key| key.table == table && key.name == name) {
            Some(key) => match value(key, item, self.folder) {
                Ok(value) => _ = self.values.insert((table, name.to_owned()), value),
                Err(wrong) => self.complain(at, &wrong),
            },
            None => self.complain(at, &unknown(keys, table, name, item)),
        }
    }

    fn complain(&mut self, at: usize, what: &str) {
        let line = self.text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        self.wrong.push((line, what.to_owned()));
    }
}

/// The value as it would stand on the command line, if the flag takes it.
fn value(key: &Key, item: &Item, folder: &Path) -> Result<OsString, String> {
    let path = key.path();
    let text = key.kind.text(item).ok_or_else(|| {
        let hint = if item.is_table_like() {
            "; what `taghouse serve` takes stands in the table [serve]"
        } else {
            ""
        };
        format!("`{path}` takes {}, not {}{hint}", key.kind.what(), kind_of(item))
    })?;
    if key.kind == keys::KeyKind::Flag {
        return Ok(text.into());
    }
    let alone = clap::Command::new("file").no_binary_name(true).arg(key.argument.clone());
    alone.try_get_matches_from([format!("{}={text}", key.flag())]).map_err(|error| {
        let why = error.source().map(ToString::to_string);
        let why = why.unwrap_or_else(|| {
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned()
        });
        if key.is_secret() {
            format!("`{path}`: {why}")
        } else {
            format!("`{path}` is {}: {why}", item.to_string().trim())
        }
    })?;
    Ok(if key.kind == keys::KeyKind::Path { folder.join(text).into() } else { text.into() })
}

fn kind_of(item: &Item) -> &'static str {
    match item.type_name() {
        "string" => "a text",
        "integer" => "a whole number",
        "float" => "a number with a fraction",
        "boolean" => "true or false",
        "array" => "a list",
        "datetime" => "a time",
        _ => "a table",
    }
}

fn unknown(keys: &[Key], table: Option<&str>, name: &str, item: &Item) -> String {
    if table.is_none() && item.is_table_like() {
        return format!("unknown table [{name}]{}", did_you_mean(name, [keys::TABLE]));
    }
    let place = table.map_or_else(|| "at the top".to_owned(), |table| format!("in [{table}]"));
    if let Some(elsewhere) = keys.iter().find(|key| key.name == name) {
        let right = elsewhere.table.map_or_else(
            || "before the first table".to_owned(),
            |table| format!("in the table [{table}]"),
        );
        return format!("unknown key `{name}` {place}: it stands {right}");
    }
    let near = keys.iter().filter(|key| key.table == table).map(|key| key.name.as_str());
    let far = keys.iter().map(|key| key.name.as_str());
    let mut meant = did_you_mean(name, near);
    if meant.is_empty() {
        meant = did_you_mean(name, far);
    }
    format!("unknown key `{name}` {place}{meant}")
}
