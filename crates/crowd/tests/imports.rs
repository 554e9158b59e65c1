//! Imported crowds: each file makes a version of the one before, and none is lost or counted twice.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use shop::{Shop, ten};
use std::sync::Arc;
use taghouse_crowd::{
    CrowdVersion, Error, GivenId, GivenUsers, IdCounts, Import, ImportMode, Imported,
};
use taghouse_model::{ErrorKind, Name};
use taghouse_rules::{CrowdDefinition, CrowdPolicy, CrowdSource};

fn define(shop: &mut Shop, policy: CrowdPolicy) -> CrowdDefinition {
    let crowd = CrowdDefinition {
        name: Name::new("listed").unwrap(),
        description: None,
        source: CrowdSource::Import { column: None, link: None },
        is_live: false,
        split: None,
        policy,
        marks: taghouse_rules::Marks::default(),
    };
    shop.definitions.crowds.insert(crowd.name.clone(), crowd.clone());
    crowd
}

async fn given(shop: &Shop, ids: &[&str]) -> GivenUsers {
    let mut given = shop.crowds.given_users(&shop.app, None).await.unwrap();
    given.add(ids).unwrap();
    given
}

fn how(mode: ImportMode) -> Import {
    Import { mode, batch: None, rows: None }
}

async fn import(
    shop: &Shop,
    crowd: &CrowdDefinition,
    ids: &[&str],
    import: &Import,
) -> taghouse_crowd::Result<Imported> {
    let given = given(shop, ids).await;
    shop.crowds.import(&shop.definitions, crowd, &given, import).await
}

async fn version(
    shop: &Shop,
    crowd: &CrowdDefinition,
    ids: &[&str],
    mode: ImportMode,
) -> CrowdVersion {
    match import(shop, crowd, ids, &how(mode)).await.unwrap() {
        Imported::Version(version) => *version,
        Imported::Before { version } => panic!("taken for a repetition of version {version}"),
    }
}

#[tokio::test]
async fn files_replace_add_and_remove() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = define(&mut shop, CrowdPolicy::default());
    let first = version(&shop, &crowd, &["u1", "nobody", "u2", "u1"], ImportMode::Append).await;
    assert_eq!(
        (first.version, first.size, first.expression.as_str()),
        (1, 2, "imported from files")
    );
    let counts = IdCounts { given: 4, unknown: 1, duplicates: 1, invalid: 0 };
    assert_eq!(first.ids, Some(counts));
    assert_eq!(shop.exported("listed").await, ["u1", "u2"]);

    version(&shop, &crowd, &["u2", "u3"], ImportMode::Append).await;
    assert_eq!(shop.exported("listed").await, ["u1", "u2", "u3"]);
    version(&shop, &crowd, &["u1", "u9"], ImportMode::Remove).await;
    assert_eq!(shop.exported("listed").await, ["u2", "u3"]);
    version(&shop, &crowd, &["u5"], ImportMode::Replace).await;
    assert_eq!(shop.exported("listed").await, ["u5"]);
    assert!(shop.crowds.judge(&shop.app, "u5", "listed").await.unwrap().in_crowd);
    assert_eq!(shop.count("crowd(\"listed\") && orders >= 5").await, 1);

    let computed = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap_err();
    assert!(matches!(computed, Error::NeedsImport { .. }), "{computed}");
    let rule = shop.define("rule", "orders > 1");
    let refused = import(&shop, &rule, &["u1"], &how(ImportMode::Append)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("made by its `expression`"), "{refused}");
}

#[tokio::test]
async fn each_id_is_told_of() {
    let shop = Shop::with(&ten()).await;
    let mut given = shop.crowds.given_users(&shop.app, None).await.unwrap();
    assert_eq!(given.known(&["u1", "x", "u1"]).unwrap(), 2);
    assert!(given.is_empty(), "looking for the column adds nobody");
    let found = given.add(&["u1", "x", "u1"]).unwrap();
    assert_eq!(found, [GivenId::Matched, GivenId::Unknown, GivenId::Duplicate]);
    assert_eq!(given.add(&["u1", "u2"]).unwrap(), [GivenId::Duplicate, GivenId::Matched]);
}

