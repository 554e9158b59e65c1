//! Commits: conditions, atomicity, and that of many writers one wins.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;
use std::path::Path;
use taghouse_catalog::{
    AuditQuery, AuditRecord, Catalog, Change, Error, IngestedFile, KeyRecord, Role, RunRecord,
    SqliteCatalog,
};
use taghouse_model::{AppId, ErrorKind, Name};

fn app(id: &str) -> AppId {
    AppId::new(id).unwrap()
}

fn shop() -> AppId {
    app("shop")
}

async fn open(folder: &Path) -> SqliteCatalog {
    SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap()
}

fn put(name: &str, expected: Option<u64>, value: i64) -> Change {
    Change::PutPointer {
        kind: "index".into(),
        app: shop(),
        name: name.into(),
        expected,
        value: json!({ "at": value }),
    }
}

fn delete(name: &str, expected: u64) -> Change {
    Change::DeletePointer { kind: "index".into(), app: shop(), name: name.into(), expected }
}

fn swap(table: &str, expected: Option<&str>, location: &str) -> Change {
    Change::SwapTable {
        app: shop(),
        table: table.into(),
        expected: expected.map(str::to_owned),
        location: location.into(),
    }
}

fn define(name: &str, expected: Option<u64>, at_ms: i64) -> Change {
    Change::PutDefinition {
        app: shop(),
        kind: "tag".into(),
        name: name.into(),
        expected,
        body: json!({ "n": at_ms }),
        at_ms,
    }
}

fn undefine(name: &str, expected: u64) -> Change {
    Change::DeleteDefinition { app: shop(), kind: "tag".into(), name: name.into(), expected }
}

fn landed(name: &str, size_bytes: u64) -> IngestedFile {
    let (checksum, batch, ingested_ms) = ("abc".into(), 1, 5);
    IngestedFile {
        name: name.into(),
        size_bytes,
        checksum,
        rows: 9,
        accepted: 5,
        rejected: 1,
        filtered: 2,
        duplicates: 1,
        batch,
        ingested_ms,
    }
}

fn file(name: &str, size_bytes: u64) -> Change {
    Change::RecordFile {
        app: shop(),
        source: Name::new("web").unwrap(),
        file: landed(name, size_bytes),
    }
}

fn key(id: &str, app: Option<AppId>, role: Role) -> KeyRecord {
    KeyRecord {
        id: id.into(),
        app,
        role,
        secret_sha256: [0xfe; 32],
        note: "n".into(),
        created_ms: 1,
        revoked_ms: None,
        terms: taghouse_catalog::KeyTerms::default(),
        used_ms: None,
    }
}

fn run(id: &str, app: &str, state: &str, started_ms: i64, finished_ms: Option<i64>) -> RunRecord {
    RunRecord {
        id: id.into(),
        app: AppId::new(app).unwrap(),
        kind: "produce".into(),
        state: state.into(),
        detail: json!([1]),
        started_ms,
        finished_ms,
    }
}

fn line(app: Option<AppId>, action: &str) -> Change {
    Change::Audit(AuditRecord {
        app,
        at_ms: 3,
        actor: "local".into(),
        action: action.into(),
        subject: "s".into(),
        outcome: "done".into(),
    })
}

/// The state every case starts from: p at 1, q deleted at 2, table t at loc1, definition d at 1,
/// file f, key k, run r.
async fn prepare(catalog: &SqliteCatalog) {
    let changes = vec![
        put("p", None, 1),
        put("q", None, 1),
        delete("q", 1),
        swap("t", None, "loc1"),
        define("d", None, 1),
        file("f", 10),
        Change::PutKey(key("k", None, Role::Admin)),
        Change::PutRun(run("r", "shop", "running", 1, None)),
    ];
    catalog.commit(changes).await.unwrap();
}

