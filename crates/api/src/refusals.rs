//! Calls that were refused, summed up for the audit trail.
//!
//! Attempts to do what a key may not do, and calls with a revoked key, are recorded: one line for
//! each key, the first within a minute and then at most one per hour, however many attempts there
//! are. So the trail grows with the number of keys, which only admins can create. A call without a
//! key or with an unknown key leaves no line: anybody can make millions of those, and they would
//! push out the lines that matter.

use crate::access::Caller;
use crate::{Problem, Server};
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, Uri};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_catalog::{AuditRecord, Change, KeyRecord};
use taghouse_engine::named;
use taghouse_model::{AppId, TimestampMs};

/// The minimum time between two lines of a key.
const LINE_EVERY_MS: i64 = 3_600_000;
/// Different calls that are remembered of a key.
const REMEMBERED: usize = 32;

/// What a request asked for. Cheap to keep: most requests are not refused.
pub(crate) struct Asked {
    method: Method,
    route: Option<MatchedPath>,
    uri: Uri,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { method: request.method().clone(), route, uri: request.uri().clone() }
    }

    /// The route with its app. What else stands in the path may be a user's id, which the trail
    /// does not keep.
    fn named(&self) -> String {
        let route = self.route.as_ref().map_or("another path", MatchedPath::as_str);
        let app = self
            .uri
            .path()
            .strip_prefix("/api/v1/apps/")
            .and_then(|rest| AppId::new(rest.split('/').next()?).ok());
        let route =
            app.map_or_else(|| route.to_owned(), |app| route.replace("{app}", app.as_str()));
        format!("{} {route}", self.method)
    }
}

/// A line to be written.
struct DueLine {
    key: String,
    /// How many refused calls of the key it covers.
    calls: u64,
    line: AuditRecord,
}

/// The refused calls of all keys that are not in the trail yet.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<String, Refused>>);

/// Those of one key.
#[derive(Default)]
struct Refused {
    app: Option<AppId>,
    calls: u64,
    /// Why they were refused, the last one.
    why: &'static str,
    asked: BTreeSet<String>,
    last_ms: TimestampMs,
    /// The next line is not written before this.
    next_ms: TimestampMs,
}

impl Refused {
    fn line(&self, key: &str) -> AuditRecord {
        AuditRecord {
            app: self.app.clone(),
            at_ms: self.last_ms,
            actor: key.to_owned(),
            action: "refused".to_owned(),
            subject: format!("{} calls, of {}", self.calls, named(self.asked.iter())),
            outcome: format!("refused: {}", self.why),
        }
    }
}

impl Refusals {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Refused>> {
        self.0.lock()
    }

    fn add(
        &self,
        key: &str,
        app: Option<&AppId>,
        why: &'static str,
        asked: &Asked,
        now_ms: TimestampMs,
    ) {
        let mut all = self.held();
        let of_key = all.entry(key.to_owned()).or_default();
        of_key.calls += 1;
        (of_key.app, of_key.why, of_key.last_ms) = (app.cloned(), why, now_ms);
        if of_key.asked.len() < REMEMBERED {
            of_key.asked.insert(asked.named());
        }
    }

    /// The lines that are due, or all.
    fn due(&self, now_ms: TimestampMs, all: bool) -> Vec<DueLine> {
        let held = self.held();
        let due = held.iter().filter(|(_, of)| of.calls > 0 && (all || now_ms >= of.next_ms));
        due.map(|(key, of)| DueLine { key: key.clone(), calls: of.calls, line: of.line(key) })
            .collect()
    }

    /// Notes that they are in the trail. Calls refused meanwhile are left for the next line.
    fn written(&self, lines: &[DueLine], now_ms: TimestampMs) {
        let mut held = self.held();
        for DueLine { key, calls, .. } in lines {
            if let Some(of) = held.get_mut(key) {
                of.calls = of.calls.saturating_sub(*calls);
                of.asked.clear();
                of.next_ms = now_ms + LINE_EVERY_MS;
            }
        }
    }
}

impl Server {
    /// Notes a call that a valid key may not make.
    pub(crate) fn refused(&self, caller: &Caller, asked: &Asked) {
        self.refusals.add(
            &caller.id,
            caller.app.as_ref(),
            "the key may not do this",
            asked,
            self.engine.clock.now_ms(),
        );
    }

    /// Notes a call with a key that works no more.
    pub(crate) fn refused_key(&self, key: &KeyRecord, why: &'static str, asked: &Asked) {
        self.refusals.add(&key.id, key.app.as_ref(), why, asked, self.engine.clock.now_ms());
    }

    /// Writes the lines of refused calls that are due, or all of them.
    ///
    /// # Errors
    /// The catalog cannot be written; they are kept and written next time.
    pub(crate) async fn write_refusals(&self, all: bool) -> Result<(), Problem> {
        let now_ms = self.engine.clock.now_ms();
        let lines = self.refusals.due(now_ms, all);
        if lines.is_empty() {
            return Ok(());
        }
        self.engine
            .catalog
            .commit(lines.iter().map(|due| Change::Audit(due.line.clone())).collect())
            .await?;
        self.refusals.written(&lines, now_ms);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, uri: &'static str) -> Asked {
        Asked { method, route: None, uri: Uri::from_static(uri) }
    }

    #[test]
    fn a_key_has_a_line_an_hour_however_often_it_is_refused() {
        let refusals = Refusals::default();
        let call = asked(Method::POST, "/api/v1/apps/shop/produce");
        let refuse = |times: u64, at_ms| {
            (0..times).for_each(|_| refusals.add("k1", None, "no", &call, at_ms))
        };
        refuse(1000, 5);
        let first = refusals.due(10, false);
        assert_eq!((first.len(), first[0].calls), (1, 1000));
        assert_eq!(first[0].line.subject, "1000 calls, of POST another path");
        // One more comes while the line is written.
        refuse(1, 11);
        refusals.written(&first, 10);
        refuse(2, 12);
        assert!(refusals.due(LINE_EVERY_MS, false).is_empty(), "not before its hour");
        let calls =
            |lines: Vec<DueLine>| lines.into_iter().map(|due| due.calls).collect::<Vec<_>>();
        assert_eq!(calls(refusals.due(11, true)), [3], "all of them at the end");
        assert_eq!(calls(refusals.due(LINE_EVERY_MS + 10, false)), [3]);
        // Different calls do not make it longer without end.
        for _ in 0..100 {
            refusals.add("k1", None, "no", &call, 13);
        }
        assert!(refusals.held()["k1"].asked.len() <= REMEMBERED);
    }
}
