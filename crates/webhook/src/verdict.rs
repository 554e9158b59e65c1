//! What an answer means for what was sent.

use std::time::Duration;

/// What is to be done with what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It is sent again later: the receiver, or the way there, does not work now.
    Again,
    /// The receiver does not take it, and will not; in smaller batches perhaps.
    Refused,
    /// The receiver takes nothing any more.
    Gone,
}

impl Verdict {
    /// Of the status of an answer. What speaks of the address, of permissions or of the moment may be
    /// another one soon, and would befall every batch; what speaks of the batch will not.
    pub(crate) fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Delivered,
            410 => Self::Gone,
            401 | 403 | 404 | 407 | 408 | 421 | 425 | 429 => Self::Again,
            400..=499 => Self::Refused,
            _ => Self::Again,
        }
    }
}

/// The longest wait that a receiver may ask for.
const LONGEST: Duration = Duration::from_secs(600);

/// How long the receiver asks to be left alone: `Retry-After`, in seconds or as a date.
pub(crate) fn retry_after(value: &str, now_ms: i64) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
            Duration::from_millis(u64::try_from(until - now_ms).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_judged() {
        for (statuses, verdict) in [
            (&[200_u16, 201, 202, 204][..], Verdict::Delivered),
            (
                &[301, 302, 307, 308, 401, 403, 404, 408, 425, 429, 500, 502, 503, 504],
                Verdict::Again,
            ),
            (&[400, 405, 409, 411, 413, 415, 422], Verdict::Refused),
            (&[410], Verdict::Gone),
        ] {
            for status in statuses {
                assert_eq!(Verdict::of(*status), verdict, "{status}");
            }
        }
    }

    #[test]
    fn waits_are_read_and_bounded() {
        let second = Duration::from_secs;
        for (value, wait) in [
            ("7", Some(second(7))),
            (" 0 ", Some(second(0))),
            ("99999999", Some(LONGEST)),
            ("Thu, 01 Jan 1970 00:01:40 GMT", Some(second(90))),
            ("Thu, 01 Jan 1970 00:00:01 GMT", Some(second(0))),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, 10_000), wait, "{value}");
        }
    }
}
