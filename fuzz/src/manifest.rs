//! The index's manifest (JSON), an object that the catalog's pointer leads to or, in old data
//! folders, the pointer itself: what it leads to is opened and asked.

use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value as Json, json};
use std::sync::{Arc, LazyLock};
use taghouse_bitmap::Bitmap;
use taghouse_catalog::{
    AuditEntry, AuditQuery, AuditRecord, Catalog, Change, IngestedFile, KeyRecord, Pointer, Result,
    RunRecord, StoredDefinition,
};
use taghouse_index::{Index, SegmentBuilder};
use taghouse_model::{AppId, Name, Value, ValueType};
use tokio::runtime::{Builder, Runtime};
use xxhash_rust::xxh3::xxh3_128;

pub(crate) static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime can be made"));

/// Objects that are there: `users`, and of every type of tag one.
static OBJECTS: LazyLock<Arc<InMemory>> = LazyLock::new(|| {
    let store = InMemory::new();
    let users = Bitmap::from_range(0..=9).to_bytes().expect("a small set is stored");
    let mut number = SegmentBuilder::new(ValueType::Int);
    let mut text = SegmentBuilder::new(ValueType::Text);
    let set = SegmentBuilder::new(ValueType::Set);
    for user in 0..5 {
        number.add(user, &Value::Int(7)).expect("an int");
        text.add(user, &Value::text("a")).expect("a text");
    }
    RUNTIME.block_on(async {
        let segments = [("number", number), ("text", text), ("set", set)]
            .map(|(path, segment)| (path, segment.finish().expect("fits")));
        for (path, bytes) in segments.into_iter().chain([("users", users)]) {
            store.put(&path.into(), bytes.into()).await.expect("memory takes it");
        }
    });
    Arc::new(store)
});

pub fn read(data: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<Json>(data) {
        ask(&index(value));
    }
    // The same bytes as an object; its generation is what the pointer says, or else it is refused.
    let generation = serde_json::from_slice::<Json>(data)
        .ok()
        .and_then(|value| value.get("generation")?.as_u64())
        .unwrap_or(0);
    let path = format!("manifest-{:?}", std::thread::current().id());
    let pointer = json!({"manifest": path, "generation": generation, "xxh3": format!("{:032x}", xxh3_128(data))});
    // Made out here: it runs on the same runtime.
    let objects = OBJECTS.clone();
    RUNTIME.block_on(async {
        objects.put(&path.as_str().into(), data.to_vec().into()).await.expect("memory takes it")
    });
    ask(&index(pointer));
}

fn ask(index: &Index) {
    let app = AppId::new("shop").expect("a name");
    RUNTIME.block_on(async {
        let _ = (index.published(&app).await, index.generation(&app).await);
        let Ok(Some(snapshot)) = index.snapshot(&app).await else { return };
        let _ = (snapshot.types(), snapshot.users().len());
        for (_, segment) in snapshot.segments() {
            let _ = segment.map(|segment| (segment.value_of(3), segment.values()));
        }
    });
}

/// An index whose pointer is this one.
pub(crate) fn index(pointer: Json) -> Index {
    let objects: Arc<dyn ObjectStore> = OBJECTS.clone();
    Index::new(objects, Arc::new(OnePointer(pointer)))
}

/// A pointer to a number, a text and a set.
pub(crate) fn sound() -> Json {
    let tag = |object: &str, ty: ValueType, users: u64| json!({"object": object, "type": ty, "as_of_ms": 5, "users": users, "definition": {}});
    let tags = json!({"n": tag("number", ValueType::Int, 5), "t": tag("text", ValueType::Text, 5), "s": tag("set", ValueType::Set, 0)});
    json!({"generation": 1, "users": {"object": "users", "count": 10}, "tags": tags, "retired": []})
}

pub fn seeds() -> Vec<Vec<u8>> {
    let users = json!({"object": "users", "count": 10});
    let tag = |object: &str, ty: ValueType| json!({"object": object, "type": ty, "as_of_ms": 5, "users": 5, "definition": {"a": [1]}});
    let tags = json!({"n": tag("number", ValueType::Int), "t": tag("text", ValueType::Text), "gone": tag("gone", ValueType::Set)});
    let seeds = [
        json!({"generation": 1, "users": users, "tags": {}, "retired": []}),
        json!({"generation": 1, "users": users, "tags": {"n": tags["n"], "t": tags["t"]}, "retired": ["a"]}),
        json!({"users": users, "tags": tags, "retired": []}),
        json!({"generation": 1, "users": {"object": "", "count": 0}, "tags": {"d": tag("number", ValueType::Decimal { scale: 2 })}, "retired": []}),
    ];
    seeds.iter().map(|json| json.to_string().into_bytes()).collect()
}

/// A catalog that holds one pointer, of every name.
struct OnePointer(Json);

#[async_trait]
impl Catalog for OnePointer {
    async fn commit(&self, _: Vec<Change>) -> Result<()> {
        Ok(())
    }
    async fn pointer(&self, _: &str, _: &AppId, _: &str) -> Result<Option<Pointer>> {
        Ok(Some(Pointer { revision: 1, value: self.0.clone() }))
    }
    async fn pointers(&self, _: &str, _: &AppId) -> Result<Vec<(String, Pointer)>> {
        Ok(Vec::new())
    }
    async fn definitions(&self, _: &AppId) -> Result<Vec<StoredDefinition>> {
        Ok(Vec::new())
    }
    async fn apps(&self) -> Result<Vec<AppId>> {
        Ok(Vec::new())
    }
    async fn table_location(&self, _: &AppId, _: &str) -> Result<Option<String>> {
        Ok(None)
    }
    async fn tables(&self, _: &AppId) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn ingested_files(&self, _: &AppId, _: &Name) -> Result<Vec<IngestedFile>> {
        Ok(Vec::new())
    }
    async fn keys(&self) -> Result<Vec<KeyRecord>> {
        Ok(Vec::new())
    }
    async fn runs(&self, _: &AppId, _: u32) -> Result<Vec<RunRecord>> {
        Ok(Vec::new())
    }
    async fn run(&self, _: &AppId, _: &str) -> Result<Option<RunRecord>> {
        Ok(None)
    }
    async fn unfinished_runs(&self) -> Result<Vec<RunRecord>> {
        Ok(Vec::new())
    }
    async fn audit(&self, _: &AuditQuery) -> Result<Vec<AuditEntry>> {
        Ok(Vec::new())
    }
    async fn open_acts(&self) -> Result<Vec<AuditRecord>> {
        Ok(Vec::new())
    }
}