#[tokio::test]
async fn conditions_as_cases() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).await;
    prepare(&catalog).await;
    let conflict = |what: &str, expected: &str, found: &str| {
        format!("{what} moved: expected {expected}, found {found}; read it again and retry")
    };
    let big = u64::MAX;
    let cases: Vec<(Change, ErrorKind, String)> = vec![
        (
            put("p", None, 2),
            ErrorKind::Conflict,
            conflict("pointer index/shop/p", "none", "revision 1"),
        ),
        (
            put("p", Some(2), 2),
            ErrorKind::Conflict,
            conflict("pointer index/shop/p", "revision 2", "revision 1"),
        ),
        (
            put("new", Some(1), 2),
            ErrorKind::Conflict,
            conflict("pointer index/shop/new", "revision 1", "none"),
        ),
        (
            put("q", Some(2), 2),
            ErrorKind::Conflict,
            conflict("pointer index/shop/q", "revision 2", "none"),
        ),
        (
            delete("p", 2),
            ErrorKind::Conflict,
            conflict("pointer index/shop/p", "revision 2", "revision 1"),
        ),
        (
            delete("q", 2),
            ErrorKind::Conflict,
            conflict("pointer index/shop/q", "revision 2", "none"),
        ),
        (swap("t", None, "loc2"), ErrorKind::Conflict, conflict("table shop.t", "none", "loc1")),
        (
            swap("t", Some("loc0"), "loc2"),
            ErrorKind::Conflict,
            conflict("table shop.t", "loc0", "loc1"),
        ),
        (
            swap("u", Some("loc0"), "loc2"),
            ErrorKind::Conflict,
            conflict("table shop.u", "loc0", "none"),
        ),
        (
            define("d", None, 2),
            ErrorKind::Conflict,
            conflict("definition shop/tag/d", "none", "revision 1"),
        ),
        (
            define("d", Some(3), 2),
            ErrorKind::Conflict,
            conflict("definition shop/tag/d", "revision 3", "revision 1"),
        ),
        (
            undefine("e", 1),
            ErrorKind::Conflict,
            conflict("definition shop/tag/e", "revision 1", "none"),
        ),
        (file("f", 11), ErrorKind::Conflict, conflict("file shop/web/f", "none", "checksum abc")),
        (
            Change::PutKey(key("k", None, Role::Judge)),
            ErrorKind::Conflict,
            conflict("key k", "none", "a key of that id"),
        ),
        (
            Change::RevokeKey { id: "x".into(), at_ms: 1 },
            ErrorKind::NotFound,
            "there is no key x".into(),
        ),
        (
            Change::PutRun(run("r", "other", "running", 1, None)),
            ErrorKind::Conflict,
            conflict("run r", "a run of app other", "a run of another app"),
        ),
        (
            file("g", big),
            ErrorKind::Invalid,
            format!("the file's size is {big}, more than the catalog holds (2^63 - 1)"),
        ),
        (
            put("p", Some(big), 1),
            ErrorKind::Invalid,
            format!("the expected revision is {big}, more than the catalog holds (2^63 - 1)"),
        ),
    ];
    for (change, kind, message) in cases {
        // Around it changes that would apply: nothing of the commit may stay.
        let error = catalog
            .commit(vec![put("side", None, 1), change.clone(), line(Some(shop()), "never")])
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (kind, message), "{change:?}");
    }
    assert_eq!(catalog.pointer("index", &shop(), "side").await.unwrap(), None);
    assert_eq!(catalog.audit(&trail(Some(shop()), 10)).await.unwrap(), []);
    assert_eq!(catalog.pointers("index", &shop()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn revisions_rise_by_one_and_go_on_behind_a_deletion() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).await;
    prepare(&catalog).await;
    // Changes of one commit see those before them.
    catalog
        .commit(vec![put("p", Some(1), 2), put("p", Some(2), 3), put("q", None, 7)])
        .await
        .unwrap();
    let pointers = catalog.pointers("index", &shop()).await.unwrap();
    let shown: Vec<_> = pointers
        .iter()
        .map(|(name, pointer)| format!("{name} {} {}", pointer.revision, pointer.value))
        .collect();
    assert_eq!(shown, [r#"p 3 {"at":3}"#, r#"q 3 {"at":7}"#]);
    assert_eq!(
        catalog.pointer("index", &shop(), "p").await.unwrap().as_ref(),
        Some(&pointers[0].1)
    );
    assert_eq!(catalog.pointer("crowd", &shop(), "p").await.unwrap(), None);
    assert_eq!(catalog.pointer("index", &app("other"), "p").await.unwrap(), None);

    catalog.commit(vec![define("d", Some(1), 20), undefine("d", 2)]).await.unwrap();
    assert_eq!(catalog.definitions(&shop()).await.unwrap(), []);
    assert_eq!(catalog.apps().await.unwrap(), []);
    catalog.commit(vec![define("d", None, 30), define("c", None, 31)]).await.unwrap();
    let definitions = catalog.definitions(&shop()).await.unwrap();
    let shown: Vec<_> = definitions
        .iter()
        .map(|d| (d.kind.as_str(), d.name.as_str(), d.revision, d.updated_ms, d.body.to_string()))
        .collect();
    assert_eq!(
        shown,
        [("tag", "c", 1, 31, r#"{"n":31}"#.into()), ("tag", "d", 4, 30, r#"{"n":30}"#.into())]
    );
    assert_eq!(catalog.apps().await.unwrap(), [shop()]);
}

#[tokio::test]
async fn records_come_back_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).await;
    prepare(&catalog).await;
    let mut keys = vec![key("k", None, Role::Admin)];
    keys.extend(Role::ALL.into_iter().map(|role| key(&format!("k-{role}"), Some(shop()), role)));
    catalog.commit(keys[1..].iter().cloned().map(Change::PutKey).collect()).await.unwrap();
    catalog
        .commit(vec![
            Change::RevokeKey { id: "k".into(), at_ms: 9 },
            Change::RevokeKey { id: "k".into(), at_ms: 10 },
        ])
        .await
        .unwrap();
    keys[0].revoked_ms = Some(9);
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(catalog.keys().await.unwrap(), keys);

    catalog.commit(vec![file("e", 0), file("g", i64::MAX as u64)]).await.unwrap();
    let web = Name::new("web").unwrap();
    assert_eq!(
        catalog.ingested_files(&shop(), &web).await.unwrap(),
        [landed("e", 0), landed("f", 10), landed("g", i64::MAX as u64)]
    );
    assert_eq!(catalog.ingested_files(&shop(), &Name::new("app").unwrap()).await.unwrap(), []);

    let runs = [
        run("r", "shop", "failed", 1, Some(2)),
        run("s", "shop", "running", 5, None),
        run("t", "shop", "running", 5, None),
    ];
    let other = run("u", "other", "running", 0, None);
    catalog
        .commit(runs.iter().chain([&other]).cloned().map(Change::PutRun).collect())
        .await
        .unwrap();
    assert_eq!(catalog.runs(&shop(), 2).await.unwrap(), [runs[2].clone(), runs[1].clone()]);
    assert_eq!(catalog.run(&shop(), "r").await.unwrap().as_ref(), Some(&runs[0]));
    assert_eq!(catalog.run(&shop(), "u").await.unwrap(), None, "no call crosses apps");
    assert_eq!(catalog.unfinished_runs().await.unwrap(), [other, runs[1].clone(), runs[2].clone()]);

    catalog
        .commit(vec![line(None, "house"), line(Some(shop()), "one"), line(Some(shop()), "two")])
        .await
        .unwrap();
    assert_eq!(actions(&catalog, trail(Some(shop()), 10)).await, ["two", "one"]);
    assert_eq!(actions(&catalog, trail(Some(shop()), 1)).await, ["two"]);
    assert_eq!(actions(&catalog, trail(None, 10)).await, ["house"]);
}

fn trail(app: Option<AppId>, limit: u32) -> AuditQuery {
    AuditQuery { app, limit, ..AuditQuery::default() }
}

async fn actions(catalog: &SqliteCatalog, query: AuditQuery) -> Vec<String> {
    catalog.audit(&query).await.unwrap().into_iter().map(|entry| entry.line.action).collect()
}

#[tokio::test]
async fn the_trail_is_read_by_what_is_asked_and_pruned_by_age_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).await;
    let at = |at_ms: i64, actor: &str, action: &str| {
        let record = AuditRecord {
            app: Some(shop()),
            at_ms,
            actor: actor.into(),
            action: action.into(),
            subject: "s".into(),
            outcome: "begun".into(),
        };
        Change::Audit(record)
    };
    let lines = vec![
        at(1, "a", "key.create"),
        at(2, "b", "key.revoke"),
        at(3, "a", "keys"),
        at(4, "b", "delete"),
        at(5, "a", "delete"),
    ];
    catalog.commit(lines).await.unwrap();
    let all = || trail(Some(shop()), 10);
    let cases = [
        (all(), vec!["delete", "delete", "keys", "key.revoke", "key.create"]),
        (AuditQuery { action: Some("key".into()), ..all() }, vec!["key.revoke", "key.create"]),
        (AuditQuery { action: Some("key.create".into()), ..all() }, vec!["key.create"]),
        (AuditQuery { actor: Some("b".into()), ..all() }, vec!["delete", "key.revoke"]),
        (AuditQuery { from_ms: Some(2), to_ms: Some(4), ..all() }, vec!["keys", "key.revoke"]),
        (AuditQuery { app: Some(AppId::new("other").unwrap()), ..all() }, vec![]),
    ];
    for (query, expected) in cases {
        assert_eq!(actions(&catalog, query.clone()).await, expected, "{query:?}");
    }
    let first = catalog.audit(&AuditQuery { limit: 2, ..all() }).await.unwrap();
    let rest = AuditQuery { before: Some(first[1].id), ..all() };
    assert_eq!(
        actions(&catalog, rest).await,
        ["keys", "key.revoke", "key.create"],
        "the next page"
    );
    assert_eq!(first[0].line.outcome, "begun");

    catalog.commit(vec![Change::PruneAudit { before_ms: 3, keep: 100, at_once: 1 }]).await.unwrap();
    assert_eq!(
        actions(&catalog, all()).await,
        ["delete", "delete", "keys", "key.revoke"],
        "one at once"
    );
    catalog
        .commit(vec![Change::PruneAudit { before_ms: 3, keep: 100, at_once: 10 }])
        .await
        .unwrap();
    assert_eq!(actions(&catalog, all()).await, ["delete", "delete", "keys"]);
    catalog.commit(vec![Change::PruneAudit { before_ms: 0, keep: 2, at_once: 10 }]).await.unwrap();
    assert_eq!(actions(&catalog, all()).await, ["delete", "delete"]);
}

