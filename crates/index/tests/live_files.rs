//! The change log's files, cut short, damaged, or gone: a frame nobody was told of is cut off,
//! anything else is an error that names the file.
#![allow(clippy::unwrap_used, clippy::panic)]

use object_store::memory::InMemory;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{
    Bitmap, Changes, Error, Index, LiveOptions, Op, Publication, SegmentBuilder, Snapshot,
    TagChange, TagPublication,
};
use taghouse_model::{AppId, ErrorKind, Name, Value, ValueType};

const CALLS: u64 = 12;

struct House {
    store: Arc<InMemory>,
    catalog: Arc<SqliteCatalog>,
    folder: tempfile::TempDir,
    app: AppId,
}

impl House {
    /// A log of `CALLS` calls, the first of them before a checkpoint if there is one; each gives
    /// user `n` the number `n` and then all the same.
    async fn new(file_bytes: u64, checkpoint: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        let house = Self {
            store: Arc::new(InMemory::new()),
            catalog,
            folder,
            app: AppId::new("shop").unwrap(),
        };
        let index = house.open_with(file_bytes);
        index
            .declare(
                &house.app,
                1,
                Name::new("n").unwrap(),
                ValueType::Int,
                0,
                serde_json::json!({}),
            )
            .await
            .unwrap();
        for n in 0..CALLS {
            let position = index.change(&house.app, set(n as u32, n as i64)).await.unwrap();
            assert_eq!(position, n + 1);
            if checkpoint && n == 3 {
                index.checkpoint(&house.app).await.unwrap();
            }
        }
        house
    }

    fn open_with(&self, file_bytes: u64) -> Index {
        let options = LiveOptions {
            tick: Duration::from_secs(3600),
            file_bytes,
            flush_every: None,
            ..LiveOptions::default()
        };
        Index::new(self.store.clone(), self.catalog.clone())
            .with_live(self.folder.path().join("live"), options)
    }

    /// All but the mark.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.folder.path().join("live/shop"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.retain(|file| *file != self.mark());
        files.sort();
        files
    }

    fn mark(&self) -> PathBuf {
        self.folder.path().join("live/shop/acknowledged.mark")
    }

    /// The numbers there after opening.
    async fn read(&self) -> Result<Vec<i64>, Error> {
        let index = self.open_with(1 << 20);
        let snapshot = index.snapshot(&self.app).await?.unwrap();
        let view = snapshot.tag("n")?.unwrap();
        let numbers = view.values()?.into_iter().map(|(value, count)| match value {
            Value::Int(number) if count == 1 => number,
            other => panic!("{count} times {other}"),
        });
        let numbers: Vec<i64> = numbers.collect();
        assert_eq!(snapshot.position(), numbers.len() as u64);
        Ok(numbers)
    }

    async fn assert_corrupt(&self, file: &Path) {
        let error = self.read().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(file.file_name().unwrap().to_str().unwrap())
                && text.contains("restore it from a backup"),
            "{text}"
        );
    }
}

fn set(ordinal: u32, number: i64) -> Changes {
    let point =
        TagChange { tag: Name::new("n").unwrap(), ordinal, op: Op::Set(Value::Int(number)) };
    Changes { generation: 1, points: vec![point], ..Changes::default() }
}

fn all() -> Vec<i64> {
    (0..CALLS as i64).collect()
}

#[tokio::test]
async fn a_frame_cut_short_is_cut_off_if_nobody_was_told_of_it_and_the_log_goes_on() {
    let house = House::new(1 << 20, false).await;
    let log = house.files().into_iter().find(|file| file.extension().unwrap() == "log").unwrap();
    let file = &log;
    let whole = fs::read(file).unwrap();
    for cut in 1..60 {
        fs::write(file, &whole[..whole.len() - cut]).unwrap();
        house.assert_corrupt(file).await;
        assert_eq!(fs::read(file).unwrap(), &whole[..whole.len() - cut], "evidence stays");
        let noted = fs::read(house.mark()).unwrap();
        fs::remove_file(house.mark()).unwrap();
        let found = house.read().await.unwrap();
        assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>());
        // Less than the bytes of a frame are gone, so at most the last one is.
        assert!(found.len() as u64 >= CALLS - 2, "{cut} bytes less leave {}", found.len());
        fs::write(house.mark(), noted).unwrap();
    }
    // A frame behind those acknowledged, of which the crash left a part.
    fs::write(file, [&whole, &whole[whole.len() - 40..]].concat()).unwrap();
    assert_eq!(house.read().await.unwrap(), all());
    assert_eq!(fs::read(file).unwrap(), whole);
    // What comes after is appended where the cut was.
    fs::write(file, &whole[..whole.len() - 1]).unwrap();
    fs::remove_file(house.mark()).unwrap();
    let index = house.open_with(1 << 20);
    assert_eq!(
        index.change(&house.app, set(CALLS as u32 - 1, CALLS as i64 - 1)).await.unwrap(),
        CALLS
    );
    drop(index);
    assert_eq!(house.read().await.unwrap(), all());
}

