//! The flags of `taghouse import`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Import {
    /// The crowd
    pub(crate) crowd: String,
    /// The file. Default: the one of the crowd's link, which the server fetches, and imports if it is
    /// another than the last
    pub(crate) file: Option<PathBuf>,
    /// What becomes of those who are in the crowd
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: ImportTo,
    /// The column of the ids, by its name or its number from 1. Default: that of the definition; else
    /// it is looked for
    #[arg(long, value_name = "COLUMN", requires = "file")]
    pub(crate) column: Option<String>,
    /// The first row names the columns
    #[arg(long, conflicts_with = "no_header", requires = "file")]
    pub(crate) header: bool,
    /// The first row is a user's. Default: it is a header if it has a name that columns of ids have
    #[arg(long, requires = "file")]
    pub(crate) no_header: bool,
    /// A name by which you know the file: a file of this name is imported once
    #[arg(long, value_name = "NAME", requires = "file")]
    pub(crate) batch: Option<String>,
}

/// What an import does to those who are in the crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ImportTo {
    /// The users of the file are in it, and nobody else
    #[default]
    Replace,
    /// They are in it besides
    Append,
    /// They are not in it any more
    Remove,
}
