//! What a crowd says of the file that it is fetched from.

use super::kafka::Wrong;
use super::webhook::{Lengths, check_url, headers, length};
use crate::CrowdLink;
use crate::raw::link::RawLink;

/// Where the settings stand in a crowd.
const LINK: &str = "/import/link";

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 1440 * MINUTE_MS;

/// Of files that nobody bounds.
const DEFAULT_MEGABYTES: u32 = 512;
const MEGABYTES: std::ops::RangeInclusive<u32> = 1..=4096;

/// Reads the settings of a link; `None`, and what is wrong with them.
pub(super) fn check(raw: &RawLink, wrong: &mut Vec<Wrong>) -> Option<CrowdLink> {
    let before = wrong.len();
    check_url(LINK, &raw.url, wrong);
    let headers = headers(LINK, &raw.headers, wrong);
    let timeout = Lengths { ms: SECOND_MS..=60 * MINUTE_MS, shown: "1s to 60m" };
    let timeout_ms =
        length("/import/link/timeout", raw.timeout.as_deref(), 5 * MINUTE_MS, timeout, wrong);
    let every = Lengths { ms: MINUTE_MS..=30 * DAY_MS, shown: "1m to 30d" };
    let every_ms = raw
        .every
        .as_deref()
        .map(|text| length("/import/link/every", Some(text), DAY_MS, every, wrong));
    let megabytes = raw.megabytes.unwrap_or(DEFAULT_MEGABYTES);
    if !MEGABYTES.contains(&megabytes) {
        let (least, most) = (MEGABYTES.start(), MEGABYTES.end());
        let message = format!("`megabytes` is {least} to {most}, not {megabytes}");
        wrong.push(Wrong::new("/import/link/megabytes", message));
    }
    (wrong.len() == before).then(|| CrowdLink {
        url: raw.url.clone(),
        headers,
        timeout_ms: timeout_ms.unsigned_abs(),
        every_ms,
        max_bytes: u64::from(megabytes) << 20,
    })
}
