//! The flags of the commands that describe groups of users.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Group {
    /// The tag whose values are the rows
    pub(crate) rows: String,
    /// The tag whose values are the columns
    pub(crate) columns: String,
    /// Only count users who match this expression, such as 'crowd("big_spenders")'
    pub(crate) expression: Option<String>,
    /// Number of rows: values or buckets of the first tag, at most 1,000
    #[arg(long = "rows", default_value_t = 10, value_name = "N", id = "row_limit")]
    pub(crate) row_limit: usize,
    /// Number of columns: values or buckets of the second tag, at most 1,000
    #[arg(long = "columns", default_value_t = 10, value_name = "N", id = "column_limit")]
    pub(crate) column_limit: usize,
    /// Divide numbers into buckets of equal width, instead of buckets with equally many users
    #[arg(long)]
    pub(crate) equal_widths: bool,
}

#[derive(Args)]
pub(crate) struct Histogram {
    /// An int, decimal or date tag
    pub(crate) tag: String,
    /// Only count users who match this expression, such as 'crowd("big_spenders")'
    pub(crate) expression: Option<String>,
    /// Number of bins, at most 1,000. Default: 20
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
    /// Expressions, such as 'crowd("big_spenders")' or 'country == "DE"', at most 1,000
    #[arg(required_unless_present = "file")]
    pub(crate) items: Vec<String>,
    /// A file with more expressions, one per line. - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Show the Jaccard index (users in both divided by users in either) instead of the count
    #[arg(long)]
    pub(crate) jaccard: bool,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// The users to compare, such as 'crowd("big_spenders")'
    pub(crate) crowd: String,
    /// A tag to compare by. Can be repeated
    #[arg(long = "tag", required = true, value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// The baseline, such as 'country == "DE"'. Default: all users
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) base: Option<String>,
    /// Leave out values that fewer users of the baseline have
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) min_users: u64,
    /// The order of the values
    #[arg(long, value_enum, default_value_t = CompareOrder::Significance)]
    pub(crate) order: CompareOrder,
    /// Number of values, at most 10,000
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(Args)]
pub(crate) struct Effect {
    /// The crowd, which has a split
    pub(crate) crowd: String,
    /// The tag whose means are compared: int, decimal or bool. Of who has no value it is 0
    #[arg(long, value_name = "TAG")]
    pub(crate) metric: String,
    /// A tag from before the arms were treated differently, by which the metric is corrected
    #[arg(long, value_name = "TAG")]
    pub(crate) before: Option<String>,
    /// Only members who match this, such as those who saw what they were to see
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) exposed: Option<String>,
    /// The arm that the others are compared with. Default: the first
    #[arg(long, value_name = "ARM")]
    pub(crate) control: Option<String>,
}

#[derive(Args)]
pub(crate) struct Lookalike {
    /// Whom others are to be like, such as 'crowd("big_spenders")'
    pub(crate) crowd: String,
    /// A tag by whose values they are alike. Can be repeated
    #[arg(long = "tag", required = true, value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// Of whom others are looked for, such as 'country == "DE"'. Default: all users
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) among: Option<String>,
    /// Number of values to show
    #[arg(long, default_value_t = 10)]
    pub(crate) limit: usize,
}

#[derive(ValueEnum, Clone, Copy)]
pub(crate) enum CompareOrder {
    /// The most significant difference first, above or below the baseline
    Significance,
    /// The highest index first
    Index,
}