#[tokio::test]
async fn no_flipped_bit_gives_a_wrong_answer() {
    let house = House::new(200, true).await;
    let files = house.files();
    assert!(
        files.len() >= 4 && files.iter().any(|file| file.extension().unwrap() == "bin"),
        "{files:?}"
    );
    for file in files.iter().chain([&house.mark()]) {
        let whole = fs::read(file).unwrap();
        for at in (0..whole.len()).step_by(5) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(file, damaged).unwrap();
            match house.read().await {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
                Ok(found) => {
                    assert_eq!(*file, house.mark(), "byte {at} of {}", file.display());
                    assert_eq!(found, all());
                }
            }
            // Opening may have cut the file.
            fs::write(file, &whole).unwrap();
        }
    }
    assert_eq!(house.read().await.unwrap(), all());
}

#[tokio::test]
async fn damage_before_the_end_names_the_file() {
    let house = House::new(200, true).await;
    let files = house.files();
    let logs: Vec<&PathBuf> =
        files.iter().filter(|file| file.extension().unwrap() == "log").collect();
    for file in [logs[0], files.last().unwrap()] {
        let whole = fs::read(file).unwrap();
        for damaged in [
            whole[..whole.len() - 3].to_vec(),
            [&whole[..50], &[!whole[50]], &whole[51..]].concat(),
            Vec::new(),
        ] {
            fs::write(file, damaged).unwrap();
            house.assert_corrupt(file).await;
        }
        fs::write(file, whole).unwrap();
    }
    // A file in the middle that is gone, and the checkpoint.
    for gone in [logs[0], files.last().unwrap()] {
        let whole = fs::read(gone).unwrap();
        fs::remove_file(gone).unwrap();
        assert_eq!(
            house.read().await.unwrap_err().kind(),
            ErrorKind::Corrupt,
            "{}",
            gone.display()
        );
        fs::write(gone, whole).unwrap();
    }
    assert_eq!(house.read().await.unwrap(), all());
}

#[tokio::test]
async fn a_log_taken_away_begins_behind_what_was_flushed() {
    let house = House::new(1 << 20, false).await;
    house.open_with(1 << 20).flush(&house.app).await.unwrap();
    fs::remove_dir_all(house.folder.path().join("live")).unwrap();
    let index = house.open_with(1 << 20);
    assert_eq!(index.change(&house.app, set(2, 99)).await.unwrap(), CALLS + 1);
    index.position(&house.app).await.unwrap();
    let value = index
        .snapshot(&house.app)
        .await
        .unwrap()
        .unwrap()
        .tag("n")
        .unwrap()
        .unwrap()
        .value_of(2)
        .unwrap();
    assert_eq!(value, Some(Value::Int(99)));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_whole() {
    let house = House::new(1 << 20, false).await;
    let index = house.open_with(1 << 20);
    let point = |tag: &str, op| TagChange { tag: Name::new(tag).unwrap(), ordinal: 1, op };
    let good = point("n", Op::Set(Value::Int(-5)));
    for (bad, kind, text) in [
        (
            point("m", Op::Unset),
            ErrorKind::NotFound,
            "tag m is not in the index: run produce for it first",
        ),
        (
            point("n", Op::Set(Value::text("x"))),
            ErrorKind::Invalid,
            "tag n holds int values, and cannot be changed so: x is of another type or beyond its range",
        ),
        (
            point("n", Op::Add("x".into())),
            ErrorKind::Invalid,
            "tag n holds int values, and cannot be changed so: only sets have members to add or remove",
        ),
    ] {
        let changes =
            Changes { generation: 1, points: vec![good.clone(), bad], ..Changes::default() };
        let error = index.change(&house.app, changes).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
    }
    let error = index
        .change(
            &house.app,
            Changes { generation: 2, points: vec![good.clone()], ..Changes::default() },
        )
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Generation { of: 2, current: 1 })
            && error.kind() == ErrorKind::Conflict,
        "{error}"
    );
    assert_eq!(index.position(&house.app).await.unwrap(), CALLS);
    let error = Index::new(house.store.clone(), house.catalog.clone())
        .change(&house.app, set(1, 1))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "live changes are disabled: open the index with `with_live`");
    drop(index);
    assert_eq!(house.read().await.unwrap(), all());
}

