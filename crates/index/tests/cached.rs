//! Segments in a store that is elsewhere, read through a bounded cache; and segments mapped from
//! files.
#![allow(clippy::unwrap_used, clippy::panic)]

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    local::LocalFileSystem,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{Bitmap, Index, Publication, SegmentBuilder, TagPublication};
use taghouse_model::{AppId, ErrorKind, Name, Value, ValueType};
use taghouse_rules::{CompareOp, Predicate};

const USERS: u32 = 3_000_000;
const TAGS: u32 = 6;

/// A store that counts the bytes of ranges asked of it.
#[derive(Debug)]
struct Counting(LocalFileSystem, AtomicU64);

impl std::fmt::Display for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(
        &self,
        location: &ObjectPath,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.0.put_opts(location, payload, opts).await
    }
    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, opts).await
    }
    async fn get_opts(
        &self,
        location: &ObjectPath,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        if let Some(GetRange::Bounded(range)) = &options.range {
            self.1.fetch_add(range.end - range.start, Ordering::Relaxed);
        }
        self.0.get_opts(location, options).await
    }
    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<ObjectPath>>,
    ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
        self.0.delete_stream(locations)
    }
    fn list(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(
        &self,
        from: &ObjectPath,
        to: &ObjectPath,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

struct House {
    folder: tempfile::TempDir,
    store: Arc<Counting>,
    catalog: Arc<SqliteCatalog>,
    app: AppId,
}

fn has(user: u32, tag: u32) -> bool {
    user.wrapping_mul(0x9e37_79b9).rotate_left(tag) % 7 < tag
}

impl House {
    async fn published() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("objects")).unwrap();
        let store = Arc::new(Counting(
            LocalFileSystem::new_with_prefix(folder.path().join("objects")).unwrap(),
            AtomicU64::new(0),
        ));
        let catalog =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        let app = AppId::new("shop").unwrap();
        let tags = (1..=TAGS).map(|tag| {
            let mut builder = SegmentBuilder::new(ValueType::Bool);
            (0..USERS)
                .filter(|user| has(*user, tag))
                .for_each(|user| builder.add(user, &Value::Bool(true)).unwrap());
            let (name, definition) =
                (Name::new(&format!("t{tag}")).unwrap(), serde_json::json!({}));
            TagPublication {
                name,
                value_type: ValueType::Bool,
                as_of_ms: 0,
                definition,
                segment: builder.finish().unwrap().into(),
                flushed_through: None,
            }
        });
        let publication = Publication {
            generation: 1,
            users: Bitmap::from_range(0..=USERS - 1),
            tags: tags.collect(),
            drop: vec![],
        };
        Index::new(store.clone(), catalog.clone())
            .publish(&app, publication, vec![])
            .await
            .unwrap();
        Self { folder, store, catalog, app }
    }

    fn cached(&self, limit_bytes: u64) -> Index {
        Index::new(self.store.clone(), self.catalog.clone())
            .cached(self.folder.path().join("cache"), limit_bytes)
    }

    fn objects(&self) -> std::path::PathBuf {
        self.folder.path().join("objects")
    }
}

fn both(a: u32, b: u32) -> Predicate<Value> {
    let is = |tag| Predicate::Compare {
        name: format!("t{tag}"),
        op: CompareOp::Equal,
        literal: Value::Bool(true),
    };
    Predicate::And(vec![is(a), is(b)])
}

async fn count(index: &Index, app: &AppId, a: u32, b: u32) -> Result<u64, taghouse_index::Error> {
    let snapshot = index.snapshot(app).await?.unwrap();
    tokio::task::spawn_blocking(move || Ok(snapshot.evaluate(&both(a, b), &|_| None)?.count()?))
        .await
        .unwrap()
}

fn disk_bytes(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .map_or(0, |entries| entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_is_fetched_and_the_cache_is_bounded() {
    let house = House::published().await;
    let index = house.cached(1 << 20);
    let expected = |a, b| (0..USERS).filter(|user| has(*user, a) && has(*user, b)).count() as u64;
    house.store.1.store(0, Ordering::Relaxed);
    index.snapshot(&house.app).await.unwrap();
    assert_eq!(house.store.1.load(Ordering::Relaxed), 0, "a snapshot fetches no segment");
    assert_eq!(count(&index, &house.app, 1, 2).await.unwrap(), expected(1, 2));
    let two = house.store.1.load(Ordering::Relaxed);
    assert!((1..2 << 20).contains(&two), "two tags of some 400 KB each: {two}");
    assert_eq!(count(&index, &house.app, 1, 2).await.unwrap(), expected(1, 2));
    assert_eq!(house.store.1.load(Ordering::Relaxed), two, "what is here is not fetched again");
    // Six tags do not fit: the first ones go, and come back.
    for (a, b) in [(3, 4), (5, 6), (1, 2), (2, 5)] {
        assert_eq!(count(&index, &house.app, a, b).await.unwrap(), expected(a, b));
    }
    assert!(house.store.1.load(Ordering::Relaxed) > 3 * two, "evicted segments are fetched again");
    assert_eq!(
        disk_bytes(&house.folder.path().join("cache")),
        0,
        "its files have no names, so none can be left behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_when_it_is_read() {
    let house = House::published().await;
    let snapshot = Index::new(house.store.clone(), house.catalog.clone())
        .snapshot(&house.app)
        .await
        .unwrap()
        .unwrap();
    let object = snapshot.info("t3").unwrap().object.clone();
    let path = house.objects().join(&object);
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 4;
    let replace = |bytes: &[u8]| {
        // As a store does it: another file under the name, for the old one may be mapped.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    for damaged in [&flipped, &good[..last].to_vec(), &Vec::new()] {
        replace(damaged);
        let local = Index::new(house.store.clone(), house.catalog.clone()).local(house.objects());
        for index in [house.cached(1 << 30), local] {
            assert_eq!(
                count(&index, &house.app, 1, 2).await.unwrap(),
                count(&index, &house.app, 2, 1).await.unwrap(),
                "others answer"
            );
            let error = count(&index, &house.app, 1, 3).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(
                error.to_string().starts_with(&format!("the index object {object} is damaged (")),
                "{error}"
            );
            assert!(error.to_string().ends_with(": run produce again to rebuild it"), "{error}");
        }
    }
    std::fs::remove_file(&path).unwrap();
    let error = count(&house.cached(1 << 30), &house.app, 1, 3).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the index object {object} is damaged (it is missing): run produce again to rebuild it"
        )
    );
    house.store.put(&ObjectPath::from(object.as_str()), Bytes::from(good).into()).await.unwrap();
    count(&house.cached(1 << 30), &house.app, 1, 3).await.unwrap();
}
