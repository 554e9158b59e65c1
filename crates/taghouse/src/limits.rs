//! The limits of a server for its callers: flags of `serve`.

use crate::args::positive_seconds;
use crate::listen::Patience;
use anyhow::{Result, bail};
use clap::Args;
use std::time::Duration;
use taghouse_api::{Limits, UploadLimits};
use taghouse_catalog::KeyRate;
use taghouse_engine::AuditLimits;
use taghouse_feed::Retention;

#[derive(Args)]
#[command(next_help_heading = "Limits of the server")]
pub(crate) struct ServeLimits {
    /// Maximum number of open connections. Beyond it, the connection that has been idle longest is
    /// closed for a new one. Default: half of the process's limit of open files, at most 10,000
    #[arg(long, env = "TAGHOUSE_MAX_CONNECTIONS", value_name = "N")]
    pub(crate) max_connections: Option<u64>,
    /// Maximum time for receiving the head of a request, in seconds
    #[arg(long, env = "TAGHOUSE_HEAD_TIMEOUT", value_name = "SECONDS", default_value_t = 10.0, value_parser = positive_seconds)]
    head_timeout: f64,
    /// Maximum time between two parts of a request's body, in seconds
    #[arg(long, env = "TAGHOUSE_BODY_TIMEOUT", value_name = "SECONDS", default_value_t = 30.0, value_parser = positive_seconds)]
    body_timeout: f64,
    /// Time after which a connection without a request is closed, in seconds
    #[arg(long, env = "TAGHOUSE_IDLE_TIMEOUT", value_name = "SECONDS", default_value_t = 75.0, value_parser = positive_seconds)]
    idle_timeout: f64,
    /// Maximum time that an answer waits for a caller who does not read it, in seconds
    #[arg(long, env = "TAGHOUSE_WRITE_TIMEOUT", value_name = "SECONDS", default_value_t = 30.0, value_parser = positive_seconds)]
    write_timeout: f64,
    /// Concurrent questions per API key. Further ones are answered 429
    #[arg(long, env = "TAGHOUSE_QUESTIONS_PER_KEY", value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    questions_per_key: usize,
    /// Concurrent judgments and profiles per API key
    #[arg(long, env = "TAGHOUSE_JUDGMENTS_PER_KEY", value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    judgments_per_key: usize,
    /// Concurrent tracking calls, changes and deletions per API key
    #[arg(long, env = "TAGHOUSE_CALLS_PER_KEY", value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    calls_per_key: usize,
    /// Concurrent readers of the change feed per API key
    #[arg(long, env = "TAGHOUSE_SUBSCRIBERS_PER_KEY", value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    subscribers_per_key: usize,
    /// Requests per second of each API key that was created without --requests-per-second. Further ones
    /// are answered 429. Default: no limit
    #[arg(long, env = "TAGHOUSE_REQUESTS_PER_SECOND", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests_per_second: Option<u32>,
    /// Requests that such a key may make at once after a pause. Default: as many as per second
    #[arg(long, env = "TAGHOUSE_REQUEST_BURST", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    request_burst: Option<u32>,
    /// Concurrent readers of the events of flags per API key: each page that is open is one
    #[arg(long, env = "TAGHOUSE_FLAG_EVENTS_PER_KEY", value_name = "N", default_value_t = 1000, value_parser = at_least_one)]
    flag_events_per_key: usize,
    /// Maximum age of answers, in seconds. Beyond it, `/readyz` fails: the catalog has not answered
    /// for so long, or live tags are behind
    #[arg(long, env = "TAGHOUSE_MAX_STALE", value_name = "SECONDS", default_value_t = 60.0, value_parser = positive_seconds)]
    max_stale: f64,
    /// Days for which the records of the change feed are kept
    #[arg(long, env = "TAGHOUSE_FEED_DAYS", value_name = "DAYS", default_value_t = 7.0, value_parser = feed_days)]
    feed_days: f64,
    /// Maximum size of the change feed of one app. Beyond it, the oldest records are removed
    #[arg(long, env = "TAGHOUSE_FEED_BYTES", value_name = "BYTES", default_value = "1GiB", value_parser = feed_bytes)]
    feed_bytes: u64,
    /// Maximum size of all uploads that are not ingested yet
    #[arg(long, env = "TAGHOUSE_UPLOAD_BYTES", value_name = "BYTES", default_value = "256GiB", value_parser = bytes)]
    upload_bytes: u64,
    /// Maximum size of the uploads of one app that are not ingested yet
    #[arg(long, env = "TAGHOUSE_UPLOAD_BYTES_PER_APP", value_name = "BYTES", default_value = "64GiB", value_parser = bytes)]
    upload_bytes_per_app: u64,
    /// Maximum number of uploads per app that are not ingested yet
    #[arg(long, env = "TAGHOUSE_UPLOADS_PER_APP", value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    uploads_per_app: usize,
    /// Maximum number of files per upload
    #[arg(long, env = "TAGHOUSE_UPLOAD_FILES", value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    upload_files: usize,
    /// Hours after which an abandoned upload is removed: nothing was sent to it, and nobody
    /// ingested it
    #[arg(long, env = "TAGHOUSE_UPLOAD_HOURS", value_name = "HOURS", default_value_t = 24.0, value_parser = hours)]
    upload_hours: f64,
    /// Days for which the audit trail is kept
    #[arg(long, env = "TAGHOUSE_AUDIT_DAYS", value_name = "DAYS", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    audit_days: u32,
    /// Maximum number of lines in the audit trail
    #[arg(long, env = "TAGHOUSE_AUDIT_LINES", value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    audit_lines: u64,
}

