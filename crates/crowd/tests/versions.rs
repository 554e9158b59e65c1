//! Versions: published whole, kept five, never overwritten, the same for every reader.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use shop::{Shop, ten};
use std::sync::Arc;
use taghouse_crowd::Error;
use taghouse_disk::rehearsal::Rehearsal;
use taghouse_model::ErrorKind;

#[tokio::test]
async fn tells_what_it_was_made_of() {
    let mut shop = Shop::with(&ten()).await;
    let first = shop.define("french", "vip == false && country == 'France'");
    let version = shop.crowds.compute(&shop.definitions, &first).await.unwrap();
    assert_eq!((version.version, version.size, version.revision, version.generation), (1, 4, 1, 1));
    assert_eq!((version.oldest_as_of_ms, version.newest_as_of_ms), (Some(200), Some(300)));
    assert_eq!((version.expression, version.created_ms), (first.source.to_string(), 1_000_000));
    assert_eq!(version.object, "crowds/shop/french/1.crowd");
    let through = shop.define("through", "crowd(\"french\") && orders > 3");
    let version = shop.crowds.compute(&shop.definitions, &through).await.unwrap();
    assert_eq!(
        (version.oldest_as_of_ms, version.newest_as_of_ms),
        (Some(100), Some(300)),
        "also of the tags below"
    );
}

#[tokio::test]
async fn keeps_five() {
    let mut shop = Shop::with(&ten()).await;
    for n in 0..8u64 {
        let crowd = shop.define("busy", &format!("orders > {n}"));
        assert_eq!(shop.crowds.compute(&shop.definitions, &crowd).await.unwrap().version, n + 1);
    }
    let versions = shop.crowds.versions(&shop.app, "busy").await.unwrap();
    assert_eq!(versions.current, 8);
    assert_eq!(
        versions.versions.iter().map(|v| (v.version, v.size)).collect::<Vec<_>>(),
        [(4, 6), (5, 5), (6, 4), (7, 3), (8, 2)]
    );
    assert_eq!(shop.objects("busy"), ["4.crowd", "5.crowd", "6.crowd", "7.crowd", "8.crowd"]);
    let old = shop.crowds.members(&shop.app, "busy", Some(4)).await.unwrap();
    assert_eq!(
        (old.ids().map(|c| c.unwrap().len()).sum::<usize>() as u64, old.version().size),
        (6, 6)
    );
    let gone = shop.crowds.members(&shop.app, "busy", Some(3)).await.err().unwrap();
    assert_eq!(gone.to_string(), "crowd busy has no version 3: versions 4, 5, 6, 7, 8 are kept");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn members_stay_while_others_publish() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("busy", "orders > 5");
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let members = shop.crowds.members(&shop.app, "busy", None).await.unwrap();
    let crowd = shop.define("busy", "orders > 8");
    for _ in 0..7 {
        shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    }
    assert_eq!(
        members.ids().flat_map(Result::unwrap).collect::<Vec<_>>(),
        ["u6", "u7", "u8", "u9"]
    );
    assert_eq!(shop.exported("busy").await, ["u9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn computations_at_once_lose_nothing() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("busy", "orders > 5");
    let shop = Arc::new(shop);
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let (crowds, crowd) = (shop.other_process(), crowd.clone());
            let definitions = shop.definitions.clone();
            tokio::spawn(
                async move { crowds.compute(&definitions, &crowd).await.map(|v| v.version) },
            )
        })
        .collect();
    let mut published = Vec::new();
    for task in tasks {
        published.push(task.await.unwrap().unwrap());
    }
    published.sort_unstable();
    assert_eq!(published, [1, 2, 3], "each its own number");
    let versions = shop.crowds.versions(&shop.app, "busy").await.unwrap();
    assert_eq!(versions.versions.iter().map(|v| v.version).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        shop.objects("busy").len(),
        3,
        "those that lost left nothing: {:?}",
        shop.objects("busy")
    );
}

#[tokio::test]
async fn what_a_stopped_process_left_is_neither_used_nor_kept() {
    let mut shop = Shop::with(&ten()).await;
    let folder = shop.folder.path().join("objects/crowds/shop/busy");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("1.crowd"), b"half").unwrap();
    let crowd = shop.define("busy", "orders > 5");
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    assert_eq!((version.version, version.object.as_str()), (1, "crowds/shop/busy/1-1.crowd"));
    assert_eq!(
        shop.other_process()
            .members(&shop.app, "busy", None)
            .await
            .unwrap()
            .ids()
            .next()
            .unwrap()
            .unwrap()
            .len(),
        4
    );
    for _ in 0..5 {
        shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    }
    assert_eq!(shop.objects("busy"), ["2.crowd", "3.crowd", "4.crowd", "5.crowd", "6.crowd"]);
}

