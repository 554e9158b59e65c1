//! Records of the change feed as CloudEvents 1.0, in JSON.

use crate::Lost;
use serde_json::{Value as Json, json};
use taghouse_feed::{Change, Record};
use taghouse_model::{AppId, Name, TimestampMs, Value};

/// An event on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The id of the user, so that a user's changes stay in order; `None`: it is about nobody alone.
    pub key: Option<String>,
    /// The event.
    pub event: Json,
}

/// What an event says.
struct Said<'r> {
    kind: &'static str,
    user: Option<&'r str>,
    data: Json,
}

/// The event of a record. Its id is that of the record in the app's feed: one that is sent again
/// has the same.
pub fn event(app: &AppId, record: &Record) -> Outgoing {
    let Said { kind, user, mut data } = said(&record.change);
    data["position"] = json!(record.position);
    made(app, &record.id.to_string(), kind, user, record.at_ms, data)
}

/// Changes after this id were removed from the feed before they were sent.
pub fn gap(app: &AppId, lost: Lost, now_ms: TimestampMs) -> Outgoing {
    let Lost { after, first } = lost;
    let data = json!({ "after": after, "first": first });
    made(app, &format!("gap-{after}-{first}"), "taghouse.feed.gap", None, now_ms, data)
}

/// An event that says nothing, by which people see whether a sink's target takes events.
pub fn trial(app: &AppId, sink: &Name, number: u64, now_ms: TimestampMs) -> Outgoing {
    let (id, data) = (format!("test-{number}"), json!({ "sink": sink.as_str() }));
    made(app, &id, "taghouse.sink.test", None, now_ms, data)
}

fn made(
    app: &AppId,
    id: &str,
    kind: &str,
    user: Option<&str>,
    at_ms: TimestampMs,
    data: Json,
) -> Outgoing {
    let mut event = json!({
        "specversion": "1.0",
        "id": format!("{app}-{id}"),
        "source": format!("/taghouse/apps/{app}"),
        "type": kind,
        "time": Value::Time(at_ms).to_string(),
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(user) = user {
        event["subject"] = json!(user);
    }
    Outgoing { key: user.map(str::to_owned), event }
}

fn said(change: &Change) -> Said<'_> {
    match change {
        Change::Tag { user, tag, value } => Said {
            kind: "taghouse.tag.changed",
            user: Some(user),
            data: json!({ "tag": tag.as_str(), "value": value.as_ref().map(shown) }),
        },
        Change::TagPublished { tag } => Said {
            kind: "taghouse.tag.published",
            user: None,
            data: json!({ "tag": tag.as_str() }),
        },
        Change::Entered { user, crowd, version } => Said {
            kind: "taghouse.crowd.entered",
            user: Some(user),
            data: json!({ "crowd": crowd.as_str(), "version": version }),
        },
        Change::Exited { user, crowd, version } => Said {
            kind: "taghouse.crowd.exited",
            user: Some(user),
            data: json!({ "crowd": crowd.as_str(), "version": version }),
        },
        Change::CrowdPublished { crowd, version } => Said {
            kind: "taghouse.crowd.published",
            user: None,
            data: json!({ "crowd": crowd.as_str(), "version": version }),
        },
        Change::UserDeleted { user } => {
            Said { kind: "taghouse.user.deleted", user: Some(user), data: json!({}) }
        }
    }
}

/// As the API shows values: decimals, dates and times as text, so that no digit is lost.
fn shown(value: &Value) -> Json {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Text(text) => json!(text.as_ref()),
        Value::Set(texts) => json!(texts.iter().map(AsRef::as_ref).collect::<Vec<&str>>()),
        Value::Decimal(_) | Value::Date(_) | Value::Time(_) => json!(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_and_keyed_by_their_user() {
        let app = AppId::new("shop").unwrap();
        let tag = Name::new("spend").unwrap();
        let change = Change::Tag { user: "ann".into(), tag, value: Some(Value::Date(1)) };
        let record = Record { id: 7, at_ms: 1_000, position: 3, change };
        let Outgoing { key, event } = event(&app, &record);
        assert_eq!(key.as_deref(), Some("ann"));
        assert_eq!(
            event,
            json!({
                "specversion": "1.0",
                "id": "shop-7",
                "source": "/taghouse/apps/shop",
                "type": "taghouse.tag.changed",
                "time": "1970-01-01T00:00:01Z",
                "datacontenttype": "application/json",
                "data": {"tag": "spend", "value": "1970-01-02", "position": 3},
                "subject": "ann",
            })
        );
        let gap = gap(&app, Lost { after: 3, first: 9 }, 0);
        assert_eq!((gap.key, &gap.event["id"]), (None, &json!("shop-gap-3-9")));
    }
}
