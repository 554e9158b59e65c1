//! Publishing: one cut for readers, compare-and-swap for writers, nothing left behind.
#![allow(clippy::unwrap_used, clippy::panic)]

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::{Catalog, Change, SqliteCatalog};
use taghouse_index::{
    Bitmap, Index, LoadOptions, Loader, Publication, SegmentBuilder, SegmentSource, TagPublication,
};
use taghouse_model::{AppId, ErrorKind, Name, Value, ValueType};
use taghouse_rules::{CompareOp, Predicate};

struct House {
    store: Arc<InMemory>,
    catalog: Arc<SqliteCatalog>,
    index: Index,
    app: AppId,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        let store = Arc::new(InMemory::new());
        let index = Index::new(store.clone(), catalog.clone());
        Self { store, catalog, index, app: AppId::new("shop").unwrap(), _folder: folder }
    }

    /// Another process on the same data.
    fn another(&self) -> Index {
        Index::new(self.store.clone(), self.catalog.clone())
    }

    async fn publish(&self, tags: &[(&str, i64)]) -> u64 {
        self.index.publish(&self.app, publication(tags), vec![]).await.unwrap()
    }

    async fn objects(&self) -> Vec<String> {
        list(&self.store).await
    }

    async fn value(&self, tag: &str) -> Option<Value> {
        self.index
            .snapshot(&self.app)
            .await
            .unwrap()
            .unwrap()
            .tag(tag)
            .unwrap()
            .and_then(|segment| segment.value_of(1).unwrap())
    }
}

async fn list(store: &InMemory) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![None];
    while let Some(folder) = folders.pop() {
        let listed = store.list_with_delimiter(folder.as_ref()).await.unwrap();
        paths.extend(listed.objects.into_iter().map(|object| object.location.to_string()));
        folders.extend(listed.common_prefixes.into_iter().map(Some));
    }
    paths.sort();
    paths
}

/// Users 0 to 9; each tag gives all of them its number.
fn publication(tags: &[(&str, i64)]) -> Publication {
    let tags = tags.iter().map(|(name, number)| {
        let mut builder = SegmentBuilder::new(ValueType::Int);
        (0..10).for_each(|user| builder.add(user, &Value::Int(*number)).unwrap());
        let definition = serde_json::json!({ "number": number });
        let name = Name::new(name).unwrap();
        TagPublication {
            name,
            value_type: ValueType::Int,
            as_of_ms: 17,
            definition,
            segment: builder.finish().unwrap().into(),
            flushed_through: None,
        }
    });
    Publication {
        generation: 1,
        users: Bitmap::from_range(0..=9),
        tags: tags.collect(),
        drop: vec![],
    }
}

fn pointer(name: &str, expected: Option<u64>) -> Change {
    let app = AppId::new("shop").unwrap();
    Change::PutPointer {
        kind: "other".to_owned(),
        app,
        name: name.to_owned(),
        expected,
        value: serde_json::json!(1),
    }
}

