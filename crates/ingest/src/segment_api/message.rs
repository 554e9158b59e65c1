//! One message of the tracking API.

use super::MAX_CALL_BYTES;
use crate::log_record::{LogRecord, OtherId, RecordBody};
use crate::reject::{Fault, Reason, quoted};
use crate::row_checks::{MAX_MESSAGE_ID_BYTES, check_time};
use jiff::tz::TimeZone;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::fmt::Write;
use taghouse_model::{Entropy, MAX_TEXT_BYTES, TimestampMs, check_user_id};
use taghouse_rules::reader::json_scan::{self, JsonKind, JsonSpan};
use taghouse_rules::reader::{Cell, TimeReader, read_id};
use taghouse_rules::{ANONYMOUS_ID, MOST_FUTURE_MS, TimeFormat};

/// By what a caller is named who is not known.
const ANONYMOUS_KEY: &str = "anonymousId";

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind {
    Track,
    Identify,
    Page,
    Screen,
    Group,
    Alias,
}

impl MessageKind {
    pub(super) const ALL: &str = "use track, identify, page, screen, group, alias or batch";

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "track" => Self::Track,
            "identify" => Self::Identify,
            "page" => Self::Page,
            "screen" => Self::Screen,
            "group" => Self::Group,
            "alias" => Self::Alias,
            _ => return None,
        })
    }
}

/// What a message takes from the call that brought it.
pub(super) struct Defaults<'d> {
    pub(super) received_at_ms: TimestampMs,
    pub(super) sent_at_ms: Option<TimestampMs>,
    pub(super) entropy: &'d dyn Entropy,
}

/// A message's members, those that are null left out.
struct MessageMembers<'t> {
    text: &'t str,
    spans: HashMap<String, JsonSpan>,
    /// Halves of surrogate pairs that were replaced.
    replaced: u32,
}

/// Whom a message is about.
struct MessageUser {
    id: String,
    /// By `anonymousId` alone.
    anonymous: bool,
}

/// Checks a message; `kind` is the call's, in a batch the message's own `type`.
pub(super) fn parse(
    kind: Option<MessageKind>,
    text: &str,
    defaults: &Defaults<'_>,
) -> Result<LogRecord, Fault> {
    if text.len() > MAX_CALL_BYTES {
        return Err(Fault::new(
            Reason::ValueTooLong,
            format!("the message has {} bytes, more than {MAX_CALL_BYTES}", text.len()),
        ));
    }
    let repaired = json_scan::repair(text);
    let members =
        MessageMembers { replaced: repaired.replaced, ..MessageMembers::of(&repaired.text)? };
    let kind = match kind {
        Some(kind) => kind,
        None => members.kind()?,
    };
    let MessageUser { id: user_id, anonymous } = members.user()?;
    let message_id = members.message_id(defaults.entropy)?;
    let time_ms = members.time(defaults)?;
    Ok(LogRecord {
        message_id,
        received_at_ms: defaults.received_at_ms,
        replaced: repaired.replaced,
        anonymous,
        other_ids: if anonymous { Vec::new() } else { members.other_ids(kind) },
        body: members.body(kind, user_id, time_ms)?,
    })
}

impl<'t> MessageMembers<'t> {
    fn of(text: &'t str) -> Result<Self, Fault> {
        let mut spans = HashMap::new();
        let object = json_scan::members(text, &mut 0, &mut |key, value| {
            let key = key.string(text)?.into_owned();
            if value.kind == JsonKind::Null {
                spans.remove(&key);
            } else {
                spans.insert(key, value);
            }
            Some(())
        });
        object.map(|()| Self { text, spans, replaced: 0 }).ok_or_else(|| {
            Fault::new(Reason::BrokenLine, "the message is not a JSON object".to_owned())
        })
    }

    /// The kind that a message in a batch names.
    fn kind(&self) -> Result<MessageKind, Fault> {
        let named = self.text("type", Reason::BadType)?.ok_or_else(|| {
            Fault::new(Reason::BadType, format!("`type` is missing: {}", MessageKind::ALL))
        })?;
        MessageKind::named(&named).ok_or_else(|| {
            let problem = format!("`type` is {}: {}", quoted(&named), MessageKind::ALL);
            Fault::new(Reason::BadType, problem)
        })
    }

    /// What the message says: traits, or an event with its properties.
    fn body(
        &self,
        kind: MessageKind,
        user_id: String,
        time_ms: TimestampMs,
    ) -> Result<RecordBody, Fault> {
        let (name, properties) = match kind {
            MessageKind::Identify => {
                let traits = self.object("traits")?.to_owned();
                return Ok(RecordBody::Traits { user_id, time_ms, traits });
            }
            MessageKind::Track => {
                let name = self.required("event", Reason::NoEvent)?;
                (name, self.object("properties")?.to_owned())
            }
            MessageKind::Page => ("page".to_owned(), self.view_properties()?),
            MessageKind::Screen => ("screen".to_owned(), self.view_properties()?),
            MessageKind::Group => {
                let id = self.required("groupId", Reason::MissingValue)?;
                ("group".to_owned(), with(self.object("traits")?, [("group_id", Some(id))])?)
            }
            MessageKind::Alias => {
                let id = self.required("previousId", Reason::MissingValue)?;
                ("alias".to_owned(), with("{}", [("previous_id", Some(id))])?)
            }
        };
        Ok(RecordBody::Event { user_id, time_ms, name, properties })
    }

