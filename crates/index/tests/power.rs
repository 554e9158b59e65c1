//! A sync that fails, a loss of power, a folder that goes: what was acknowledged is there, and no
//! pointer leads to nothing.
#![allow(clippy::unwrap_used, clippy::panic)]

mod renaming;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::SqliteCatalog;
use taghouse_disk::DurableStore;
use taghouse_disk::rehearsal::Rehearsal;
use taghouse_index::{
    Bitmap, Changes, Index, LiveOptions, LoadOptions, Loader, Op, Publication, SegmentBuilder,
    SegmentSource, TagChange, TagPublication,
};
use taghouse_model::{AppId, ErrorKind, Name, Value, ValueType};

/// The pointers lie beside the folder that is rehearsed: SQLite syncs by itself.
struct House {
    folder: tempfile::TempDir,
    catalog: Arc<SqliteCatalog>,
    app: AppId,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data/objects")).unwrap();
        let catalog =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        Self { folder, catalog, app: AppId::new("shop").unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("data")
    }

    fn open(&self) -> Index {
        let objects = self.data().join("objects");
        let options = LiveOptions {
            tick: Duration::from_secs(3600),
            file_bytes: 300,
            flush_every: None,
            ..LiveOptions::default()
        };
        let store = Arc::new(DurableStore::below(objects.clone()).unwrap());
        Index::new(store, self.catalog.clone())
            .local(objects)
            .with_live(self.data().join("live"), options)
    }

    async fn value(&self, index: &Index, tag: &str, user: u32) -> Option<Value> {
        index.position(&self.app).await.unwrap();
        let snapshot = index.snapshot(&self.app).await.unwrap().unwrap();
        snapshot.tag(tag).unwrap()?.value_of(user).unwrap()
    }
}

/// Users 0 to 99; a tag that gives all of them the number.
fn publication(tag: &str, number: i64) -> Publication {
    let mut builder = SegmentBuilder::new(ValueType::Int);
    (0..100).for_each(|user| builder.add(user, &Value::Int(number)).unwrap());
    let (name, definition) = (Name::new(tag).unwrap(), serde_json::json!({}));
    let segment = builder.finish().unwrap();
    let tag = TagPublication {
        name,
        value_type: ValueType::Int,
        as_of_ms: 1,
        definition,
        segment: segment.into(),
        flushed_through: None,
    };
    Publication {
        generation: 1,
        users: Bitmap::from_range(0..=99),
        tags: vec![tag],
        drop: Vec::new(),
    }
}

/// A tag of the same users, loaded into a file beside the data folder.
fn loaded(folder: &Path) -> TagPublication {
    let options = LoadOptions {
        spill: folder.join("spill"),
        memory_bytes: 1 << 20,
        shards: 0..1,
        threads: 1,
    };
    let loader = Loader::new(options).unwrap();
    let tag = loader.tag("loaded", ValueType::Bool).unwrap();
    let mut feeder = loader.feeder();
    feeder.push_codes(tag, &(0..100).collect::<Vec<_>>(), 1).unwrap();
    feeder.finish().unwrap();
    let file = loader.finish(&folder.join("out")).unwrap().remove(0).path;
    let name = Name::new("loaded").unwrap();
    TagPublication {
        name,
        value_type: ValueType::Bool,
        as_of_ms: 3,
        definition: serde_json::json!({}),
        segment: SegmentSource::File(file),
        flushed_through: None,
    }
}

fn set(user: u32, number: i64) -> Changes {
    let point =
        TagChange { tag: Name::new("n").unwrap(), ordinal: user, op: Op::Set(Value::Int(number)) };
    Changes { generation: 1, points: vec![point], ..Changes::default() }
}

