//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Tags and audiences: events in, tags, crowds and judgments out.
#[derive(Parser)]
#[command(name = "taghouse", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the data is and how to reach it.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// The data folder. Where a server holds it, the command goes through that server
    #[arg(long, global = true, env = "TAGHOUSE_DATA", default_value = "taghouse-data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The app. May be left out where the data folder holds just one
    #[arg(long, global = true, env = "TAGHOUSE_APP", value_name = "ID")]
    pub(crate) app: Option<String>,
    /// A server on another machine, such as https://tags.example.com, instead of a data folder
    #[arg(long, global = true, env = "TAGHOUSE_SERVER", value_name = "URL", requires = "key")]
    pub(crate) server: Option<String>,
    /// The API key for --server
    #[arg(long, global = true, env = "TAGHOUSE_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API on the data folder until Ctrl-C
    Serve(Serve),
    /// Generate a shop, run the whole pipeline on it, and serve
    Demo(Demo),
    /// Apply definitions: all files of a folder, or none if any is refused
    Apply(Apply),
    /// Print the JSON Schema of definition files, for editors
    Schema,
    /// Ingest files of a source into the lake
    Ingest(Ingest),
    /// Produce all tags and crowds as of a time
    Produce(Produce),
    /// List tags, or the values of one
    Tags {
        /// A tag, to list its most frequent values
        tag: Option<String>,
    },
    /// List crowds, or the versions of one
    Crowds {
        /// A crowd, to list its versions
        crowd: Option<String>,
    },
    /// Count the users for whom an expression holds
    Count {
        /// Such as 'country == "France" && orders_30d >= 2'
        expression: String,
    },
    /// Show some users for whom an expression holds
    Sample {
        /// Such as 'orders_30d >= 2'
        expression: String,
        /// How many
        #[arg(long, default_value_t = 10)]
        size: u32,
        /// Another seed, another sample
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Write the members of a crowd to a file or standard output
    Export(Export),
    /// Tell whether a user is in a crowd
    Judge {
        /// The user id
        user: String,
        /// The crowd
        crowd: String,
    },
    /// Show all tag values of a user
    Profile {
        /// The user id
        user: String,
    },
    /// List, make and revoke API keys
    Keys {
        #[command(subcommand)]
        action: Option<KeyAction>,
    },
    /// List the last runs
    Runs,
}

#[derive(Args)]
pub(crate) struct Serve {
    /// The address to listen on
    #[arg(long, env = "TAGHOUSE_LISTEN", default_value = "127.0.0.1:7700")]
    pub(crate) listen: std::net::SocketAddr,
    /// Seconds between landings of live calls in the lake
    #[arg(long, default_value_t = 2.0, value_parser = positive_seconds)]
    pub(crate) land_every: f64,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Users of the shop
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) users: u32,
    /// Events over 180 days
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub(crate) events: u64,
    /// Another seed, another shop
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// End after the printing, do not serve
    #[arg(long)]
    pub(crate) exit: bool,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Args)]
pub(crate) struct Apply {
    /// A folder of .yaml files (subfolders too), or one file; may be given several times
    #[arg(short = 'f', long = "file", value_name = "DIR", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Only say what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete sources, tags and crowds that the files do not name
    #[arg(long)]
    pub(crate) prune: bool,
}

#[derive(Args)]
pub(crate) struct Ingest {
    /// The source whose definition maps the files. May be left out where only one source reads files
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Files, or folders whose files the source's pattern picks
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Go on however large the share of rejected rows is
    #[arg(long)]
    pub(crate) allow_rejects: bool,
}

#[derive(Args)]
pub(crate) struct Produce {
    /// Such as 2026-07-01T00:00, in the app's time zone; events before it count. Default: now
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
    /// Only these tags and what is computed from them; may be given several times
    #[arg(long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Export {
    /// The crowd
    pub(crate) crowd: String,
    /// How members are written
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    pub(crate) format: ExportFormat,
    /// A file; default: standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// An older version that is still kept
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
}

#[derive(ValueEnum, Clone, Copy)]
pub(crate) enum ExportFormat {
    Csv,
    Jsonl,
    Parquet,
    Roaring,
}

#[derive(Subcommand)]
pub(crate) enum KeyAction {
    /// List keys
    List,
    /// Make a key and print its secret this once
    Create {
        /// admin, editor, viewer, write or judge
        #[arg(long)]
        role: String,
        /// For people
        #[arg(long, default_value = "")]
        note: String,
        /// A key for every app, where --app is not given
        #[arg(long)]
        all_apps: bool,
    },
    /// Revoke a key
    Revoke {
        /// Its id, from the list
        id: String,
    },
}

fn positive_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("a number of seconds over 0, at most 3600".to_owned()),
    }
}
