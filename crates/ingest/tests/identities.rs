//! Which ids become whose by live calls: what is linked, what is refused, and that it is decided
//! the same when calls are admitted again.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod house;

use house::{Counting, House, NOW_MS, definitions};
use std::sync::Arc;
use taghouse_ingest::{Landing, LiveCall, LogRecord, RecordBody};
use taghouse_lake::layout;
use taghouse_log::EventLog;
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};
use tokio_util::sync::CancellationToken;

const COLUMNS: [&str; 5] = ["position", "event", "id", "id_type", "user_id"];

fn linking(identities: &str) -> Arc<Definitions> {
    let text = format!("kind: app\nid: shop\nidentities: {identities}\n");
    let file = DefinitionFile { path: "app.yaml".to_owned(), text };
    Arc::new(Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap())
}

struct Calls<'h> {
    house: &'h House,
    log: Arc<dyn EventLog>,
    sent: std::cell::Cell<u64>,
}

impl Calls<'_> {
    async fn send(&self, kind: &str, body: &str) {
        // Ids that a batch counts on: each call is another.
        let body = body.replacen('{', &format!(r#"{{"messageId":"m{}","#, self.sent.get()), 1);
        self.sent.set(self.sent.get() + 1);
        let records = LiveCall::parse(kind, body.as_bytes(), NOW_MS, &Counting::new()).unwrap();
        self.append(records).await;
    }

    async fn by_hand(&self, body: RecordBody) {
        self.append(vec![LogRecord::by_hand(NOW_MS, body)]).await;
    }

    async fn append(&self, records: Vec<LogRecord>) {
        let records = records.iter().map(|record| record.encode().unwrap()).collect();
        self.log.append(&self.house.app, records).await.unwrap();
    }

    async fn admit(&self, landing: &Landing, definitions: &Arc<Definitions>) {
        let end = self.log.end(&self.house.app).await.unwrap();
        let on = CancellationToken::new();
        landing.admit(&self.house.app, definitions, end, &on).await.unwrap();
    }

    async fn land(&self, landing: &Landing, definitions: &Arc<Definitions>) {
        landing.land(&self.house.app, definitions, &CancellationToken::new()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_link_ids_and_what_is_no_id_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let calls = Calls { house: &house, log: house.log(), sent: 0.into() };
    let app = linking("{}");
    calls.send("track", r#"{"userId":"bob","event":"buy"}"#).await;
    calls.send("track", r#"{"anonymousId":"a1","event":"view"}"#).await;
    calls.send("identify", r#"{"userId":"u1","anonymousId":"a1","traits":{"plan":"x"}}"#).await;
    calls.send("identify", r#"{"userId":"u1","anonymousId":"a1"}"#).await;
    calls.send("identify", r#"{"userId":"u2","anonymousId":"a1"}"#).await;
    calls.send("identify", r#"{"userId":"u1","anonymousId":"undefined"}"#).await;
    // Somebody who claims to have been a known user before.
    calls.send("identify", r#"{"userId":"mallory","anonymousId":"bob"}"#).await;
    calls.send("alias", r#"{"userId":"u1","previousId":"a2"}"#).await;
    calls.send("alias", r#"{"userId":"u2","previousId":"u1"}"#).await;
    let external = r#"{"externalIds":[{"id":"d1","type":"device"},{"id":"x","type":"crn"}]}"#;
    calls.send("identify", &format!(r#"{{"userId":"u3","context":{external}}}"#)).await;
    // Admitted, and again by a process that came after a crash.
    let first = house.landing(calls.log.clone());
    calls.admit(&first, &app).await;
    let landing = house.landing(calls.log.clone());
    calls.admit(&landing, &app).await;
    calls.land(&landing, &app).await;
    assert_eq!(
        rows(&house, "identities", &COLUMNS).await,
        ["3 link a1 anonymous u1", "8 link a2 anonymous u1", "10 link d1 device u3"],
    );
    let refused = rows(&house, "rejected_events", &["row", "reason", "raw"]).await;
    assert_eq!(
        refused,
        [
            "5 identity_refused a1",
            "6 identity_refused undefined",
            "7 identity_refused bob",
            "9 identity_refused u1",
            "10 identity_refused x",
        ],
    );
    let events = rows(&house, "events", &["user_id", "user_id_type"]).await;
    assert!(events.contains(&"a1 anonymous".to_owned()), "{events:?}");

    // What landed is known to the next: who is known, and whose ids are whose.
    let landing = house.landing(calls.log.clone());
    calls.send("identify", r#"{"userId":"mallory","anonymousId":"bob"}"#).await;
    calls.send("identify", r#"{"userId":"u2","anonymousId":"a1"}"#).await;
    calls.send("identify", r#"{"userId":"u2","anonymousId":"a3"}"#).await;
    calls.by_hand(RecordBody::Unlinked { id: "a1".to_owned() }).await;
    calls.send("identify", r#"{"userId":"u2","anonymousId":"a1"}"#).await;
    calls.by_hand(RecordBody::Gone { user_id: "u2".to_owned(), expired: false }).await;
    calls.land(&landing, &app).await;
    let links = rows(&house, "identities", &COLUMNS).await;
    assert_eq!(
        links[3..],
        [
            "13 link a3 anonymous u2",
            "14 unlink a1 anonymous u1",
            "15 link a1 anonymous u2",
            "16 unlink a1 anonymous u2",
            "16 unlink a3 anonymous u2",
        ],
    );
    let gone = rows(&house, "user_changes", &["user_id", "op"]).await;
    assert_eq!(gone, ["a1 delete", "a3 delete", "u2 delete"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_allows_merges_and_sets_limits() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let calls = Calls { house: &house, log: house.log(), sent: 0.into() };
    let app = linking("{merge_known_users: true, types: {anonymous: {limit: 2}, card: {}}}");
    for id in ["a1", "a2", "a3"] {
        calls.send("identify", &format!(r#"{{"userId":"u1","anonymousId":"{id}"}}"#)).await;
    }
    calls.send("track", r#"{"userId":"u2","event":"buy"}"#).await;
    calls.send("alias", r#"{"userId":"u1","previousId":"u2"}"#).await;
    let linked = |id: &str, id_type: &str, user: &str| RecordBody::Linked {
        id: id.to_owned(),
        id_type: id_type.to_owned(),
        user_id: user.to_owned(),
    };
    calls.by_hand(linked("c1", "card", "u2")).await;
    calls.by_hand(linked("u1", "user", "u9")).await;
    let landing = house.landing(calls.log.clone());
    calls.land(&landing, &app).await;
    assert_eq!(
        rows(&house, "identities", &COLUMNS).await,
        [
            "1 link a1 anonymous u1",
            "2 link a2 anonymous u1",
            "5 link u2 user u1",
            "6 link c1 card u1",
            "7 link u1 user u9",
        ],
    );
    let refused = rows(&house, "rejected_events", &["row", "raw"]).await;
    assert_eq!(refused, ["3 a3"]);
    let links = house.lake.table(&house.app, layout::IDENTITIES).await.unwrap();
    let mapping = taghouse_identities::mapping_of(links.as_ref()).await.unwrap();
    let ids: Vec<String> = mapping.ids("u9").iter().map(|linked| linked.id.to_string()).collect();
    assert_eq!(ids, ["a1", "a2", "c1", "u1", "u2"], "in one step");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_section_no_call_links_anything() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let calls = Calls { house: &house, log: house.log(), sent: 0.into() };
    calls.send("identify", r#"{"userId":"u1","anonymousId":"a1"}"#).await;
    let landing = house.landing(calls.log.clone());
    calls.land(&landing, &definitions("")).await;
    assert!(house.lake.table(&house.app, "identities").await.unwrap().is_none());
    assert!(rows(&house, "rejected_events", &["raw"]).await.is_empty());
}

/// The rows of a table, by the number that they begin with.
async fn rows(house: &House, table: &str, columns: &[&str]) -> Vec<String> {
    let rows = house.rows(table, columns).await;
    let mut rows: Vec<String> = rows.iter().map(|row| row.replace('|', " ")).collect();
    rows.sort_by_key(|row| row.split(' ').next().and_then(|number| number.parse::<u64>().ok()));
    rows
}