#[tokio::test]
async fn a_batch_is_imported_once() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = define(&mut shop, CrowdPolicy::default());
    let batch = |name: &str| Import { batch: Some(name.to_owned()), ..how(ImportMode::Append) };
    import(&shop, &crowd, &["u1"], &batch("monday")).await.unwrap();
    version(&shop, &crowd, &["u1"], ImportMode::Remove).await;
    let again = import(&shop, &crowd, &["u1"], &batch("monday")).await.unwrap();
    assert_eq!(again, Imported::Before { version: 1 });
    assert!(shop.exported("listed").await.is_empty(), "a delta that came again undoes nothing");
    let known = |name: &'static str| {
        let (crowds, app, crowd) = (shop.other_process(), shop.app.clone(), crowd.clone());
        async move { crowds.imported_before(&app, &crowd, Some(name)).await.unwrap() }
    };
    assert_eq!((known("monday").await, known("tuesday").await), (Some(1), None));

    // Of the same batch sent twice at once, one is imported.
    let shop = Arc::new(shop);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (shop, crowd, batch) = (shop.clone(), crowd.clone(), batch("tuesday"));
            tokio::spawn(async move { import(&shop, &crowd, &["u2"], &batch).await.unwrap() })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += u32::from(matches!(task.await.unwrap(), Imported::Version(_)));
    }
    assert_eq!(made, 1);
    for name in ["", &"x".repeat(129)] {
        let refused = import(&shop, &crowd, &["u2"], &batch(name)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_at_once_lose_nobody() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = define(&mut shop, CrowdPolicy { keep: 100, ..CrowdPolicy::default() });
    let shop = Arc::new(shop);
    let tasks: Vec<_> = (0..3)
        .map(|task| {
            let (shop, crowd) = (shop.clone(), crowd.clone());
            tokio::spawn(async move {
                for n in 0..3 {
                    let id = format!("u{}", task * 3 + n);
                    version(&shop, &crowd, &[&id], ImportMode::Append).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(shop.exported("listed").await.len(), 9);
}

#[tokio::test]
async fn what_was_gone_back_from_is_left_behind() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = define(&mut shop, CrowdPolicy::default());
    version(&shop, &crowd, &["u1"], ImportMode::Replace).await;
    version(&shop, &crowd, &["u2"], ImportMode::Append).await;
    shop.clock.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    shop.crowds.roll_back(&shop.app, "listed", None).await.unwrap();
    assert_eq!(shop.exported("listed").await, ["u1"]);

    shop.clock.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let third = version(&shop, &crowd, &["u3"], ImportMode::Append).await;
    assert!(third.waits.is_some(), "somebody went back");
    let fourth = version(&shop, &crowd, &["u4"], ImportMode::Append).await;
    assert_eq!((third.size, fourth.size), (2, 3), "the next adds to the one that waits");
    shop.crowds.publish_version(&shop.app, "listed", None).await.unwrap();
    assert_eq!(shop.exported("listed").await, ["u1", "u3", "u4"]);

    // A version that waited when another was chosen does not come back with the next file.
    let careful = CrowdPolicy { needs_approval: true, ..CrowdPolicy::default() };
    let crowd = define(&mut shop, careful);
    let fifth = version(&shop, &crowd, &["u5"], ImportMode::Append).await;
    assert!(fifth.waits.is_some());
    shop.crowds.publish_version(&shop.app, "listed", Some(fourth.version)).await.unwrap();
    version(&shop, &crowd, &["u6"], ImportMode::Append).await;
    shop.crowds.publish_version(&shop.app, "listed", None).await.unwrap();
    assert_eq!(shop.exported("listed").await, ["u1", "u3", "u4", "u6"]);
}

#[tokio::test]
async fn a_crowd_that_had_a_rule_begins_with_nobody() {
    let mut shop = Shop::with(&ten()).await;
    let rule = shop.define("listed", "orders >= 5");
    shop.crowds.compute(&shop.definitions, &rule).await.unwrap();
    let careful = CrowdPolicy { needs_approval: true, ..CrowdPolicy::default() };
    let crowd = define(&mut shop, careful);
    let second = version(&shop, &crowd, &["u1"], ImportMode::Append).await;
    assert_eq!((second.size, second.waits.is_some()), (1, true));
    // The rule's version is chosen again: what waited is not what the next file adds to.
    shop.crowds.publish_version(&shop.app, "listed", Some(1)).await.unwrap();
    assert_eq!(version(&shop, &crowd, &["u2"], ImportMode::Append).await.size, 1);
}

#[tokio::test]
async fn rows_are_kept_as_long_as_their_version() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = define(&mut shop, CrowdPolicy { keep: 2, ..CrowdPolicy::default() });
    let with_rows = Import { rows: Some("packed".into()), ..how(ImportMode::Append) };
    import(&shop, &crowd, &["u1"], &with_rows).await.unwrap();
    let rows = shop.crowds.import_rows(&shop.app, "listed", 1).await.unwrap();
    assert_eq!(rows.as_deref(), Some(&b"packed"[..]));
    assert_eq!(shop.objects("listed"), ["1.crowd", "1.rows.gz"]);
    shop.other_process().clean(&shop.app).await.unwrap();
    assert_eq!(shop.objects("listed"), ["1.crowd", "1.rows.gz"], "they are not left over");

    version(&shop, &crowd, &["u2"], ImportMode::Append).await;
    assert_eq!(shop.crowds.import_rows(&shop.app, "listed", 2).await.unwrap(), None);
    version(&shop, &crowd, &["u3"], ImportMode::Append).await;
    assert_eq!(shop.objects("listed"), ["2.crowd", "3.crowd"]);
    let gone = shop.crowds.import_rows(&shop.app, "listed", 1).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}
