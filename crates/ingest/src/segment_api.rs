//! The calls of the Segment tracking API: track, identify, page, screen, group, alias, and batch of
//! these.

mod message;

use crate::log_record::{LogRecord, RecordBody};
use crate::reject::{Fault, MAX_RAW_BYTES};
use message::{Defaults, MessageKind};
use taghouse_model::{Entropy, ErrorKind, TimestampMs};
use taghouse_rules::reader::json_scan::{self, JsonKind, JsonSpan};

/// The largest body of a batch, as Segment's.
pub const MAX_BATCH_BYTES: usize = 500 << 10;
/// The largest body of another call, and the largest message of a batch, as Segment's.
pub const MAX_CALL_BYTES: usize = 32 << 10;

/// A call that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// Names the field and the fix.
    pub message: String,
    /// The body is over the limit.
    pub too_large: bool,
}

impl CallError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), too_large: false }
    }

    /// Always `Invalid`: fix the call and send it again.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The live calls.
#[derive(Debug, Clone, Copy)]
pub struct LiveCall;

/// The kind of a call by a shorter or older path of it, as Segment's libraries for browsers and
/// phones have them.
fn full_kind(kind: &str) -> &str {
    match kind {
        "t" => "track",
        "i" => "identify",
        "p" => "page",
        "s" => "screen",
        "g" => "group",
        "a" => "alias",
        "b" | "import" => "batch",
        _ => kind,
    }
}

impl LiveCall {
    /// The paths of the calls: their kinds, and what libraries call these besides.
    pub const KINDS: [&str; 15] = [
        "track", "identify", "page", "screen", "group", "alias", "batch", "import", "t", "i", "p",
        "s", "g", "a", "b",
    ];

    /// Checks a call of `kind` (one of [`LiveCall::KINDS`]) and gives its messages, to be appended
    /// to the log, in their order. Of a batch, wrong messages (too large ones among them)
    /// become records that land in `rejected_events`.
    ///
    /// The event time is `received_at_ms` less how long before `sentAt` the message's `timestamp`
    /// (or `originalTimestamp`) was, so that the sender's clock may be wrong; without `sentAt`
    /// it is the `timestamp` as it is, and without that `received_at_ms`. A missing `messageId`
    /// is made from `entropy`.
    ///
    /// # Errors
    /// A body over the limit, that is not a JSON object, or lacks or misuses a field; a batch in
    /// which every message is wrong.
    pub fn parse(
        kind: &str,
        body: &[u8],
        received_at_ms: TimestampMs,
        entropy: &dyn Entropy,
    ) -> Result<Vec<LogRecord>, CallError> {
        let kind = full_kind(kind);
        let is_batch = kind == "batch";
        let limit = if is_batch { MAX_BATCH_BYTES } else { MAX_CALL_BYTES };
        if body.len() > limit {
            let message =
                format!("the body has {} bytes, more than {limit}: send smaller calls", body.len());
            return Err(CallError { message, too_large: true });
        }
        let text =
            std::str::from_utf8(body).map_err(|_| CallError::new("the body is not UTF-8"))?;
        let span = json_scan::whole(text).filter(|span| span.kind == JsonKind::Object);
        let span = span.ok_or_else(|| CallError::new("the body is not a JSON object"))?;
        if is_batch {
            return parse_batch(text, span, received_at_ms, entropy);
        }
        let kind = MessageKind::named(kind).ok_or_else(|| {
            CallError::new(format!("there is no call \"{kind}\": {}", MessageKind::ALL))
        })?;
        let defaults = Defaults { received_at_ms, sent_at_ms: None, entropy };
        let record = message::parse(Some(kind), span.text(text), &defaults)
            .map_err(|fault| CallError::new(fault.detail))?;
        Ok(vec![record])
    }

    /// The write key in a call's body, as browsers send it: that of the call, else that of a
    /// batch's first message. `None`: there is none, or the body is not a call.
    pub fn write_key(body: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(body).ok()?;
        let call = json_scan::whole(text)?;
        let of = |span: JsonSpan, name: &str| {
            let mut found = None;
            json_scan::members(text, &mut span.start.clone(), &mut |key, value| {
                if key.string(text)? == name {
                    found = Some(value);
                }
                Some(())
            })?;
            found
        };
        let own = |span| of(span, "writeKey").and_then(|key| Some(key.string(text)?.into_owned()));
        own(call).or_else(|| own(*json_scan::elements(text, of(call, "batch")?)?.first()?))
    }

    /// Whether the body is a JSON object.
    pub fn is_object(body: &[u8]) -> bool {
        std::str::from_utf8(body)
            .ok()
            .and_then(json_scan::whole)
            .is_some_and(|span| span.kind == JsonKind::Object)
    }
}

fn parse_batch(
    text: &str,
    span: JsonSpan,
    received_at_ms: TimestampMs,
    entropy: &dyn Entropy,
) -> Result<Vec<LogRecord>, CallError> {
    let (mut batch, mut sent_at) = (None, None);
    json_scan::members(text, &mut span.start.clone(), &mut |key, value| {
        match key.string(text).unwrap_or_default().as_ref() {
            "batch" => batch = Some(value),
            "sentAt" => sent_at = Some(value),
            _ => {}
        }
        Some(())
    });
    let elements = batch.and_then(|batch| json_scan::elements(text, batch));
    let elements =
        elements.ok_or_else(|| CallError::new("`batch` is missing or not an array of messages"))?;
    let sent_at_ms = match sent_at {
        Some(value) => {
            message::instant("sentAt", text, value).map_err(|fault| CallError::new(fault.detail))?
        }
        None => None,
    };
    let defaults = Defaults { received_at_ms, sent_at_ms, entropy };
    let mut records = Vec::with_capacity(elements.len());
    let mut first_fault = None;
    let mut good = 0;
    for (at, element) in elements.iter().enumerate() {
        let message = element.text(text);
        match message::parse(None, message, &defaults) {
            Ok(record) => {
                good += 1;
                records.push(record);
            }
            Err(Fault { reason, detail }) => {
                first_fault.get_or_insert_with(|| format!("batch[{at}]: {detail}"));
                let raw = String::from_utf8_lossy(
                    &message.as_bytes()[..message.len().min(MAX_RAW_BYTES)],
                )
                .into_owned();
                let body = RecordBody::Rejected { reason: reason.to_string(), detail, raw };
                // By its own id it is known when the batch is sent again.
                let message_id =
                    message::given_id(message).unwrap_or_else(|| message::new_id(entropy));
                records.push(LogRecord { message_id, ..LogRecord::by_hand(received_at_ms, body) });
            }
        }
    }
    match first_fault {
        Some(fault) if good == 0 => Err(CallError::new(fault)),
        _ => Ok(records),
    }
}

#[cfg(test)]
mod tests;