/// Such as of a compaction: of those who rewrite, nobody writes a later version.
#[tokio::test]
async fn what_a_stopped_rewriting_left_goes_although_nobody_was_deleted() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("busy", "orders > 5");
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let folder = shop.folder.path().join("objects/crowds/shop/busy");
    std::fs::write(folder.join("1-1.crowd"), b"half").unwrap();
    std::fs::write(folder.join("2.crowd"), b"being computed").unwrap();
    assert_eq!(shop.crowds.clean(&shop.app).await.unwrap(), 0);
    assert_eq!(shop.objects("busy"), ["1.crowd", "2.crowd"]);
    assert_eq!(shop.exported("busy").await.len(), 4);
}

#[tokio::test]
async fn another_process_is_seen_at_the_next_refresh_and_this_one_at_once() {
    let mut shop = Shop::with(&ten()).await;
    let (crowds, other) = (Arc::clone(&shop.crowds), shop.other_process());
    let crowd = shop.define("busy", "orders > 5");
    crowds.compute(&shop.definitions, &crowd).await.unwrap();
    assert_eq!(other.judge(&shop.app, "u7", "busy").await.unwrap().version, 1);
    let crowd = shop.define("busy", "orders > 8");
    crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let judgment = crowds.judge(&shop.app, "u7", "busy").await.unwrap();
    assert_eq!((judgment.version, judgment.in_crowd), (2, false));
    other.refresh().await.unwrap();
    let judgment = other.judge(&shop.app, "u7", "busy").await.unwrap();
    assert_eq!((judgment.version, judgment.in_crowd), (2, false));
}

#[tokio::test]
async fn damage_is_told_and_fixed_by_computing_again() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("busy", "orders > 5");
    let object = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap().object;
    let path = shop.folder.path().join("objects").join(&object);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, &bytes).unwrap();
    let error = shop.other_process().judge(&shop.app, "u7", "busy").await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { what, .. } if *what == object), "{error}");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    std::fs::remove_file(&path).unwrap();
    let error = shop.other_process().judge(&shop.app, "u7", "busy").await.unwrap_err();
    assert!(
        error.to_string().contains("is missing")
            && error.to_string().contains("compute the crowd again"),
        "{error}"
    );
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    assert!(shop.other_process().judge(&shop.app, "u7", "busy").await.unwrap().in_crowd);
}

#[tokio::test]
async fn renumbered_users_make_old_answers_refused_until_all_is_produced() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("busy", "orders > 5");
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    shop.dictionary.renew(&shop.app, 2).unwrap();
    let old = "version 1 of crowd busy was computed before the users were renumbered: run `taghouse produce`";
    assert_eq!(shop.crowds.judge(&shop.app, "u7", "busy").await.unwrap_err().to_string(), old);
    assert_eq!(
        shop.other_process().members(&shop.app, "busy", None).await.err().unwrap().to_string(),
        old
    );
    let error = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap_err();
    assert!(
        matches!(error, Error::OldIndex { .. })
            && error.to_string().contains("run `taghouse produce` to rebuild"),
        "{error}"
    );
    assert!(matches!(
        shop.crowds.profile(&shop.app, "u7", None).await.unwrap_err(),
        Error::OldIndex { .. }
    ));
    shop.produce(&ten()).await;
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    assert_eq!((version.generation, version.size, shop.exported("busy").await.len()), (2, 4, 4));
    assert!(shop.crowds.judge(&shop.app, "u7", "busy").await.unwrap().in_crowd);
}

#[tokio::test]
async fn a_version_outlasts_a_loss_of_power_and_none_is_published_after_a_failed_sync() {
    let mut shop = Shop::with(&ten()).await;
    let objects = shop.folder.path().join("objects");
    let rehearsal = Rehearsal::of(&objects).unwrap();
    let busy = shop.define("busy", "orders > 3");
    shop.crowds.compute(&shop.definitions, &busy).await.unwrap();
    for failing in ["crowd", "busy"] {
        rehearsal.fail_when(move |path| {
            path.extension().is_some_and(|ending| ending == failing) || path.ends_with(failing)
        });
        let error = shop.crowds.compute(&shop.definitions, &busy).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{failing}: {error}");
        assert_eq!(shop.crowds.versions(&shop.app, "busy").await.unwrap().current, 1, "{failing}");
    }
    rehearsal.fail_no_more();
    let exported = shop.exported("busy").await;
    assert_eq!(
        shop.crowds.compute(&shop.definitions, &busy).await.unwrap().version,
        2,
        "what the failures left is stepped over"
    );
    rehearsal.lose_power().unwrap();
    let other = shop.other_process();
    for version in [1, 2] {
        let members = other.members(&shop.app, "busy", Some(version)).await.unwrap();
        assert_eq!(members.ids().flat_map(Result::unwrap).collect::<Vec<_>>(), exported);
    }
}