#[tokio::test]
async fn tags_are_carried_over_and_old_objects_deleted() {
    let house = House::new().await;
    assert!(house.index.snapshot(&house.app).await.unwrap().is_none());
    assert_eq!(house.publish(&[("a", 1), ("b", 1)]).await, 1);
    let first = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!(house.publish(&[("a", 2)]).await, 2);
    assert_eq!(
        (house.value("a").await, house.value("b").await),
        (Some(Value::Int(2)), Some(Value::Int(1)))
    );
    // The cut before is whole, in the store too.
    assert_eq!(first.tag("a").unwrap().unwrap().value_of(1).unwrap(), Some(Value::Int(1)));
    // A manifest and the users of each revision, a of each, and b.
    assert_eq!(house.objects().await.len(), 2 + 2 + 2 + 1);
    let tag = first.info("a").unwrap();
    assert_eq!(
        (tag.as_of_ms, tag.users, tag.value_type, &tag.definition),
        (17, 10, ValueType::Int, &serde_json::json!({ "number": 1 }))
    );

    let mut third = publication(&[("a", 3)]);
    third.drop.push(Name::new("b").unwrap());
    assert_eq!(house.index.publish(&house.app, third, vec![]).await.unwrap(), 3);
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!((snapshot.revision(), snapshot.tags().count(), snapshot.users().len()), (3, 1, 10));
    // a, users: of revisions 1 to 3, for the first is still read; manifests of 2 and 3; b
    assert_eq!(house.objects().await.len(), 9);
    house.publish(&[("a", 4)]).await;
    assert_eq!(house.objects().await.len(), 9, "those of revision 2 are gone");
    assert_eq!(first.tag("b").unwrap().unwrap().value_of(1).unwrap(), Some(Value::Int(1)));
    drop(first);
    house.publish(&[("a", 5)]).await;
    assert_eq!(
        house.objects().await.len(),
        8,
        "a, users: of revisions 3 (still read) to 5; manifests of 4 and 5"
    );
}

