//! The flags of `serve` and `demo`.

use crate::limits::ServeLimits;
use clap::Args;
use std::path::PathBuf;
use taghouse_api::WebOrigins;

#[derive(Args)]
pub(crate) struct Serve {
    /// The address to listen on
    #[arg(long, env = "TAGHOUSE_LISTEN", default_value = "127.0.0.1:7700")]
    pub(crate) listen: std::net::SocketAddr,
    /// Longest time that a live call waits before it is written to the lake, in seconds. With many
    /// calls waiting it happens sooner
    #[arg(long, env = "TAGHOUSE_LAND_EVERY", value_name = "SECONDS", default_value_t = 10.0, value_parser = positive_seconds)]
    pub(crate) land_every: f64,
    /// How often the values of live tags are compared with those of the batch, for a sample of users,
    /// in seconds. 0: only when asked for
    #[arg(long, env = "TAGHOUSE_PARITY_EVERY", value_name = "SECONDS", default_value_t = 3600.0, value_parser = pause_seconds)]
    pub(crate) parity_every: f64,
    /// Web pages that may send live calls: origins separated by commas, such as https://shop.example.com,https://*.example.com. * allows all, none
    /// allows none
    #[arg(long, env = "TAGHOUSE_WEB_ORIGINS", value_name = "ORIGINS", default_value = "*")]
    pub(crate) web_origins: WebOrigins,
    /// The folder for backups that are requested from other machines. Default: such requests are
    /// refused
    #[arg(long, env = "TAGHOUSE_BACKUP_DIR", value_name = "DIR")]
    pub(crate) backup_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: ServeLimits,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Number of users
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) users: u32,
    /// Number of events, over 180 days
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub(crate) events: u64,
    /// The seed of the random data: the same seed gives the same shop
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Exit after printing the results, without serving
    #[arg(long)]
    pub(crate) exit: bool,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

fn pause_seconds(text: &str) -> Result<f64, String> {
    const WEEK: f64 = 604_800.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds == 0.0 || (1.0..=WEEK).contains(&seconds) => Ok(seconds),
        _ => Err(format!("a number of seconds from 1 to {WEEK}, or 0")),
    }
}

pub(crate) fn positive_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("a number of seconds over 0, at most 3600".to_owned()),
    }
}
