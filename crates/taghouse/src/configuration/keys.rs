//! The keys of the file, derived from the command line: a flag of every command is a key at the
//! top, a flag of `serve` is a key of `[serve]`.

use crate::args::Cli;
use clap::{Arg, ArgAction, CommandFactory};
use std::any::TypeId;
use std::path::PathBuf;
use taghouse_api::WebOrigins;
use taghouse_webhook::Networks;
use toml_edit::{Item, Value};

/// The one table, and the command whose flags stand in it.
pub(crate) const TABLE: &str = "serve";

/// Flags that only make sense for a single call.
pub(crate) const OF_ONE_CALL: [&str; 2] = ["config", "json"];

/// A key of the file.
pub(crate) struct Key {
    /// `None` is the top.
    pub(crate) table: Option<&'static str>,
    pub(crate) name: String,
    pub(crate) kind: KeyKind,
    pub(crate) argument: Arg,
}

/// How a value is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Text,
    /// Relative to the file.
    Path,
    Integer,
    Number,
    /// A number of bytes, or a text such as `64GiB`.
    Size,
    /// A list of texts, or one text with commas.
    List,
    Flag,
}

/// All keys, in the order of `--help`.
pub(crate) fn all() -> Vec<Key> {
    let command = Cli::command();
    let of = |table, command: &clap::Command| -> Vec<Key> {
        let flags = command.get_arguments().filter(|argument| !argument.is_positional());
        let kept = flags.filter(|argument| !OF_ONE_CALL.contains(&argument.get_id().as_str()));
        kept.map(|argument| Key::of(table, argument)).collect()
    };
    let mut keys = of(None, &command);
    keys.extend(
        command.find_subcommand(TABLE).into_iter().flat_map(|serve| of(Some(TABLE), serve)),
    );
    keys
}

impl Key {
    fn of(table: Option<&'static str>, argument: &Arg) -> Self {
        let name = argument.get_id().as_str().to_owned();
        Self { table, name, kind: KeyKind::of(argument), argument: argument.clone() }
    }

    /// `serve.listen`
    pub(crate) fn path(&self) -> String {
        self.table.map_or_else(|| self.name.clone(), |table| format!("{table}.{}", self.name))
    }

    /// `--listen`
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.argument.get_long().unwrap_or(&self.name))
    }

    /// Whether nobody is shown the value.
    pub(crate) fn is_secret(&self) -> bool {
        self.argument.is_hide_env_values_set()
    }
}

impl KeyKind {
    fn of(argument: &Arg) -> Self {
        if !argument.get_action().takes_values()
            || matches!(argument.get_action(), ArgAction::SetTrue)
        {
            return Self::Flag;
        }
        let value_type = argument.get_value_parser().type_id();
        let sized = argument
            .get_value_names()
            .is_some_and(|names| names.iter().any(|name| name == "BYTES"));
        let lists = [TypeId::of::<WebOrigins>(), TypeId::of::<Networks>()];
        let integers =
            [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
        match () {
            () if sized => Self::Size,
            () if value_type == TypeId::of::<PathBuf>() => Self::Path,
            () if lists.into_iter().any(|list| value_type == list) => Self::List,
            () if value_type == TypeId::of::<f64>() => Self::Number,
            () if integers.into_iter().any(|integer| value_type == integer) => Self::Integer,
            () => Self::Text,
        }
    }

    /// What stands in the file as it would stand on the command line; `None` if it is of another
    /// kind.
    pub(crate) fn text(self, item: &Item) -> Option<String> {
        let text = || item.as_str().map(str::to_owned);
        let integer = || item.as_integer().map(|integer| integer.to_string());
        match self {
            Self::Text | Self::Path => text(),
            Self::Integer => integer(),
            Self::Number => integer().or_else(|| item.as_float().map(|number| number.to_string())),
            Self::Size => integer().or_else(text),
            Self::List => text().or_else(|| {
                let texts: Option<Vec<&str>> = item.as_array()?.iter().map(Value::as_str).collect();
                Some(texts?.join(","))
            }),
            Self::Flag => item.as_bool().map(|flag| flag.to_string()),
        }
    }

    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Path => "a path in quotes",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Size => "a number of bytes, or a text such as \"64GiB\"",
            Self::List => "a list of texts",
            Self::Flag => "true or false",
        }
    }
}
