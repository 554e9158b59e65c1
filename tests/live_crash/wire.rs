//! Live changes over HTTP: the only place that knows their form.

use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

const APP: &str = "/api/v1/apps/corner";

/// A change of one person's value.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    City(Option<&'static str>),
    Score(Option<i64>),
    Label { label: &'static str, add: bool },
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is no such user.
    Absent,
    /// Acknowledged: done and durable.
    Done,
    /// Refused whole, such as a change of ordinals that a compaction gave again meanwhile.
    Refused,
    /// The server went away before it answered.
    Unknown,
}

/// The server from outside.
#[derive(Clone)]
pub(crate) struct Door {
    base: String,
    authorization: String,
    agent: ureq::Agent,
}

impl Door {
    pub(crate) fn new(base: &str, key: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { base: base.to_owned(), authorization: format!("Bearer {key}"), agent }
    }

    /// Changes that are made together, all or none.
    pub(crate) fn change(&self, changes: &[(String, Change)]) -> Outcome {
        let changes: Vec<Json> =
            changes.iter().map(|(user, change)| form_of(user, change)).collect();
        self.outcome("POST", "/changes", &json!({ "changes": changes, "create": true }))
    }

    /// Deletes a user.
    pub(crate) fn delete(&self, user: &str) -> Outcome {
        self.outcome("DELETE", &format!("/users/{user}"), &json!({}))
    }

    /// Folds everything, and re-packs ordinals.
    pub(crate) fn compact(&self) -> Outcome {
        self.outcome("POST", "/compact", &json!({}))
    }

    /// For whom an expression holds. None is told twice.
    pub(crate) fn users(&self, expression: &str) -> BTreeSet<String> {
        let (status, answer) = self
            .call("POST", "/sample", &json!({ "expression": expression, "size": 10_000 }))
            .unwrap();
        assert_eq!(status, 200, "{answer}");
        let users: Vec<String> = answer["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user.as_str().unwrap().to_owned())
            .collect();
        let different: BTreeSet<String> = users.iter().cloned().collect();
        assert_eq!(users.len(), different.len(), "somebody is there twice: {expression}");
        assert_eq!(answer["count"], users.len(), "{expression}");
        different
    }

    fn outcome(&self, method: &str, path: &str, body: &Json) -> Outcome {
        match self.call(method, path, body) {
            None => Outcome::Unknown,
            Some((200..300, _)) => Outcome::Done,
            Some((409, _)) => Outcome::Refused,
            Some((404, _)) => Outcome::Absent,
            Some((status, answer)) => panic!("{method} {path} {body}: {status} {answer}"),
        }
    }

    /// An answer's status and body; `None` when the server went away.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Json) -> Option<(u16, Json)> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{APP}{path}", self.base))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .unwrap();
        let mut response = self.agent.run(request).ok()?;
        let status = response.status().as_u16();
        Some((
            status,
            serde_json::from_slice(&response.body_mut().read_to_vec().ok()?).unwrap_or(Json::Null),
        ))
    }
}

pub(crate) fn form_of(user: &str, change: &Change) -> Json {
    match change {
        Change::City(Some(city)) => json!({ "user": user, "tag": "city", "set": city }),
        Change::City(None) => json!({ "user": user, "tag": "city", "unset": true }),
        Change::Score(Some(score)) => json!({ "user": user, "tag": "score", "set": score }),
        Change::Score(None) => json!({ "user": user, "tag": "score", "unset": true }),
        Change::Label { label, add: true } => {
            json!({ "user": user, "tag": "labels", "add": label })
        }
        Change::Label { label, add: false } => {
            json!({ "user": user, "tag": "labels", "remove": label })
        }
    }
}