impl ServeLimits {
    /// # Errors
    /// A flag that only counts together with another.
    pub(crate) fn for_callers(&self) -> Result<Limits> {
        if self.request_burst.is_some() && self.requests_per_second.is_none() {
            bail!("--request-burst is of --requests-per-second: give that, too");
        }
        Ok(Limits {
            questions_per_key: self.questions_per_key,
            judgments_per_key: self.judgments_per_key,
            calls_per_key: self.calls_per_key,
            subscribers_per_key: self.subscribers_per_key,
            requests_per_key: self.requests_per_second.map(|per_second| KeyRate {
                per_second,
                burst: self.request_burst.unwrap_or(per_second),
            }),
            feed_bytes: self.feed_bytes,
            flag_events_per_key: self.flag_events_per_key,
            max_stale: Duration::from_secs_f64(self.max_stale),
            uploads: UploadLimits {
                bytes: self.upload_bytes,
                bytes_per_app: self.upload_bytes_per_app,
                uploads_per_app: self.uploads_per_app,
                files: self.upload_files,
                age: Duration::from_secs_f64(self.upload_hours * 3600.0),
            },
            audit: AuditLimits { days: self.audit_days, lines: self.audit_lines },
        })
    }

    /// How much of the change feeds is kept.
    pub(crate) fn feed(&self) -> Retention {
        let age_ms = (self.feed_days * 86_400_000.0) as i64;
        Retention { age_ms, bytes: self.feed_bytes }
    }

    /// The interval of the search for abandoned uploads: a quarter of their age limit.
    pub(crate) fn sweep_every(&self) -> Duration {
        Duration::from_secs_f64((self.upload_hours * 900.0).max(0.1))
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience {
            head: Duration::from_secs_f64(self.head_timeout),
            body: Duration::from_secs_f64(self.body_timeout),
            idle: Duration::from_secs_f64(self.idle_timeout),
            write: Duration::from_secs_f64(self.write_timeout),
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    // More than any machine has, and less than what a semaphore holds.
    text.parse()
        .ok()
        .filter(|number| (1..=1_000_000).contains(number))
        .ok_or_else(|| "a whole number from 1 to 1000000".to_owned())
}

fn hours(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|hours| *hours > 0.0 && *hours <= 87_600.0)
        .ok_or_else(|| "a number of hours over 0, at most 87600".to_owned())
}

fn feed_days(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|days| *days > 0.0 && *days <= 3650.0)
        .ok_or_else(|| "a number of days over 0, at most 3650".to_owned())
}

/// Smaller ones are no use: a step of the stream may have more.
fn feed_bytes(text: &str) -> Result<u64, String> {
    bytes(text).and_then(|size| match size {
        1_048_576.. => Ok(size),
        _ => Err("a size of at least 1MiB".to_owned()),
    })
}

/// A size: `1000`, `64KiB`, `10MiB`, `2GiB`, `1TiB`.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let cut = |(unit, shift): (&str, u32)| Some((text.strip_suffix(unit)?, shift));
    let (digits, shift) = units.into_iter().find_map(cut).unwrap_or((text, 0));
    let number =
        digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| format!("\"{text}\" is not a valid size: write it like 500MiB or 64GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        limits: ServeLimits,
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        let cases = [
            ("1000", Some(1000)),
            ("64KiB", Some(65_536)),
            ("2 GiB", Some(2 << 30)),
            ("1GB", None),
            ("-1", None),
            ("99999999TiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_flags_defaults_are_the_limits_of_a_server_that_nobody_told_otherwise() {
        let flags = Flags::try_parse_from(["serve"]).unwrap().limits;
        assert_eq!(flags.feed(), Retention::default());
        let flags = flags.for_callers().unwrap();
        assert_eq!(format!("{flags:?}"), format!("{:?}", Limits::default()));
    }
}
