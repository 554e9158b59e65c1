//! The sum of a tag is kept with its segment: to show it with live changes on top reads the values
//! of the changed users and no others.
#![allow(clippy::unwrap_used, clippy::panic)]

use object_store::local::LocalFileSystem;
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{
    Bitmap, Changes, Index, LiveOptions, Op, Publication, SegmentBuilder, TagChange, TagPublication,
};
use taghouse_model::{AppId, Name, Ordinal, Value, ValueType};

const SHARDS: u32 = 10;

/// Some 10,000 users of each 2^16 ordinals, so that every slice takes more than a block.
fn users() -> impl Iterator<Item = Ordinal> {
    (0..SHARDS << 4).flat_map(|container| (0..10_000_u32).map(move |n| (container << 16) | (n * 6)))
}

fn value(ordinal: Ordinal) -> i64 {
    i64::from(ordinal.wrapping_mul(0x9E37_79B9) >> 30) - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_users_that_did_not_change_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects");
    std::fs::create_dir(&objects).unwrap();
    let catalog = Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
    let store = Arc::new(LocalFileSystem::new_with_prefix(&objects).unwrap());
    let options =
        LiveOptions { tick: Duration::from_millis(5), flush_every: None, ..LiveOptions::default() };
    let index = Index::new(store, catalog)
        .local(objects.clone())
        .with_live(folder.path().join("live"), options);
    let (app, name) = (AppId::new("shop").unwrap(), Name::new("points").unwrap());
    let mut segment = SegmentBuilder::new(ValueType::Int);
    users().for_each(|user| segment.add(user, &Value::Int(value(user))).unwrap());
    let tag = TagPublication {
        name: name.clone(),
        value_type: ValueType::Int,
        as_of_ms: 0,
        definition: serde_json::json!({}),
        segment: segment.finish().unwrap().into(),
        flushed_through: None,
    };
    let publication = Publication {
        generation: 1,
        users: users().collect::<Bitmap>(),
        tags: vec![tag],
        drop: vec![],
    };
    index.publish(&app, publication, vec![]).await.unwrap();
    let snapshot = index.snapshot(&app).await.unwrap().unwrap();
    // The end of the last slice, in which nobody changes, is damaged: whoever reads it is told.
    let file = objects.join(&snapshot.info("points").unwrap().object);
    let mut bytes = std::fs::read(&file).unwrap();
    assert!(bytes.len() > 3 << 20, "{}", bytes.len());
    let end = bytes.len() - 500;
    bytes[end] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let shown = async || {
        index.snapshot(&app).await.unwrap().unwrap().tag("points").unwrap().unwrap().sum(None)
    };
    let mut expected: i128 = users().map(|user| i128::from(value(user))).sum();
    assert_eq!(shown().await.unwrap(), Some(expected));
    let change = async |ordinal, op| {
        let points = vec![TagChange { tag: name.clone(), ordinal, op }];
        index.change(&app, Changes { generation: 1, points, ..Changes::default() }).await.unwrap();
        index.position(&app).await.unwrap();
    };
    change(6, Op::Set(Value::Int(1_000_000))).await;
    expected += 1_000_000 - i128::from(value(6));
    assert_eq!(shown().await.unwrap(), Some(expected), "another value");
    change(12, Op::Unset).await;
    expected -= i128::from(value(12));
    assert_eq!(shown().await.unwrap(), Some(expected), "no value any more");
    change(7, Op::Set(Value::Int(-5))).await;
    expected -= 5;
    assert_eq!(shown().await.unwrap(), Some(expected), "a first value");
    index.delete_users(&app, 1, &[18, 6]).await.unwrap();
    expected -= i128::from(value(18)) + 1_000_000;
    assert_eq!(shown().await.unwrap(), Some(expected), "deleted users");
    let last = SHARDS << 20;
    let damage = index.snapshot(&app).await.unwrap().unwrap().tag("points").unwrap().unwrap();
    assert!(damage.sum(Some(&Bitmap::from_range(0..=last))).is_err(), "the damage is there");
}
