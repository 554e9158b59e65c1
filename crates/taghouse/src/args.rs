//! The command line.

use crate::configuration::ConfigAction;
use crate::limits::ServeLimits;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use taghouse_api::WebOrigins;

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
    #[arg(
        long,
        global = true,
        env = "TAGHOUSE_DATA",
        default_value = "taghouse-data",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,
    /// The app. May be left out where the data folder holds just one
    #[arg(long, global = true, env = "TAGHOUSE_APP", value_name = "ID")]
    pub(crate) app: Option<String>,
    /// A server on another machine, such as https://tags.example.com, instead of a data folder
    #[arg(long, global = true, env = "TAGHOUSE_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The API key for --server
    #[arg(long, global = true, env = "TAGHOUSE_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Seconds that the query of an sql tag may take; the command, or the server, that does the
    /// work counts them
    #[arg(long, global = true, env = "TAGHOUSE_QUERY_SECONDS", default_value_t = 300.0, value_parser = positive_seconds)]
    pub(crate) query_seconds: f64,
    /// What is told on standard error: error, warn, info, debug or trace; by part too, such as
    /// warn,taghouse_ingest=debug
    #[arg(long, global = true, env = "TAGHOUSE_LOG", default_value = "warn", value_name = "FILTER", value_parser = log_filter)]
    pub(crate) log: String,
    /// The configuration file. Default: taghouse.toml in the working folder, else in the data
    /// folder
    #[arg(long, global = true, env = "TAGHOUSE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
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
    /// Show the configuration in effect, or write a configuration file
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print what completes commands and flags in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands
    Man {
        /// A folder to write taghouse.1, taghouse-serve.1 and so on to
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Propose the definition of a source from a file: save what it prints, read it through, apply
    /// it
    Inspect {
        /// A CSV, JSONL or Parquet file
        file: PathBuf,
        /// The source's name. Default: the file's
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Ingest files of a source into the lake
    Ingest(Ingest),
    /// List the sources: when rows landed last, how many, and what share was rejected
    Sources,
    /// List the files that landed, newest first
    Files(Files),
    /// List rejected rows, newest first, and what is wrong with each
    Rejected(Rejected),
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
        /// Such as 'country == "France" && orders_30d >= 2'; @FILE reads it from a file, as text
        /// or as a JSON tree
        expression: String,
        /// Refuse to count over tags that were not produced as of one time
        #[arg(long)]
        strict_as_of: bool,
    },
    /// List the users for whom an expression holds, page by page
    List {
        /// Such as 'orders_30d >= 2'
        expression: String,
        /// How many users a page has, up to 10,000
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// The cursor that the page before ended with
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Show the values of a tag that most users have, of a crowd or of all
    Top {
        /// The tag
        tag: String,
        /// Only among the users for whom this holds, such as 'crowd("big_spenders")'
        expression: Option<String>,
        /// How many values, up to 10,000
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Count users by the values of two tags
    Group(Group),
    /// Show how a number is distributed: bins, sum, average, quantiles
    Histogram(Histogram),
    /// Count the users that crowds, values and other expressions share
    Overlap(Overlap),
    /// Compare a crowd with a baseline: an index (100 = the same share) with its 95% interval
    Compare(Compare),
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
    /// Change a user's value of a tag now
    Change(Change),
    /// Delete users from all tags, crowds and the dictionary, and print the receipt
    Delete {
        /// User ids
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Let users expire and renumber all others without gaps
    Compact {
        /// Users for whom it holds expire, such as 'last_seen < "2025-10-01"'
        #[arg(long, value_name = "EXPRESSION")]
        expire: Option<String>,
    },
    /// Write a backup of the whole data folder, while it is served or not
    Backup {
        /// The folder to make, best on another disk; with --server: a name below its --backup-dir
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Make a data folder of a backup: --data says where, and must be empty or not there yet
    Restore {
        /// The folder of the backup
        #[arg(value_name = "DIR")]
        backup: PathBuf,
    },
    /// List, make and revoke API keys
    Keys {
        #[command(subcommand)]
        action: Option<KeyAction>,
    },
    /// List the last runs
    Runs,
    /// Show who did what: the audit trail, newest first
    Audit(Audit),
}

#[derive(Args)]
pub(crate) struct Serve {
    /// The address to listen on
    #[arg(long, env = "TAGHOUSE_LISTEN", default_value = "127.0.0.1:7700")]
    pub(crate) listen: std::net::SocketAddr,
    /// Seconds that a live call waits at most to land in the lake; sooner when many wait
    #[arg(long, env = "TAGHOUSE_LAND_EVERY", value_name = "SECONDS", default_value_t = 10.0, value_parser = positive_seconds)]
    pub(crate) land_every: f64,
    /// Origins of web pages that may send live calls, by comma, such as https://shop.example.com,https://*.example.com; * is every one, none is
    /// none
    #[arg(long, env = "TAGHOUSE_WEB_ORIGINS", value_name = "ORIGINS", default_value = "*")]
    pub(crate) web_origins: WebOrigins,
    /// The folder in which callers on other machines may have backups written. Default: they may
    /// not
    #[arg(long, env = "TAGHOUSE_BACKUP_DIR", value_name = "DIR")]
    pub(crate) backup_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: ServeLimits,
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
    /// With --prune: also where the files name none of them, so that all are deleted
    #[arg(long, requires = "prune")]
    pub(crate) all: bool,
}

#[derive(Args)]
pub(crate) struct Ingest {
    /// The source whose definition maps the files. May be left out where only one source reads
    /// files
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Files, or folders whose files the source's pattern picks
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Go on however large the share of rejected rows is
    #[arg(long)]
    pub(crate) allow_rejects: bool,
    /// Read files again that have landed, such as after a change of the source: the rows that they
    /// brought go, and new ones come, at once
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Args)]
pub(crate) struct Files {
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// How many files, up to 1,000
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// The cursor that the page before ended with
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

#[derive(Args)]
pub(crate) struct Rejected {
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only with this reason, such as bad_type
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only of this file
    #[arg(long, value_name = "NAME")]
    pub(crate) file: Option<String>,
    /// How many rows, up to 1,000
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// The cursor that the page before ended with
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
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
pub(crate) struct Group {
    /// The tag of the rows
    pub(crate) rows: String,
    /// The tag of the columns
    pub(crate) columns: String,
    /// Only among the users for whom this holds, such as 'crowd("big_spenders")'
    pub(crate) expression: Option<String>,
    /// So many values or buckets of the first tag, up to 1,000
    #[arg(long = "rows", default_value_t = 10, value_name = "N", id = "row_limit")]
    pub(crate) row_limit: usize,
    /// So many of the second
    #[arg(long = "columns", default_value_t = 10, value_name = "N", id = "column_limit")]
    pub(crate) column_limit: usize,
    /// Cut numbers in buckets as wide as one another, not in such of as many users
    #[arg(long)]
    pub(crate) equal_widths: bool,
}

#[derive(Args)]
pub(crate) struct Histogram {
    /// An int, decimal or date tag
    pub(crate) tag: String,
    /// Only among the users for whom this holds, such as 'crowd("big_spenders")'
    pub(crate) expression: Option<String>,
    /// So many bins, up to 1,000. Default: 20
    #[arg(long, conflicts_with = "edges")]
    pub(crate) bins: Option<usize>,
    /// The edges of the bins, ascending, such as 0,10,100
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_name = "NUMBER,…")]
    pub(crate) edges: Vec<String>,
    /// Such as 0.5,0.9. Default: p1, p5, p25, p50, p75, p95, p99
    #[arg(long, value_delimiter = ',', value_name = "QUANTILE,…")]
    pub(crate) quantiles: Vec<f64>,
}

#[derive(Args)]
pub(crate) struct Overlap {
    /// Each a crowd, a value or another expression, such as 'crowd("big_spenders")' or 'country ==
    /// "DE"'; up to 1,000
    #[arg(required_unless_present = "file")]
    pub(crate) items: Vec<String>,
    /// A file with one more on each line; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Show the users in both by the users in either, instead of their number
    #[arg(long)]
    pub(crate) jaccard: bool,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// The crowd, such as 'crowd("big_spenders")'
    pub(crate) crowd: String,
    /// A tag to compare by; may be given several times
    #[arg(long = "tag", required = true, value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// The base, such as 'country == "DE"'. Default: all users
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) base: Option<String>,
    /// Leave out values that fewer users of the base have
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) min_users: u64,
    /// What comes first
    #[arg(long, value_enum, default_value_t = CompareOrder::Significance)]
    pub(crate) order: CompareOrder,
    /// How many values, up to 10,000
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(ValueEnum, Clone, Copy)]
pub(crate) enum CompareOrder {
    /// What differs most surely from the base, above or below
    Significance,
    /// The highest index
    Index,
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

#[derive(Args)]
pub(crate) struct Change {
    /// The user id
    pub(crate) user: String,
    /// The tag
    pub(crate) tag: String,
    /// The new value; for a set its members, by comma
    #[arg(required_unless_present_any = ["unset", "add", "remove"], conflicts_with_all = ["unset", "add", "remove"])]
    pub(crate) value: Option<String>,
    /// No value any more
    #[arg(long, visible_alias = "clear", conflicts_with_all = ["add", "remove"])]
    pub(crate) unset: bool,
    /// One more member of a set
    #[arg(long, value_name = "MEMBER", conflicts_with = "remove")]
    pub(crate) add: Option<String>,
    /// One member less
    #[arg(long, value_name = "MEMBER")]
    pub(crate) remove: Option<String>,
    /// Make a new user of an id that was never seen
    #[arg(long)]
    pub(crate) create: bool,
}

#[derive(Args)]
pub(crate) struct Audit {
    /// Only this action: definitions.apply, key, ingest, upload, produce, change, delete, compact,
    /// export or cancel
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only of this key; local is this machine's command line
    #[arg(long, value_name = "KEY-ID")]
    pub(crate) actor: Option<String>,
    /// Such as 2026-07-01T00:00, in the app's time zone
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// How many lines, up to 1,000
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
    /// Only lines before the one of this id, for the next page
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<u64>,
    /// What concerns every app, where --app is not given
    #[arg(long, conflicts_with = "app")]
    pub(crate) all_apps: bool,
}

#[derive(ValueEnum, Clone, Copy)]
pub(crate) enum ExportFormat {
    Csv,
    Jsonl,
    Parquet,
    Roaring,
    Roaring64,
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

pub(crate) fn positive_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("a number of seconds over 0, at most 3600".to_owned()),
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}