#[tokio::test]
async fn what_is_published_outlasts_a_loss_of_power() {
    let house = House::new().await;
    let rehearsal = Rehearsal::of(&house.data()).unwrap();
    let index = house.open();
    index.publish(&house.app, publication("n", 1), vec![]).await.unwrap();
    index.publish(&house.app, publication("m", 2), vec![]).await.unwrap();
    let mut both = publication("m", 3);
    both.tags.push(loaded(&house.data()));
    index.publish(&house.app, both, vec![]).await.unwrap();
    // An object that no pointer leads to, as a stopped process leaves it.
    std::fs::write(house.data().join("objects/index/shop/m/0000000009-stranded.seg"), "x").unwrap();
    drop(index);
    rehearsal.lose_power().unwrap();
    let index = house.open();
    assert_eq!(house.value(&index, "n", 7).await, Some(Value::Int(1)));
    assert_eq!(house.value(&index, "m", 7).await, Some(Value::Int(3)));
    assert_eq!(house.value(&index, "loaded", 99).await, Some(Value::Bool(true)));
}

#[tokio::test]
async fn no_pointer_moves_after_a_failed_sync() {
    let house = House::new().await;
    let rehearsal = Rehearsal::of(&house.data()).unwrap();
    let index = house.open();
    index.publish(&house.app, publication("n", 1), vec![]).await.unwrap();
    let revision = index.published(&house.app).await.unwrap().unwrap().revision;
    for failing in ["seg", "bitmap", "n", "users-bitmap"] {
        rehearsal.fail_when(move |path| {
            path.extension().is_some_and(|ending| ending == failing) || path.ends_with(failing)
        });
        let error = index.publish(&house.app, publication("n", 2), vec![]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{failing}: {error}");
        assert!(error.to_string().contains("rehearsed"), "{failing}: {error}");
        assert_eq!(
            index.published(&house.app).await.unwrap().unwrap().revision,
            revision,
            "{failing}"
        );
        assert_eq!(house.value(&index, "n", 7).await, Some(Value::Int(1)), "{failing}");
    }
    rehearsal.fail_no_more();
    index.publish(&house.app, publication("n", 2), vec![]).await.unwrap();
    drop(index);
    rehearsal.lose_power().unwrap();
    assert_eq!(house.value(&house.open(), "n", 7).await, Some(Value::Int(2)));
}

#[tokio::test]
async fn acknowledged_changes_outlast_failed_syncs_and_a_loss_of_power() {
    let house = House::new().await;
    let rehearsal = Rehearsal::of(&house.data()).unwrap();
    let index = house.open();
    index.publish(&house.app, publication("n", -1), vec![]).await.unwrap();
    let (mut acknowledged, mut failures) = (0, 0);
    for number in 0..40 {
        if number % 3 == 0 {
            // The log's frames, the head of its next file, and the folder that names it.
            let ending = ["log", "unfinished", "shop"][number as usize / 3 % 3];
            rehearsal.fail_when(move |path| {
                path.extension().is_some_and(|found| found == ending) || path.ends_with(ending)
            });
        }
        let outcome = index.change(&house.app, set(number, i64::from(number))).await;
        rehearsal.fail_no_more();
        match outcome {
            Ok(position) => {
                acknowledged += 1;
                assert_eq!(position, acknowledged, "no position is left out or given twice");
            }
            Err(error) => {
                failures += 1;
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(
                    error.to_string().contains("live/shop") && error.to_string().contains("retry"),
                    "{error}"
                );
                acknowledged += 1;
                assert_eq!(
                    index.change(&house.app, set(number, i64::from(number))).await.unwrap(),
                    acknowledged,
                    "it recovers alone"
                );
            }
        }
        if number == 20 {
            index.checkpoint(&house.app).await.unwrap();
        }
        if number == 30 {
            index.flush(&house.app).await.unwrap();
        }
    }
    assert!(failures >= 5, "{failures} only");
    drop(index);
    rehearsal.lose_power().unwrap();
    let index = house.open();
    assert_eq!(index.position(&house.app).await.unwrap(), 40);
    for number in 0..40 {
        assert_eq!(house.value(&index, "n", number).await, Some(Value::Int(i64::from(number))));
    }
}

#[tokio::test]
async fn no_change_is_acknowledged_into_a_folder_that_is_gone() {
    let house = House::new().await;
    let index = house.open();
    index.publish(&house.app, publication("n", 0), vec![]).await.unwrap();
    index.change(&house.app, set(1, 1)).await.unwrap();
    std::fs::rename(house.data(), house.folder.path().join("elsewhere")).unwrap();
    for _ in 0..2 {
        let error = index.change(&house.app, set(2, 2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.to_string().contains("live/shop/changes-")
                && error.to_string().contains("deleted"),
            "{error}"
        );
    }
    std::fs::rename(house.folder.path().join("elsewhere"), house.data()).unwrap();
    assert_eq!(index.change(&house.app, set(3, 3)).await.unwrap(), 2, "put back, it goes on");
    assert_eq!(
        house.value(&index, "n", 2).await,
        Some(Value::Int(0)),
        "what was refused is not there"
    );
}

/// A checkpoint on its way to disk when the users are renumbered must not take the place of the new
/// generation's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_checkpoint_does_not_bring_an_earlier_generation_back() {
    let house = House::new().await;
    let index = Arc::new(house.open());
    index.publish(&house.app, publication("n", 1), vec![]).await.unwrap();
    let point = |generation, number| {
        let op = Op::Set(Value::Int(number));
        Changes {
            generation,
            points: vec![TagChange { tag: Name::new("n").unwrap(), ordinal: 3, op }],
            ..Changes::default()
        }
    };
    index.change(&house.app, point(1, 5)).await.unwrap();
    let rehearsal = Rehearsal::of(&house.data()).unwrap();
    let (reached, mut is_reached) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(Some(wait));
    rehearsal.fail_when(move |path| {
        // The first checkpoint stands still before its sync.
        let waiting = if path.to_str().unwrap().contains("/overlay-") {
            wait.lock().unwrap().take()
        } else {
            None
        };
        if let Some(wait) = waiting {
            reached.send(()).unwrap();
            let _ = wait.recv();
        }
        false
    });
    let (slow, app) = (index.clone(), house.app.clone());
    let checkpoint = tokio::spawn(async move { slow.checkpoint(&app).await });
    is_reached.recv().await.unwrap();
    let (renamed, app) = (index.clone(), house.app.clone());
    let mut remap =
        tokio::spawn(async move { renaming::remap(&renamed, &app, 2, Arc::new(Some)).await });
    // Either it gets through meanwhile or it waits for the checkpoint.
    let through = tokio::time::timeout(Duration::from_secs(2), &mut remap).await;
    go_on.send(()).unwrap();
    // Two that write one file at once may trip over each other, too.
    checkpoint.await.unwrap().unwrap();
    match through {
        Ok(done) => done.unwrap().unwrap(),
        Err(_) => remap.await.unwrap().unwrap(),
    };
    index.change(&house.app, point(2, 7)).await.unwrap();
    drop(index);
    drop(rehearsal);
    let index = house.open();
    assert_eq!(house.value(&index, "n", 3).await, Some(Value::Int(7)));
    assert_eq!(index.snapshot(&house.app).await.unwrap().unwrap().generation(), 2);
}

/// A checkpoint goes on in a new file; where that cannot be begun, what follows is in the old one,
/// and nothing of the new one may be left.
#[tokio::test]
async fn a_log_file_that_could_not_be_begun_leaves_nothing_behind() {
    let house = House::new().await;
    let index = house.open();
    index.publish(&house.app, publication("n", 1), vec![]).await.unwrap();
    let change = async |index: &Index, number| {
        let point =
            TagChange { tag: Name::new("n").unwrap(), ordinal: 3, op: Op::Set(Value::Int(number)) };
        index
            .change(
                &house.app,
                Changes { generation: 1, points: vec![point], ..Changes::default() },
            )
            .await
    };
    change(&index, 5).await.unwrap();
    let rehearsal = Rehearsal::of(&house.data()).unwrap();
    // The file is there, and its name cannot be synced.
    rehearsal.fail_when(|path| path.ends_with("live/shop"));
    assert_eq!(index.checkpoint(&house.app).await.unwrap_err().kind(), ErrorKind::Unavailable);
    rehearsal.fail_no_more();
    change(&index, 6).await.unwrap();
    drop(index);
    let index = house.open();
    assert_eq!(house.value(&index, "n", 3).await, Some(Value::Int(6)));
    index.checkpoint(&house.app).await.unwrap();
    change(&index, 7).await.unwrap();
    drop(index);
    rehearsal.lose_power().unwrap();
    let index = house.open();
    assert_eq!(house.value(&index, "n", 3).await, Some(Value::Int(7)));
}

/// The users are renumbered, and the log cannot begin again: what is logged for their old ordinals
/// would be found behind the new generation.
#[tokio::test]
async fn a_log_that_could_not_begin_again_takes_nothing_of_the_old_generation() {
    let house = House::new().await;
    let index = house.open();
    index.publish(&house.app, publication("n", 1), vec![]).await.unwrap();
    let change = async |index: &Index, generation, number| {
        let point =
            TagChange { tag: Name::new("n").unwrap(), ordinal: 3, op: Op::Set(Value::Int(number)) };
        index
            .change(&house.app, Changes { generation, points: vec![point], ..Changes::default() })
            .await
    };
    change(&index, 1, 5).await.unwrap();
    let rehearsal = Rehearsal::of(&house.data()).unwrap();
    rehearsal.fail_when(|path| path.to_str().unwrap().contains("/changes-"));
    renaming::remap(&index, &house.app, 2, Arc::new(Some)).await.unwrap();
    rehearsal.fail_no_more();
    assert_eq!(change(&index, 1, 6).await.unwrap_err().kind(), ErrorKind::Conflict);
    // The next one who reads begins it again.
    assert_eq!(house.value(&index, "n", 3).await, Some(Value::Int(5)));
    change(&index, 2, 7).await.unwrap();
    drop(index);
    drop(rehearsal);
    assert_eq!(house.value(&house.open(), "n", 3).await, Some(Value::Int(7)));
}

/// Objects of a process that was killed before it published, or before it deleted what it had
/// replaced.
#[tokio::test]
async fn objects_that_nothing_leads_to_are_swept() {
    let house = House::new().await;
    let index = house.open();
    let folder = house.data().join("objects/index/shop");
    assert_eq!(index.sweep(&house.app).await.unwrap(), 0);
    index.publish(&house.app, publication("n", 1), vec![]).await.unwrap();
    index.publish(&house.app, publication("m", 2), vec![]).await.unwrap();
    let objects = || {
        let folders = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<PathBuf> = folders
            .flat_map(|folder| {
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())
            })
            .collect();
        found.sort();
        found
    };
    let named = objects();
    for left in [
        "n/0000000003-1-0-ff.seg",
        "gone/0000000001-1-0-ff.seg",
        "manifest-json/0000000003-1-0-ff.json",
        "users-bitmap/0000000003-1-0-ff.bitmap",
    ] {
        std::fs::create_dir_all(folder.join(left).parent().unwrap()).unwrap();
        std::fs::write(folder.join(left), "left").unwrap();
    }
    drop(index);
    let index = house.open();
    assert_eq!(index.sweep(&house.app).await.unwrap(), 4);
    assert_eq!(objects(), named);
    assert_eq!(index.sweep(&house.app).await.unwrap(), 0);
    assert_eq!(house.value(&index, "n", 3).await, Some(Value::Int(1)));
    assert_eq!(house.value(&index, "m", 3).await, Some(Value::Int(2)));
}