#[tokio::test]
async fn acts_without_an_end_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).await;
    let line = |app: Option<AppId>, subject: &str, outcome: &str| {
        let (actor, action) = ("a".to_owned(), "export".to_owned());
        Change::Audit(AuditRecord {
            app,
            at_ms: 1,
            actor,
            action,
            subject: subject.to_owned(),
            outcome: outcome.to_owned(),
        })
    };
    let of = |subject: &str, outcome: &str| line(Some(shop()), subject, outcome);
    let open_acts = async || -> Vec<String> {
        catalog.open_acts().await.unwrap().into_iter().map(|line| line.subject).collect()
    };
    catalog
        .commit(vec![
            of("one", "begun"),
            of("two", "begun"),
            of("two", "begun"),
            line(None, "one", "begun"),
        ])
        .await
        .unwrap();
    assert_eq!(open_acts().await, ["one", "two", "two", "one"]);
    // An end is of its own app, and ends one of two that read the same.
    catalog
        .commit(vec![of("one", "done"), of("two", "failed: x"), of("three", "done")])
        .await
        .unwrap();
    assert_eq!(open_acts().await, ["two", "one"]);
    catalog
        .commit(vec![Change::PruneAudit { before_ms: 2, keep: 100, at_once: 100 }])
        .await
        .unwrap();
    assert_eq!(open_acts().await, [] as [&str; 0], "lines that are gone are nobody's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_writers_exactly_one_wins_each_round() {
    let folder = tempfile::tempdir().unwrap();
    // Two handles on one file: as two processes, beside the tasks that share one.
    let catalogs = [open(folder.path()).await, open(folder.path()).await];
    const WRITERS: usize = 8;
    const ROUNDS: u64 = 10;
    for round in 0..ROUNDS {
        let writers = (0..WRITERS).map(|writer| {
            let catalog = catalogs[writer % 2].clone();
            tokio::spawn(async move {
                let expected = (round > 0).then_some(round);
                let location = (round > 0).then(|| format!("loc{round}"));
                let next = format!("loc{}", round + 1);
                let counted = put(&format!("won-{round}-{writer}"), None, 0);
                catalog
                    .commit(vec![
                        counted,
                        put("p", expected, writer as i64),
                        swap("t", location.as_deref(), &next),
                    ])
                    .await
            })
        });
        let mut won = 0;
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(()) => won += 1,
                Err(Error::Conflict { what, .. }) => assert_eq!(what, "pointer index/shop/p"),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1, "round {round}");
    }
    for catalog in &catalogs {
        assert_eq!(catalog.pointer("index", &shop(), "p").await.unwrap().unwrap().revision, ROUNDS);
        assert_eq!(
            catalog.table_location(&shop(), "t").await.unwrap(),
            Some(format!("loc{ROUNDS}"))
        );
        assert_eq!(
            catalog.pointers("index", &shop()).await.unwrap().len() as u64,
            ROUNDS + 1,
            "losers left nothing"
        );
    }
}

