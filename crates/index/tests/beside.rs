//! Batches, flushes, deletions and writers beside one another: each gets in, and nothing of another
//! is lost.
#![allow(clippy::unwrap_used, clippy::panic)]

use object_store::memory::InMemory;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{
    Bitmap, Changes, Index, LiveOptions, Op, Publication, SegmentBuilder, Snapshot, TagChange,
    TagPublication,
};
use taghouse_model::{AppId, Name, Value, ValueType};

struct House {
    store: Arc<InMemory>,
    catalog: Arc<SqliteCatalog>,
    folder: tempfile::TempDir,
    app: AppId,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        Self { store: Arc::new(InMemory::new()), catalog, folder, app: AppId::new("shop").unwrap() }
    }

    fn open(&self, options: LiveOptions) -> Arc<Index> {
        let index = Index::new(self.store.clone(), self.catalog.clone());
        Arc::new(index.with_live(self.folder.path().join("live"), options))
    }

    /// An index in which nothing happens by itself.
    async fn by_hand(&self) -> Arc<Index> {
        let long = Duration::from_secs(3600);
        self.declared(LiveOptions {
            tick: long,
            file_bytes: 300,
            checkpoint_changes: u64::MAX,
            flush_every: None,
            ..LiveOptions::default()
        })
        .await
    }

    async fn declared(&self, options: LiveOptions) -> Arc<Index> {
        let index = self.open(options);
        for (tag, value_type) in
            [("n", ValueType::Int), ("t", ValueType::Text), ("s", ValueType::Set)]
        {
            index
                .declare(&self.app, 1, name(tag), value_type, 0, serde_json::json!({}))
                .await
                .unwrap();
        }
        index
    }

    async fn change(&self, index: &Index, points: &[(&str, u32, Op)]) {
        let points = points
            .iter()
            .map(|(tag, ordinal, op)| TagChange {
                tag: name(tag),
                ordinal: *ordinal,
                op: op.clone(),
            })
            .collect();
        index
            .change(&self.app, Changes { generation: 1, points, ..Changes::default() })
            .await
            .unwrap();
    }

    async fn seen(&self, index: &Index) -> Arc<Snapshot> {
        index.position(&self.app).await.unwrap();
        index.snapshot(&self.app).await.unwrap().unwrap()
    }

    fn log_files(&self) -> usize {
        let files = std::fs::read_dir(self.folder.path().join("live/shop")).unwrap();
        files
            .filter(|file| {
                file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "log")
            })
            .count()
    }
}

fn name(tag: &str) -> Name {
    Name::new(tag).unwrap()
}

fn int(number: i64) -> Op {
    Op::Set(Value::Int(number))
}

fn set(members: &[&str]) -> Value {
    Value::Set(members.iter().map(|member| Arc::from(*member)).collect())
}

fn values(snapshot: &Snapshot, tag: &str) -> BTreeMap<u32, Value> {
    let view = snapshot.tag(tag).unwrap().unwrap();
    let values: BTreeMap<u32, Value> =
        (0..100).filter_map(|user| Some((user, view.value_of(user).unwrap()?))).collect();
    assert_eq!(view.users().unwrap(), values.len() as u64, "{tag}");
    values
}

/// What a batch has made of users 1 to 5.
fn batch(flushed_through: u64) -> Publication {
    let tag = |tag: &str, value_type, value: &dyn Fn(u32) -> Value| {
        let mut builder = SegmentBuilder::new(value_type);
        (1..=5).for_each(|user| builder.add(user, &value(user)).unwrap());
        let (segment, flushed_through) = (builder.finish().unwrap(), Some(flushed_through));
        TagPublication {
            name: name(tag),
            value_type,
            as_of_ms: 9,
            definition: serde_json::json!({}),
            segment: segment.into(),
            flushed_through,
        }
    };
    let tags = vec![
        tag("n", ValueType::Int, &|user| Value::Int(i64::from(user) * 100)),
        tag("t", ValueType::Text, &|_| Value::text("batch")),
        tag("s", ValueType::Set, &|_| set(&["batch"])),
    ];
    Publication { generation: 1, users: Bitmap::from_range(1..=5), tags, drop: vec![] }
}