#[tokio::test]
async fn a_snapshot_is_shared_until_something_changes() {
    let house = House::new().await;
    house.publish(&[("a", 1), ("b", 1)]).await;
    let one = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&one, &house.index.snapshot(&house.app).await.unwrap().unwrap()));
    // Another process publishes: seen when it is looked for.
    house.another().publish(&house.app, publication(&[("b", 5)]), vec![]).await.unwrap();
    assert!(Arc::ptr_eq(&one, &house.index.snapshot(&house.app).await.unwrap().unwrap()));
    house.index.refresh(&house.app).await.unwrap();
    assert_eq!(
        (house.value("a").await, house.value("b").await),
        (Some(Value::Int(1)), Some(Value::Int(5)))
    );
    assert!(house.index.snapshot(&AppId::new("another").unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_all_get_in() {
    let house = House::new().await;
    house.publish(&[("a", 1)]).await;
    // Two processes of four writers each.
    let processes = [Arc::new(house.another()), Arc::new(house.another())];
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let (index, app) = (processes[number % 2].clone(), house.app.clone());
            tokio::spawn(async move {
                for round in 0..5 {
                    index
                        .publish(&app, publication(&[(&format!("t{number}"), round)]), vec![])
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    house.index.refresh(&house.app).await.unwrap();
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!((snapshot.revision(), snapshot.tags().count()), (41, 9));
    for number in 0..8 {
        assert_eq!(house.value(&format!("t{number}")).await, Some(Value::Int(4)));
    }
    assert_eq!(house.value("a").await, Some(Value::Int(1)));
    // A manifest and the users of two revisions, and the tags of the last and of the one before.
    assert_eq!(house.objects().await.len(), 4 + 9 + 1);
}

#[tokio::test]
async fn a_snapshot_asks_neither_the_catalog_nor_the_store() {
    let house = House::new().await;
    let nobody = AppId::new("nobody").unwrap();
    house.publish(&[("a", 1)]).await;
    assert!(house.index.snapshot(&nobody).await.unwrap().is_none());
    house.catalog.close().await;
    for object in house.objects().await {
        house.store.delete(&Path::from(object.as_str())).await.unwrap();
    }
    assert_eq!(house.value("a").await, Some(Value::Int(1)));
    assert_eq!(house.index.published(&house.app).await.unwrap().unwrap().revision, 1);
    assert!(house.index.snapshot(&nobody).await.unwrap().is_none());
    assert!(house.index.published(&nobody).await.unwrap().is_none());
    assert_eq!(house.index.refresh(&house.app).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(
        house.value("a").await,
        Some(Value::Int(1)),
        "a refresh that fails leaves what is known"
    );
}

#[tokio::test]
async fn what_another_process_publishes_is_followed_by_its_revision_alone() {
    let house = House::new().await;
    house.publish(&[("a", 1)]).await;
    let index = Arc::new(house.another());
    let seen = async || {
        index
            .snapshot(&house.app)
            .await
            .unwrap()
            .unwrap()
            .tag("a")
            .unwrap()
            .unwrap()
            .value_of(1)
            .unwrap()
    };
    assert_eq!(seen().await, Some(Value::Int(1)));
    // A manifest that nobody needs to read again.
    let manifest =
        house.objects().await.into_iter().find(|object| object.contains("manifest")).unwrap();
    house.store.delete(&Path::from(manifest.as_str())).await.unwrap();
    index.follow_in_background(Duration::from_millis(2));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(seen().await, Some(Value::Int(1)));
    house.publish(&[("a", 2)]).await;
    let followed = async {
        while seen().await != Some(Value::Int(2)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), followed).await.expect("it takes milliseconds");
}

#[tokio::test]
async fn a_manifest_in_the_pointer_becomes_an_object() {
    let house = House::new().await;
    house.publish(&[("a", 1), ("b", 1)]).await;
    let current = house.catalog.pointer("index", &house.app, "current").await.unwrap().unwrap();
    assert!(current.value.to_string().len() < 300, "{}", current.value);
    // As it was before manifests were objects.
    let object = current.value["manifest"].as_str().unwrap().to_owned();
    let manifest =
        house.store.get(&Path::from(object.as_str())).await.unwrap().bytes().await.unwrap();
    house.store.delete(&Path::from(object.as_str())).await.unwrap();
    let (kind, name) = ("index".to_owned(), "current".to_owned());
    let value = serde_json::from_slice(&manifest).unwrap();
    let old = Change::PutPointer {
        kind,
        app: house.app.clone(),
        name,
        expected: Some(current.revision),
        value,
    };
    house.catalog.commit(vec![old]).await.unwrap();
    let index = house.another();
    let snapshot = index.snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!((snapshot.revision(), snapshot.tags().count(), snapshot.users().len()), (2, 2, 10));
    index.publish(&house.app, publication(&[("a", 2)]), vec![]).await.unwrap();
    let value = house.catalog.pointer("index", &house.app, "current").await.unwrap().unwrap().value;
    assert!(
        value["manifest"]
            .as_str()
            .is_some_and(|path| path.starts_with("index/shop/manifest-json/")),
        "{value}"
    );
    let snapshot = house.another().snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!((snapshot.revision(), snapshot.tags().count()), (3, 2));
}

#[tokio::test]
async fn a_lost_manifest_is_replaced_by_another_generation_only() {
    let house = House::new().await;
    house.publish(&[("a", 1), ("b", 1)]).await;
    let object =
        house.objects().await.into_iter().find(|object| object.contains("manifest")).unwrap();
    house.store.delete(&Path::from(object.as_str())).await.unwrap();
    let index = house.another();
    let error = index.publish(&house.app, publication(&[("a", 2)]), vec![]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&object), "{error}");
    assert_eq!(index.generation(&house.app).await.unwrap(), Some(1));
    index
        .publish(&house.app, Publication { generation: 2, ..publication(&[("a", 3)]) }, vec![])
        .await
        .unwrap();
    let snapshot = house.another().snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!((snapshot.generation(), snapshot.tags().count()), (2, 1));
    let error = index.publish(&house.app, publication(&[("a", 4)]), vec![]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "ordinals of an earlier generation: {error}");
}

#[tokio::test]
async fn what_goes_along_fails_together() {
    let house = House::new().await;
    house.publish(&[("a", 1)]).await;
    let before = house.objects().await;
    let error = house
        .index
        .publish(&house.app, publication(&[("a", 2)]), vec![pointer("x", Some(9))])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!((house.value("a").await, house.objects().await), (Some(Value::Int(1)), before));
    house
        .index
        .publish(&house.app, publication(&[("a", 2)]), vec![pointer("x", None)])
        .await
        .unwrap();
    assert_eq!(house.catalog.pointer("other", &house.app, "x").await.unwrap().unwrap().revision, 1);
    assert_eq!(house.value("a").await, Some(Value::Int(2)));
}

#[tokio::test]
async fn the_same_publication_again_is_a_new_revision() {
    let house = House::new().await;
    for revision in 1..=4 {
        assert_eq!(house.publish(&[("a", 1)]).await, revision);
        assert_eq!(house.value("a").await, Some(Value::Int(1)));
    }
}

#[tokio::test]
async fn damage_names_the_object_and_the_fix() {
    let house = House::new().await;
    house.publish(&[("a", 1)]).await;
    let objects = house.objects().await;
    assert_eq!(objects.len(), 3, "a tag, the users, the manifest");
    for object in objects {
        let path = Path::from(object.as_str());
        let bytes = house.store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        for damaged in [
            bytes[..bytes.len() - 1].to_vec(),
            [&bytes[..40], &[bytes[40] ^ 1], &bytes[41..]].concat(),
            Vec::new(),
        ] {
            house.store.put(&path, damaged.into()).await.unwrap();
            let error = house.another().snapshot(&house.app).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(
                error.to_string().contains(&object)
                    && error.to_string().contains("run produce again"),
                "{error}"
            );
        }
        house.store.delete(&path).await.unwrap();
        let error = house.another().snapshot(&house.app).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the index object {object} is damaged (it is missing): run produce again to rebuild it"
            )
        );
        house.store.put(&path, bytes.into()).await.unwrap();
    }
    // Producing again fixes it, whatever was damaged.
    house
        .store
        .put(&Path::from(house.objects().await[0].as_str()), Vec::new().into())
        .await
        .unwrap();
    house.publish(&[("a", 2)]).await;
    assert_eq!(house.value("a").await, Some(Value::Int(2)));
}

#[tokio::test]
async fn segments_that_do_not_fit_are_refused() {
    let house = House::new().await;
    let mut wrong_type = publication(&[("a", 1)]);
    wrong_type.tags[0].value_type = ValueType::Date;
    let error = house.index.publish(&house.app, wrong_type, vec![]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "tag a cannot be published: its segment holds int values instead of date"
    );
    let mut unknown = publication(&[("a", 1)]);
    unknown.users = Bitmap::from_range(0..=7);
    let error = house.index.publish(&house.app, unknown, vec![]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "tag a cannot be published: 2 of its users are not among the users that exist, such as ordinal 8"
    );
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let mut damaged = publication(&[("a", 1)]);
    if let SegmentSource::Bytes(bytes) = &mut damaged.tags[0].segment {
        bytes[70] ^= 1;
    }
    assert_eq!(
        house.index.publish(&house.app, damaged, vec![]).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert!(house.index.snapshot(&house.app).await.unwrap().is_none());
    assert!(house.objects().await.is_empty());
}

#[tokio::test]
async fn a_query_outlives_its_snapshot() {
    let house = House::new().await;
    house.publish(&[("a", 1)]).await;
    let query = {
        let snapshot = house.another().snapshot(&house.app).await.unwrap().unwrap();
        let predicate = Predicate::Compare {
            name: "a".to_owned(),
            op: CompareOp::Less,
            literal: Value::Int(2),
        };
        snapshot.evaluate(&Predicate::Not(Box::new(predicate)), &|_| None).unwrap()
    };
    for _ in 0..3 {
        house.publish(&[("a", 2)]).await;
    }
    assert_eq!((query.count().unwrap(), query.contains(1).unwrap()), (0, false));
}

#[tokio::test]
async fn users_never_vanish_within_a_generation() {
    let house = House::new().await;
    house.publish(&[("a", 1)]).await;
    let few = |generation| Publication {
        generation,
        users: Bitmap::from_range(5..=12),
        tags: vec![],
        drop: vec![],
    };
    house.index.publish(&house.app, few(1), vec![]).await.unwrap();
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!(
        (snapshot.users().len(), snapshot.tags().count(), snapshot.generation()),
        (13, 1, 1)
    );
    // Ordinals of another generation are other users: nothing is carried over.
    house.index.publish(&house.app, few(2), vec![]).await.unwrap();
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!((snapshot.users().len(), snapshot.tags().count(), snapshot.generation()), (8, 0, 2));
    let published = house.index.published(&house.app).await.unwrap().unwrap();
    assert_eq!(
        (published.revision, published.generation, published.users, published.tags.len()),
        (3, 2, 8, 0)
    );
}

/// One tag of users 0 to 99, loaded into a file below `folder`.
fn loaded(folder: &std::path::Path) -> TagPublication {
    let options = LoadOptions {
        spill: folder.join("spill"),
        memory_bytes: 1 << 20,
        shards: 0..1,
        threads: 1,
    };
    let loader = Loader::new(options).unwrap();
    let tag = loader.tag("b", ValueType::Bool).unwrap();
    let mut feeder = loader.feeder();
    feeder.push_codes(tag, &(0..100).collect::<Vec<_>>(), 1).unwrap();
    feeder.finish().unwrap();
    let file = loader.finish(&folder.join("loaded")).unwrap().remove(0).path;
    let name = Name::new("b").unwrap();
    TagPublication {
        name,
        value_type: ValueType::Bool,
        as_of_ms: 3,
        definition: serde_json::json!({}),
        segment: SegmentSource::File(file),
        flushed_through: None,
    }
}

#[tokio::test]
async fn loaded_files_become_objects() {
    let folder = tempfile::tempdir().unwrap();
    let with = |tag: &TagPublication, count: u32, tags: &[(&str, i64)]| {
        let mut publication = publication(tags);
        publication.users = Bitmap::from_range(0..=count - 1);
        publication.tags.push(tag.clone());
        publication
    };
    let file = |tag: &TagPublication| match &tag.segment {
        SegmentSource::File(file) => file.clone(),
        SegmentSource::Bytes(_) => panic!("{} is in no file", tag.name),
    };
    // Copied into a store elsewhere.
    let house = House::new().await;
    let tag = loaded(folder.path());
    let refused = house.index.publish(&house.app, with(&tag, 99, &[]), vec![]).await.unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Invalid && refused.to_string().contains("ordinal 99"),
        "{refused}"
    );
    assert!(file(&tag).exists(), "a refused file stays");
    house.index.publish(&house.app, with(&tag, 100, &[("a", 5)]), vec![]).await.unwrap();
    assert!(!file(&tag).exists());
    assert_eq!(
        (house.value("a").await, house.value("b").await),
        (Some(Value::Int(5)), Some(Value::Bool(true)))
    );
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!(
        snapshot.info("b").map(|info| (info.as_of_ms, info.users, info.value_type)),
        Some((3, 100, ValueType::Bool))
    );
    let missing = house.index.publish(&house.app, with(&tag, 100, &[]), vec![]).await.unwrap_err();
    assert!(
        missing.kind() == ErrorKind::Unavailable && missing.to_string().contains("000000.segment"),
        "{missing}"
    );
    // Moved into one of files here.
    let root = folder.path().join("objects");
    std::fs::create_dir(&root).unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(&root).unwrap());
    let catalog = Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
    let index = Index::new(store, catalog).local(root.clone());
    let tag = loaded(folder.path());
    index.publish(&house.app, with(&tag, 100, &[]), vec![]).await.unwrap();
    assert!(!file(&tag).exists());
    let snapshot = index.snapshot(&house.app).await.unwrap().unwrap();
    assert_eq!(snapshot.tag("b").unwrap().unwrap().value_of(99).unwrap(), Some(Value::Bool(true)));
    assert!(root.join(&snapshot.info("b").unwrap().object).exists());
}