#[tokio::test]
async fn keys_are_rotated_once_and_their_last_use_only_rises() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
    catalog.commit(vec![Change::PutKey(key("k", None, Role::Judge))]).await.unwrap();
    let terms = taghouse_catalog::KeyTerms {
        grants: vec!["crowd:vip_*=judge".parse().unwrap(), "label:sensitive".parse().unwrap()],
        expires_ms: Some(70),
        former: Some(taghouse_catalog::FormerSecret { sha256: [0xfe; 32], until_ms: 50 }),
        rate: Some(taghouse_catalog::KeyRate { per_second: 5, burst: 9 }),
    };
    let rotate = |id: &str, expected: [u8; 32]| Change::RotateKey {
        id: id.into(),
        expected,
        secret_sha256: [7; 32],
        terms: terms.clone(),
    };
    let uses = [30, 20].map(|at_ms| Change::UseKey { id: "k".into(), at_ms });
    catalog.commit([vec![rotate("k", [0xfe; 32])], uses.to_vec()].concat()).await.unwrap();
    let kept = catalog.keys().await.unwrap().remove(0);
    assert_eq!((&kept.terms, kept.secret_sha256, kept.used_ms), (&terms, [7; 32], Some(30)));
    for (id, kind) in [("k", ErrorKind::Conflict), ("none", ErrorKind::NotFound)] {
        let refused = catalog.commit(vec![rotate(id, [0xfe; 32])]).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
    }
    let gone = Change::UseKey { id: "none".into(), at_ms: 1 };
    catalog.commit(vec![gone, Change::RevokeKey { id: "k".into(), at_ms: 9 }]).await.unwrap();
    let refused = catalog.commit(vec![rotate("k", [7; 32])]).await.unwrap_err();
    assert!(refused.to_string().contains("revoked"), "{refused}");
}