#[tokio::test]
async fn what_was_flushed_since_a_batch_began_comes_back_on_top() {
    let house = House::new().await;
    let index = house.by_hand().await;
    house
        .change(
            &index,
            &[("n", 1, int(1)), ("t", 1, Op::Set(Value::text("before"))), ("n", 50, int(50))],
        )
        .await;
    let pin = index.pin(&house.app).await.unwrap();
    // Flushed in two parts, and checkpointed; the last part is in no segment yet.
    house
        .change(
            &index,
            &[
                ("n", 1, int(11)),
                ("n", 2, Op::Unset),
                ("t", 2, Op::Set(Value::text("live"))),
                ("n", 9, int(9)),
            ],
        )
        .await;
    house
        .change(
            &index,
            &[
                ("s", 1, Op::Add("live".into())),
                ("s", 2, Op::Set(set(&["only"]))),
                ("s", 3, Op::Remove("batch".into())),
            ],
        )
        .await;
    assert_eq!(index.flush(&house.app).await.unwrap(), 3);
    house
        .change(
            &index,
            &[
                ("n", 1, int(12)),
                ("n", 4, int(4)),
                ("n", 8, int(8)),
                ("t", 60, Op::Set(Value::text("new"))),
            ],
        )
        .await;
    index.delete_users(&house.app, 1, &[4, 8, 5]).await.unwrap();
    index.flush(&house.app).await.unwrap();
    index.checkpoint(&house.app).await.unwrap();
    house.change(&index, &[("n", 3, int(33)), ("s", 1, Op::Add("later".into()))]).await;
    let files = house.log_files();
    assert!(files > 1, "the pin keeps them");

    let before = house.seen(&index).await.info("n").unwrap().flushed_through;
    assert!(before > pin.position());
    index.publish(&house.app, batch(pin.position()), vec![]).await.unwrap();
    let check = async |index: &Index| {
        let snapshot = house.seen(index).await;
        assert_eq!(snapshot.info("n").unwrap().flushed_through, before);
        // 50 was there before the batch, which says nothing of it.
        let numbers =
            BTreeMap::from([(1, Value::Int(12)), (3, Value::Int(33)), (9, Value::Int(9))]);
        assert_eq!(values(&snapshot, "n"), numbers);
        let texts = [(1, "batch"), (2, "live"), (3, "batch"), (60, "new")]
            .map(|(user, text)| (user, Value::text(text)));
        assert_eq!(values(&snapshot, "t"), BTreeMap::from(texts));
        let sets = BTreeMap::from([(1, set(&["batch", "live", "later"])), (2, set(&["only"]))]);
        assert_eq!(values(&snapshot, "s"), sets);
        assert_eq!(snapshot.users().iter().collect::<Vec<_>>(), [1, 2, 3, 9, 50, 60]);
    };
    check(&index).await;
    drop(index);
    let index = house.by_hand().await;
    check(&index).await;
    index.flush(&house.app).await.unwrap();
    let snapshot = house.seen(&index).await;
    assert_eq!(values(&snapshot, "n").len(), 3);
    assert!(
        snapshot.tag("t").unwrap().unwrap().segment().value_of(5).unwrap().is_none(),
        "the deleted are gone from the files"
    );
}

#[tokio::test]
async fn the_log_goes_when_nobody_pins_it() {
    let house = House::new().await;
    let index = house.by_hand().await;
    let pin = index.pin(&house.app).await.unwrap();
    for user in 0..60 {
        house.change(&index, &[("n", user, int(1))]).await;
    }
    index.flush(&house.app).await.unwrap();
    index.checkpoint(&house.app).await.unwrap();
    let pinned = house.log_files();
    drop(pin);
    index.checkpoint(&house.app).await.unwrap();
    assert!(house.log_files() < pinned && pinned > 5, "{} of {pinned} files", house.log_files());
}