    /// The properties of a page or screen, its name and category among them.
    fn view_properties(&self) -> Result<String, Fault> {
        let own = [
            ("name", self.text("name", Reason::BadType)?),
            ("category", self.text("category", Reason::BadType)?),
        ];
        with(self.object("properties")?, own)
    }

    /// The text of a member; `None` if it is not there or empty.
    fn text(&self, key: &str, reason: Reason) -> Result<Option<String>, Fault> {
        let Some(span) = self.spans.get(key) else { return Ok(None) };
        let value = span
            .string(self.text)
            .ok_or_else(|| Fault::new(reason, format!("`{key}` is not a text")))?;
        if value.len() > MAX_TEXT_BYTES {
            return Err(Fault::new(
                Reason::ValueTooLong,
                format!("`{key}` has {} bytes, more than {MAX_TEXT_BYTES}", value.len()),
            ));
        }
        Ok((!value.is_empty()).then(|| value.into_owned()))
    }

    fn required(&self, key: &str, reason: Reason) -> Result<String, Fault> {
        self.text(key, Reason::BadType)?
            .ok_or_else(|| Fault::new(reason, format!("`{key}` is missing")))
    }

    /// An object's text; `{}` if it is not there.
    fn object(&self, key: &str) -> Result<&'t str, Fault> {
        match self.spans.get(key) {
            None => Ok("{}"),
            Some(span) if span.kind == JsonKind::Object => Ok(span.text(self.text)),
            Some(_) => Err(Fault::new(Reason::BadType, format!("`{key}` is not an object"))),
        }
    }

    /// `userId`, else `anonymousId`. A number is taken as its text.
    fn user(&self) -> Result<MessageUser, Fault> {
        for key in ["userId", ANONYMOUS_KEY] {
            let Some(span) = self.spans.get(key) else { continue };
            let id = match span.kind {
                JsonKind::Number => {
                    let written = span.text(self.text);
                    read_id(&Cell::Number(written), false)
                        .map_err(|fault| Fault::of_id(&format!("`{key}`"), written, fault))?
                        .into_owned()
                }
                _ => span
                    .string(self.text)
                    .ok_or_else(|| Fault::new(Reason::BadType, format!("`{key}` is not a text")))?
                    .into_owned(),
            };
            if !id.is_empty() {
                self.check_whole(key, &id)?;
                check_user_id(&id)
                    .map_err(|e| Fault::new(Reason::IdTooLong, format!("`{key}`: {e}")))?;
                return Ok(MessageUser { id, anonymous: key == ANONYMOUS_KEY });
            }
        }
        Err(Fault::new(
            Reason::NoUserId,
            "`userId` and `anonymousId` are missing: a call names its user by one of them"
                .to_owned(),
        ))
    }

    /// The ids that are the user's besides, by what the call says: of `identify` the `anonymousId`
    /// and the `externalIds` of its context, of `alias` the `previousId`. What cannot be an id is refused
    /// where all others are, for the message itself is fine.
    fn other_ids(&self, kind: MessageKind) -> Vec<OtherId> {
        let id = |key: &str| {
            let span = self.spans.get(key)?;
            match span.kind {
                JsonKind::Number => Some(span.text(self.text).to_owned()),
                _ => Some(span.string(self.text)?.into_owned()),
            }
        };
        match kind {
            MessageKind::Identify => {
                let anonymous = id(ANONYMOUS_KEY).filter(|id| !id.is_empty());
                let anonymous = anonymous.map(|id| OtherId {
                    id,
                    id_type: Some(ANONYMOUS_ID.to_owned()),
                    merges: false,
                });
                anonymous.into_iter().chain(self.external_ids()).collect()
            }
            MessageKind::Alias => {
                let previous = id("previousId");
                previous.map(|id| OtherId { id, id_type: None, merges: true }).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// `context.externalIds`: objects with an `id` and a `type`.
    fn external_ids(&self) -> Vec<OtherId> {
        let context = self.spans.get("context").map(|span| span.text(self.text));
        let context = context.and_then(|text| serde_json::from_str::<Json>(text).ok());
        let ids = context.as_ref().and_then(|context| context.get("externalIds")?.as_array());
        let of = |given: &Json| {
            let id = given.get("id")?.as_str()?.to_owned();
            let id_type = given.get("type")?.as_str()?.to_owned();
            Some(OtherId { id, id_type: Some(id_type), merges: false })
        };
        ids.into_iter().flatten().filter_map(of).collect()
    }

    fn message_id(&self, entropy: &dyn Entropy) -> Result<String, Fault> {
        let Some(span) = self.spans.get("messageId") else { return Ok(new_id(entropy)) };
        let id = span
            .string(self.text)
            .ok_or_else(|| Fault::new(Reason::BadType, "`messageId` is not a text".to_owned()))?;
        match id.len() {
            0 => Ok(new_id(entropy)),
            1..=MAX_MESSAGE_ID_BYTES => {
                self.check_whole("messageId", &id).map(|()| id.into_owned())
            }
            length => Err(Fault::new(
                Reason::IdTooLong,
                format!("`messageId` has {length} bytes, more than {MAX_MESSAGE_ID_BYTES}"),
            )),
        }
    }

    /// Of an id no half of a surrogate pair can be replaced: it would be another's.
    fn check_whole(&self, key: &str, id: &str) -> Result<(), Fault> {
        let broken = self.replaced > 0 && id.contains(char::REPLACEMENT_CHARACTER);
        if broken { Err(Fault::of_broken_id(&format!("`{key}`"))) } else { Ok(()) }
    }

    /// When it happened, by our clock: as long before it came as it was before it was sent, by the
    /// sender's clock.
    fn time(&self, defaults: &Defaults<'_>) -> Result<TimestampMs, Fault> {
        let at =
            |key: &str| self.spans.get(key).map_or(Ok(None), |span| instant(key, self.text, *span));
        let sent_at = at("sentAt")?.or(defaults.sent_at_ms);
        let (timestamp, original, received_before) =
            (at("timestamp")?, at("originalTimestamp")?, at("receivedAt")?);
        // One that Segment passes on has been corrected: its `timestamp` is by Segment's clock, and
        // `originalTimestamp` by the sender's.
        let is_corrected = timestamp.is_some()
            && (received_before.is_some()
                || original.is_some_and(|original| Some(original) != timestamp));
        let (key, given) = match (timestamp, original) {
            (Some(time), _) => ("timestamp", time),
            (None, Some(time)) => ("originalTimestamp", time),
            (None, None) => return Ok(defaults.received_at_ms),
        };
        let received_at = received_before.unwrap_or(defaults.received_at_ms);
        let time =
            sent_at.filter(|_| !is_corrected).map_or(given, |sent| received_at - (sent - given));
        // How far ahead the app's source takes it is asked when it lands.
        check_time(time, defaults.received_at_ms, MOST_FUTURE_MS)
            .map_err(|problem| Fault::new(Reason::BadTime, format!("`{key}` {problem}")))
    }
}

/// The instant in a member: ISO 8601, in UTC where it names no zone. `None` for null.
pub(super) fn instant(key: &str, text: &str, span: JsonSpan) -> Result<Option<TimestampMs>, Fault> {
    if span.kind == JsonKind::Null {
        return Ok(None);
    }
    let written = span.string(text);
    let time = written
        .as_ref()
        .and_then(|written| TimeReader::new(&TimeFormat::Iso8601, TimeZone::UTC).instant(written));
    let problem = || {
        format!(
            "`{key}` is {}, not an ISO 8601 time such as 2026-11-21T00:28:39.268Z",
            quoted(span.text(text))
        )
    };
    time.map(Some).ok_or_else(|| Fault::new(Reason::BadTime, problem()))
}

/// The message id that a wrong message gives, if it can be read.
pub(super) fn given_id(text: &str) -> Option<String> {
    let repaired = json_scan::repair(text);
    let members = MessageMembers::of(&repaired.text).ok()?;
    let id = members.spans.get("messageId")?.string(&repaired.text)?;
    (1..=MAX_MESSAGE_ID_BYTES).contains(&id.len()).then(|| id.into_owned())
}

/// A message id for a message without one.
pub(super) fn new_id(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    bytes.iter().fold("taghouse-".to_owned(), |mut id, byte| {
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// The object with `own` members in place of those of the same names.
fn with<const N: usize>(object: &str, own: [(&str, Option<String>); N]) -> Result<String, Fault> {
    let mut parts = Vec::new();
    let is_own = |key: &str| own.iter().any(|(name, value)| *name == key && value.is_some());
    json_scan::members(object, &mut 0, &mut |key, value| {
        if !is_own(&key.string(object)?) {
            parts.push(format!("{}:{}", key.text(object), value.text(object)));
        }
        Some(())
    })
    .ok_or_else(|| Fault::new(Reason::BrokenLine, "a text in the message is broken".to_owned()))?;
    for (name, value) in own {
        parts.extend(value.map(|value| format!("{}:{}", Json::from(name), Json::from(value))));
    }
    Ok(format!("{{{}}}", parts.join(",")))
}
