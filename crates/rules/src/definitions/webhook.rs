//! What a sink says of the HTTP server that changes are sent to.

use super::events::duration;
use super::kafka::{Wrong, is_written_out};
use crate::raw::webhook::{RawWebhook, RawWebhookBatch};
use crate::{SettingOf, SettingPart, Webhook};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use url::Url;

/// Where the settings of a webhook stand in a sink.
const WEBHOOK: &str = "/webhook";

const MAX_HEADERS: usize = 20;
const SECOND_MS: i64 = 1000;
const DAY_MS: i64 = 86_400 * SECOND_MS;

/// Headers that requests have anyway, or that say how a connection is used.
const OWN_HEADERS: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whoever finds one of these in a header's name expects a secret in it.
const SECRET_WORDS: [&str; 7] =
    ["auth", "cookie", "credential", "key", "password", "secret", "token"];

/// Reads the settings of a webhook; `None`, and what is wrong with them.
pub(super) fn check(raw: &RawWebhook, wrong: &mut Vec<Wrong>) -> Option<Webhook> {
    let before = wrong.len();
    check_url(WEBHOOK, &raw.url, wrong);
    check_secret(&raw.secret, wrong);
    let headers = headers(WEBHOOK, &raw.headers, wrong);
    let timeout_ms =
        length("/webhook/timeout", raw.timeout.as_deref(), 10 * SECOND_MS, TIMEOUT, wrong);
    let retry_for_ms =
        length("/webhook/retry_for", raw.retry_for.as_deref(), DAY_MS, RETRY_FOR, wrong);
    let RawWebhookBatch { events, bytes } = raw.batch.unwrap_or_default();
    let batch_events = number("batch/events", events, 100, 1..=1000, wrong);
    let batch_bytes = number("batch/bytes", bytes, 256 << 10, 1024..=4 << 20, wrong);
    let parallel = number("parallel", raw.parallel, 4, 1..=32, wrong);
    (wrong.len() == before).then(|| Webhook {
        url: raw.url.clone(),
        secret: raw.secret.clone(),
        headers,
        timeout_ms: timeout_ms.unsigned_abs(),
        batch_events,
        batch_bytes,
        parallel,
        retry_for_ms,
    })
}

/// The lengths of time that a setting may have, and how they are written.
pub(super) struct Lengths {
    pub(super) ms: RangeInclusive<i64>,
    pub(super) shown: &'static str,
}

const TIMEOUT: Lengths = Lengths { ms: SECOND_MS..=60 * SECOND_MS, shown: "1s to 60s" };
const RETRY_FOR: Lengths = Lengths { ms: SECOND_MS..=30 * DAY_MS, shown: "1s to 30d" };

pub(super) fn length(
    pointer: &str,
    given: Option<&str>,
    default_ms: i64,
    may: Lengths,
    wrong: &mut Vec<Wrong>,
) -> i64 {
    let name = pointer.rsplit('/').next().unwrap_or(pointer);
    let Some(text) = given else { return default_ms };
    match duration(text) {
        Ok(ms) if may.ms.contains(&ms) => ms,
        Ok(_) => {
            let message = format!("`{name}` is {} long, not `{text}`", may.shown);
            wrong.push(Wrong::new(pointer, message));
            default_ms
        }
        Err(message) => {
            wrong.push(Wrong::new(pointer, message));
            default_ms
        }
    }
}

fn number(
    name: &str,
    given: Option<u32>,
    default: u32,
    may: RangeInclusive<u32>,
    wrong: &mut Vec<Wrong>,
) -> usize {
    let number = given.unwrap_or(default);
    if !may.contains(&number) {
        let last = name.rsplit('/').next().unwrap_or(name);
        let message = format!("`{last}` is {} to {}, not {number}", may.start(), may.end());
        wrong.push(Wrong::new(format!("/webhook/{name}"), message));
    }
    number as usize
}

/// The parts of a text that may refer to secrets.
fn parts(pointer: &str, text: &str, wrong: &mut Vec<Wrong>) -> Option<Vec<SettingPart>> {
    SettingPart::read(SettingOf::Webhook, text)
        .map_err(|e| wrong.push(Wrong::new(pointer, e.to_string())))
        .ok()
}

/// Checks the URL at `base` of a document.
pub(super) fn check_url(base: &str, url: &str, wrong: &mut Vec<Wrong>) {
    let pointer = format!("{base}/url");
    let Some(parts) = parts(&pointer, url, wrong) else { return };
    // What stands in a variable is checked when it is read.
    if parts.iter().any(|part| !matches!(part, SettingPart::Text(_))) {
        return;
    }
    let message = match Url::parse(url) {
        Err(e) => format!("`{url}` is not a URL, such as https://crm.example.com/hook: {e}"),
        Ok(url) if !matches!(url.scheme(), "https" | "http") => {
            format!("a URL to call begins with https:// or http://, not {}:", url.scheme())
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "a URL with a user name or password: give the header `authorization` by reference instead"
                .to_owned()
        }
        Ok(_) => return,
    };
    wrong.push(Wrong::new(pointer, message));
}

fn check_secret(secret: &str, wrong: &mut Vec<Wrong>) {
    let pointer = "/webhook/secret";
    if let Some(parts) = parts(pointer, secret.trim(), wrong) {
        let blank =
            |part: &SettingPart| matches!(part, SettingPart::Text(t) if t.trim().is_empty());
        let given: Vec<_> = parts.into_iter().filter(|part| !blank(part)).collect();
        if is_written_out(&given) {
            let message = "`secret` is not written here: name an environment variable, as ${WEBHOOK_SECRET}, or a file of the secrets' folder, as ${file:NAME}";
            wrong.push(Wrong::new(pointer, message));
        }
    }
}

/// Checks the headers at `base` of a document.
pub(super) fn headers(
    base: &str,
    raw: &BTreeMap<String, String>,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<String, String> {
    if raw.len() > MAX_HEADERS {
        let message = format!("{} headers, more than {MAX_HEADERS}", raw.len());
        wrong.push(Wrong::new(format!("{base}/headers"), message));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in raw {
        let pointer = format!("{base}/headers/{name}");
        let lower = name.to_ascii_lowercase();
        if let Some(message) = refused_name(&lower) {
            wrong.push(Wrong::new(pointer, message));
            continue;
        }
        let Some(parts) = parts(&pointer, value, wrong) else { continue };
        let refers = parts.iter().any(|part| !matches!(part, SettingPart::Text(_)));
        if !refers && SECRET_WORDS.iter().any(|word| lower.contains(word)) {
            let message = format!(
                "`{name}` carries a secret, which is not written here: name an environment variable, as ${{WEBHOOK_NAME}}, or a file of the secrets' folder, as ${{file:NAME}}"
            );
            wrong.push(Wrong::new(pointer, message));
        } else if value.chars().any(char::is_control) || !value.is_ascii() {
            let message = "a header's value has printable ASCII characters only";
            wrong.push(Wrong::new(pointer, message));
        } else if headers.insert(lower, value.clone()).is_some() {
            wrong.push(Wrong::new(pointer, format!("the header `{name}` is given twice")));
        }
    }
    headers
}

fn refused_name(lower: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if lower.is_empty() || lower.len() > 64 || !lower.bytes().all(plain) {
        return Some("a header's name has 1 to 64 letters, digits, - or _".to_owned());
    }
    let own = OWN_HEADERS.contains(&lower)
        || lower.starts_with("webhook-")
        || lower.starts_with("proxy-");
    own.then(|| format!("the header `{lower}` cannot be given: requests have it as it must be"))
}