#[tokio::test]
async fn a_flush_of_deletions_alone_keeps_the_position_and_the_changes() {
    let house = House::new().await;
    let index = house.by_hand().await;
    house.change(&index, &[("n", 1, int(1)), ("n", 2, int(2))]).await;
    index.flush(&house.app).await.unwrap();
    let flushed = house.seen(&index).await.info("n").unwrap().flushed_through;
    house.change(&index, &[("n", 1, int(11)), ("n", 3, int(3))]).await;
    index.delete_users(&house.app, 1, &[2]).await.unwrap();
    assert_eq!(index.flush_due(&house.app).await.unwrap(), 1);
    let snapshot = house.seen(&index).await;
    assert_eq!(
        snapshot.info("n").unwrap().flushed_through,
        flushed,
        "only the deleted were taken out"
    );
    assert_eq!(values(&snapshot, "n"), BTreeMap::from([(1, Value::Int(11)), (3, Value::Int(3))]));
    let segment = snapshot.tag("n").unwrap().unwrap().segment().clone();
    assert_eq!(
        (segment.value_of(1).unwrap(), segment.value_of(2).unwrap()),
        (Some(Value::Int(1)), None)
    );
    assert_eq!(snapshot.users().iter().collect::<Vec<_>>(), [1, 3]);
    // A batch that knows all changes up to there is not behind.
    index.publish(&house.app, batch(flushed), vec![]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_have_a_limit_of_bytes_and_go_when_they_are_flushed() {
    const LIMIT: u64 = 200_000;
    let house = Arc::new(House::new().await);
    let options = LiveOptions {
        tick: Duration::from_millis(1),
        limit_text_bytes: LIMIT,
        flush_every: None,
        ..LiveOptions::default()
    };
    let index = house.declared(options).await;
    let (done, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let watcher = {
        let (index, app, done, most) =
            (index.clone(), house.app.clone(), done.clone(), most.clone());
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(index.unflushed_text_bytes(&app).await.unwrap(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        })
    };
    // Few changes, and each of another text of a thousand bytes: 1.8 million bytes in all.
    let text = |user: u32| format!("{user:01000}");
    let writers: Vec<_> = (0..3_u32)
        .map(|writer| {
            let (index, house) = (index.clone(), house.clone());
            tokio::spawn(async move {
                for call in 0..30 {
                    let users = (0..20).map(|n| writer * 10_000 + call * 20 + n);
                    let texts: Vec<(u32, String)> = users.map(|user| (user, text(user))).collect();
                    let points: Vec<(&str, u32, Op)> = texts
                        .iter()
                        .map(|(user, text)| ("t", *user, Op::Set(Value::text(text))))
                        .collect();
                    house.change(&index, &points).await;
                    let members: Vec<(&str, u32, Op)> = texts
                        .iter()
                        .map(|(user, text)| ("s", *user, Op::Add(text.as_str().into())))
                        .collect();
                    house.change(&index, &members).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    watcher.await.unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!((LIMIT / 4..=LIMIT).contains(&most), "texts took {most} bytes at a time");
    let snapshot = house.seen(&index).await;
    let (one, members) = (snapshot.tag("t").unwrap().unwrap(), snapshot.tag("s").unwrap().unwrap());
    assert_eq!((one.users().unwrap(), members.users().unwrap()), (1_800, 1_800));
    for user in [0, 599, 10_300, 20_599] {
        assert_eq!(one.value_of(user).unwrap(), Some(Value::text(&text(user))));
        assert_eq!(members.value_of(user).unwrap(), Some(set(&[&text(user)])));
    }
    // What is read back from the log counts too.
    drop((snapshot, one, members));
    let before = index.unflushed_text_bytes(&house.app).await.unwrap();
    drop(index);
    let again = house.open(LiveOptions {
        limit_text_bytes: LIMIT,
        flush_every: None,
        ..LiveOptions::default()
    });
    house.seen(&again).await;
    assert!(before == 0 || again.unflushed_text_bytes(&house.app).await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_for_room_and_nothing_is_lost() {
    const LIMIT: u64 = 400;
    const WRITERS: u32 = 6;
    const CALLS: u32 = 60;
    let house = Arc::new(House::new().await);
    let options = LiveOptions {
        tick: Duration::from_millis(1),
        limit_changes: LIMIT,
        flush_every: None,
        ..LiveOptions::default()
    };
    let index = house.declared(options).await;
    let (done, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let watcher = {
        let (index, app, done, most) =
            (index.clone(), house.app.clone(), done.clone(), most.clone());
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(index.unflushed(&app).await.unwrap(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (index, house) = (index.clone(), house.clone());
            tokio::spawn(async move {
                for call in 0..CALLS {
                    let user = |n: u32| writer * 10_000 + call * 10 + n;
                    let points: Vec<(&str, u32, Op)> =
                        (0..10).map(|n| ("n", user(n), int(i64::from(user(n))))).collect();
                    house.change(&index, &points).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    watcher.await.unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!((LIMIT / 8..=LIMIT).contains(&most), "{most} changes were in memory at a time");
    let snapshot = house.seen(&index).await;
    let view = snapshot.tag("n").unwrap().unwrap();
    assert!(
        snapshot.info("n").unwrap().flushed_through > u64::from(WRITERS * CALLS * 10) - 2 * LIMIT
    );
    assert_eq!(view.users().unwrap(), u64::from(WRITERS * CALLS * 10));
    for user in (0..WRITERS).flat_map(|writer| (0..CALLS * 10).map(move |n| writer * 10_000 + n)) {
        assert_eq!(view.value_of(user).unwrap(), Some(Value::Int(i64::from(user))));
    }
    // One that fits beside nothing else has room made for it, though little is there.
    house.seen(&index).await;
    index.flush(&house.app).await.unwrap();
    for (first, count) in [(50_000, 90), (60_000, LIMIT as u32 - 50)] {
        let points: Vec<(&str, u32, Op)> =
            (0..count).map(|user| ("n", first + user, int(1))).collect();
        house.change(&index, &points).await;
    }
    let held = index.unflushed(&house.app).await.unwrap();
    assert!(held <= LIMIT, "{held} changes are in memory");
    // One call over the limit goes in alone.
    let points: Vec<(&str, u32, Op)> =
        (0..LIMIT as u32 + 50).map(|user| ("n", 70_000 + user, int(1))).collect();
    house.change(&index, &points).await;
    assert_eq!(
        house.seen(&index).await.tag("n").unwrap().unwrap().value_of(70_001).unwrap(),
        Some(Value::Int(1))
    );
}