#[tokio::test]
async fn a_publication_older_than_what_the_log_holds_is_refused() {
    let house = House::new(1 << 20, false).await;
    let index = house.open_with(1 << 20);
    index.flush(&house.app).await.unwrap();
    let publication = |flushed_through| {
        let (name, definition) = (Name::new("n").unwrap(), serde_json::json!({}));
        let segment = SegmentBuilder::new(ValueType::Int).finish().unwrap();
        let tag = TagPublication {
            name,
            value_type: ValueType::Int,
            as_of_ms: 0,
            definition,
            segment: segment.into(),
            flushed_through: Some(flushed_through),
        };
        Publication { generation: 1, users: Bitmap::new(), tags: vec![tag], drop: vec![] }
    };
    // The log holds all changes yet: those later than the position come back on top.
    index.publish(&house.app, publication(CALLS - 2), vec![]).await.unwrap();
    let numbers = |snapshot: &Snapshot| snapshot.tag("n").unwrap().unwrap().values().unwrap();
    let snapshot = index.snapshot(&house.app).await.unwrap().unwrap();
    let last: Vec<(Value, u64)> = (CALLS - 2..CALLS).map(|n| (Value::Int(n as i64), 1)).collect();
    assert_eq!(
        (numbers(&snapshot), snapshot.info("n").unwrap().flushed_through),
        (last.clone(), CALLS)
    );
    assert_eq!(
        index.publish(&house.app, publication(CALLS + 1), vec![]).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    // With a checkpoint they go, unless somebody has pinned them.
    let pin = index.pin(&house.app).await.unwrap();
    index.change(&house.app, set(1, 100)).await.unwrap();
    index.flush(&house.app).await.unwrap();
    index.checkpoint(&house.app).await.unwrap();
    assert_eq!(pin.position(), CALLS);
    index.publish(&house.app, publication(CALLS), vec![]).await.unwrap();
    assert_eq!(
        numbers(&index.snapshot(&house.app).await.unwrap().unwrap()),
        [(Value::Int(100), 1)]
    );
    drop(pin);
    index.checkpoint(&house.app).await.unwrap();
    let error = index.publish(&house.app, publication(CALLS), vec![]).await.unwrap_err();
    assert!(
        matches!(error, Error::Outdated { holds: 12, flushed_through: 13, .. })
            && error.kind() == ErrorKind::Conflict,
        "{error}"
    );
    index.publish(&house.app, publication(CALLS + 1), vec![]).await.unwrap();
}

#[tokio::test]
async fn a_change_is_seen_without_being_asked_for() {
    let house = House::new(1 << 20, false).await;
    let index = Index::new(house.store.clone(), house.catalog.clone());
    let index = Arc::new(index.with_live(
        house.folder.path().join("live"),
        LiveOptions {
            flush_changes: 1,
            flush_share: 100,
            flush_every: Some(Duration::from_millis(20)),
            ..LiveOptions::default()
        },
    ));
    index.flush_in_background();
    index.change(&house.app, set(3, 300)).await.unwrap();
    let seen = async {
        loop {
            let snapshot = index.snapshot(&house.app).await.unwrap().unwrap();
            let seen =
                snapshot.tag("n").unwrap().unwrap().value_of(3).unwrap() == Some(Value::Int(300));
            // Flushed too, by itself.
            if seen && snapshot.info("n").unwrap().flushed_through == CALLS + 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen)
        .await
        .expect("a tick and a flush take milliseconds");
}
