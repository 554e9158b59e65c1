//! A lake that is committed to for ever stays small, loses nothing, and leaves its readers alone.

use crate::support::{
    DAY_MS, DEC_1, House, SetClock, collect, event_rows, name, numbers, quantities, tag_rows, write,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use taghouse_lake::{Maintained, Upkeep, layout};
use taghouse_model::{Value, ValueType};

const MINUTE_MS: i64 = 60_000;

/// Nothing is kept longer than readers hold it.
fn at_once() -> Upkeep {
    Upkeep { kept_ms: 0, kept_snapshots: 0, grace_ms: 0, ..Upkeep::default() }
}

fn bytes(house: &House, folder: &str) -> u64 {
    let of = |p: &Path| {
        if p.to_str().unwrap().contains(folder) { p.metadata().unwrap().len() } else { 0 }
    };
    house.objects("").iter().map(|p| of(p)).sum()
}

/// Says of every file that it was written to then.
fn age(house: &House, ms: i64) {
    house.objects("").iter().for_each(|path| written_at(path, ms));
}

fn written_at(path: &Path, ms: i64) {
    let then = UNIX_EPOCH + Duration::from_millis(ms.try_into().unwrap());
    std::fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn landings_without_end_leave_little_behind() {
    let clock = SetClock::at(DEC_1);
    let house = House::kept(clock.clone(), Upkeep::default()).await;
    let mut table = house.events().await;
    let mut sizes = Vec::new();
    for landing in 0..300 {
        table = house.append(&table, event_rows(landing * 2, 2, DEC_1)).await;
        clock.pass(10_000);
        if landing % 6 == 5 {
            house.lake.maintain(&house.app).await.unwrap();
        }
        if landing % 100 == 99 {
            sizes.push((bytes(&house, "/metadata/"), house.objects("").len()));
        }
    }
    let table = house.table("events").await;
    assert_eq!(quantities(&table).await, (0..600).collect::<Vec<_>>());
    assert!(table.snapshots().len() <= 33, "{} snapshots", table.snapshots().len());
    let (first, last) = (sizes[0], sizes[2]);
    assert!(
        last.0 <= 2 * first.0 && last.1 <= 2 * first.1,
        "bytes of metadata and files after each hundred landings: {sizes:?}"
    );
    let files = table.scan(&[]).plan(1).await.unwrap().files();
    assert!(files <= 30, "300 landings are {files} files");
    let metadata = std::fs::metadata(table.metadata_location()).unwrap().len();
    assert!(metadata < 50_000, "the metadata file has {metadata} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_other_readers_stay_for_the_grace() {
    let clock = SetClock::at(DEC_1);
    let upkeep = Upkeep { kept_snapshots: 1, min_files: 2, ..Upkeep::default() };
    let house = House::kept(clock.clone(), upkeep.clone()).await;
    let mut table = house.events().await;
    for i in 0..4 {
        table = house.append(&table, event_rows(i, 1, DEC_1)).await;
        clock.pass(1000);
    }
    let before = house.objects("");
    let location = table.metadata_location().to_owned();
    drop(table);
    let joined = house.lake.maintain(&house.app).await.unwrap();
    assert_eq!(joined, Maintained { joined_files: 4, into_files: 1, swept_files: 0 });
    for _ in 0..25 {
        house.append(&house.table("events").await, event_rows(4, 1, DEC_1 + DAY_MS)).await;
    }
    clock.pass(upkeep.grace_ms - 1000);
    house.lake.maintain(&house.app).await.unwrap();
    let here = |paths: &[std::path::PathBuf]| paths.iter().filter(|p| p.exists()).count();
    let current = before.iter().position(|p| p.to_str().unwrap() == location).unwrap();
    assert!(before[current].exists(), "a reader that was told of it may just open it");
    assert_eq!(
        here(
            &before
                .iter()
                .filter(|p| p.extension().unwrap() == "parquet")
                .cloned()
                .collect::<Vec<_>>()
        ),
        4
    );
    clock.pass(2000);
    house.lake.maintain(&house.app).await.unwrap();
    house.append(&house.table("events").await, event_rows(5, 1, DEC_1 + DAY_MS)).await;
    assert_eq!(here(&before), 0, "{before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_although_the_clock_was_ahead_once() {
    let clock = SetClock::at(DEC_1);
    let upkeep = Upkeep { kept_snapshots: 1, ..Upkeep::default() };
    let house = House::kept(clock.clone(), upkeep.clone()).await;
    let mut table = house.events().await;
    let mut append = async |rows: i64| {
        for _ in 0..rows {
            table = house.append(&table, event_rows(1, 1, DEC_1)).await;
        }
    };
    append(3).await;
    clock.pass(3 * DAY_MS);
    append(30).await;
    clock.pass(-3 * DAY_MS);
    append(30).await;
    let lists = |path: &std::path::PathBuf| path.to_str().unwrap().contains("/metadata/snap-");
    let before: Vec<_> = house.objects("").into_iter().filter(lists).collect();
    // The first one that meets the right clock again begins the grace.
    clock.pass(1000);
    append(1).await;
    clock.pass(upkeep.grace_ms);
    append(1).await;
    clock.pass(1000);
    append(1).await;
    let left = before.iter().filter(|path| path.exists()).count();
    // Those of the last two commits are in their grace yet.
    assert!(
        before.len() >= 60 && left <= 3,
        "{left} of {} lists of snapshots are left after the grace",
        before.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_this_process_keeps_its_snapshot() {
    let clock = SetClock::at(DEC_1);
    let house = House::kept(clock.clone(), at_once()).await;
    let mut table = house.events().await;
    for i in 0..10 {
        table = house.append(&table, event_rows(i, 1, DEC_1)).await;
        clock.pass(1000);
    }
    let scan = table.scan(&["quantity"]).plan(2).await.unwrap();
    let maintain = async || {
        house.lake.maintain(&house.app).await.unwrap();
        house.append(&house.table("events").await, event_rows(99, 1, DEC_1 + DAY_MS)).await;
        house.lake.maintain(&house.app).await.unwrap();
    };
    maintain().await;
    assert_eq!(
        house.table("events").await.scan(&[]).plan(1).await.unwrap().files(),
        2,
        "the ten files are one"
    );
    assert_eq!(house.objects(".parquet").len(), 12);
    assert_eq!(quantities(&table).await, (0..10).collect::<Vec<_>>(), "of the handle");
    drop(table);
    maintain().await;
    assert_eq!(house.objects(".parquet").len(), 13);
    let streams = scan.partitions();
    maintain().await;
    let mut read = Vec::new();
    for stream in streams {
        read.extend(numbers(&crate::support::gather(stream).await, "quantity"));
    }
    read.sort_unstable();
    assert_eq!(read, (0..10).collect::<Vec<_>>(), "of the scan, whose handle is gone");
    maintain().await;
    let left = house.objects(".parquet");
    let now = house.table("events").await;
    assert_eq!(left.len(), now.scan(&[]).plan(1).await.unwrap().files(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_and_overwrites_beside_compaction_lose_nothing() {
    // Each question after the time is a millisecond: files go some rounds after they were current,
    // which a reader needs to open them.
    let upkeep = Upkeep { min_files: 3, grace_ms: 200, ..at_once() };
    let house = Arc::new(House::kept(crate::support::clock(), upkeep).await);
    let events = house.events().await;
    let tag =
        house.lake.ensure(&house.app, &layout::tag(&name("n"), ValueType::Int)).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let upkeep = tokio::spawn({
        let (house, over) = (house.clone(), over.clone());
        async move {
            let mut joined = 0;
            while !over.load(Ordering::Relaxed) {
                joined += house.lake.maintain(&house.app).await.unwrap().joined_files;
            }
            joined + house.lake.maintain(&house.app).await.unwrap().joined_files
        }
    });
    let reader = tokio::spawn({
        let (house, over) = (house.clone(), over.clone());
        async move {
            while !over.load(Ordering::Relaxed) {
                let table = house.table("events").await;
                let read = quantities(&table).await;
                assert_eq!(read, (0..read.len() as i64).collect::<Vec<_>>());
                assert_eq!(read.len() as u64, table.rows());
            }
        }
    });
    for i in 0..60 {
        let mut commit = house.lake.begin(&house.app);
        commit.append(&events, write(&events, vec![event_rows(i, 1, DEC_1)]).await);
        // Several files of one partition, which may be joined before the next round overwrites
        // them.
        let mut files = Vec::new();
        for part in 0..4 {
            files.extend(write(&tag, vec![tag_rows(DEC_1, part + 1, i)]).await);
        }
        commit.overwrite(&tag, &Value::Time(DEC_1), files).unwrap();
        commit.commit().await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    assert!(upkeep.await.unwrap() >= 60, "nothing was joined, so nothing was tried");
    assert_eq!(quantities(&house.table("events").await).await, (0..60).collect::<Vec<_>>());
    let tag = house.table("tag_n").await;
    let values = numbers(&collect(tag.scan(&["value"]).plan(1).await.unwrap()).await, "value");
    assert_eq!(values, [0, 0, 0, 0, 59, 59, 59, 118, 118, 177]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_swept_and_nothing_else() {
    let clock = SetClock::at(DEC_1);
    let house = House::kept(clock.clone(), Upkeep::default()).await;
    let table = house.append(&house.events().await, event_rows(0, 10, DEC_1)).await;
    let old =
        house.lake.ensure(&house.app, &layout::tag(&name("n"), ValueType::Int)).await.unwrap();
    house.append(&old, tag_rows(DEC_1, 3, 1)).await;
    let decimal = layout::tag(&name("n"), ValueType::Decimal { scale: 2 });
    house.lake.ensure_derived(&house.app, &[decimal]).await.unwrap();
    let replaced = std::path::PathBuf::from(old.location());
    drop(old);
    // Killed between writing and committing.
    let orphans = write(&table, vec![event_rows(10, 10, DEC_1)]).await;
    let paths: Vec<_> = orphans.iter().map(|f| f.path().to_owned()).collect();
    std::mem::forget(orphans);
    let empty = Path::new(table.location()).join("data/time_day=2020-01-01");
    std::fs::create_dir_all(&empty).unwrap();
    drop(table);

    let next = SetClock::at(DEC_1);
    let house = house.again(next.clone(), Upkeep::default());
    age(&house, DEC_1);
    let swept = async |house: &House| house.lake.maintain(&house.app).await.unwrap().swept_files;
    next.pass(23 * 60 * MINUTE_MS);
    assert_eq!(swept(&house).await, 0, "another engine may yet commit them");
    let table = house.table("events").await;
    let kept = write(&table, vec![event_rows(20, 1, DEC_1)]).await;
    // Written so long ago when it is swept, and not committed yet.
    let still: Vec<_> = kept.iter().map(|f| f.path().to_owned()).collect();
    still.iter().for_each(|path| written_at(Path::new(path), DEC_1 + 23 * 60 * MINUTE_MS + 1));
    next.pass(25 * 60 * MINUTE_MS);
    let gone = swept(&house).await;
    assert!(gone as usize >= paths.len() + 4, "{gone} files swept");
    assert!(paths.iter().chain(&still).all(|p| Path::new(p).exists() == still.contains(p)));
    assert!(
        !replaced.exists() && !empty.exists(),
        "the replaced table is gone, and so is what an older version left of a day"
    );
    assert_eq!(swept(&house).await, 0, "once a day");

    let mut commit = house.lake.begin(&house.app);
    commit.append(&table, kept);
    commit.commit().await.unwrap();
    next.pass(2 * DAY_MS);
    age(&house, DEC_1);
    assert_eq!(swept(&house).await, 0, "all that is there is named");
    assert_eq!(
        quantities(&house.table("events").await).await,
        (0..10).chain([20]).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_files_has_no_folder() {
    let house = House::kept(SetClock::at(DEC_1), at_once()).await;
    let table =
        house.lake.ensure(&house.app, &layout::tag(&name("n"), ValueType::Int)).await.unwrap();
    house.append(&table, tag_rows(DEC_1, 3, 1)).await;
    let folders = || -> std::collections::BTreeSet<_> {
        house.objects(".parquet").iter().map(|file| file.parent().unwrap().to_owned()).collect()
    };
    let first = folders();
    assert_eq!(first.len(), 1);
    drop(table);
    for day in [None, Some(1), Some(2)] {
        let table = house.table("tag_n").await;
        let mut commit = house.lake.begin(&house.app);
        match day {
            None => commit.overwrite(&table, &Value::Time(DEC_1), Vec::new()).unwrap(),
            Some(day) => {
                let files = write(&table, vec![tag_rows(DEC_1 + day * DAY_MS, 3, 1)]).await;
                commit.append(&table, files);
            }
        }
        drop(table);
        commit.commit().await.unwrap();
        house.lake.maintain(&house.app).await.unwrap();
    }
    assert!(first.iter().all(|folder| !folder.exists()), "{first:?}");
    assert!(folders().iter().all(|folder| folder.exists()) && folders().len() == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_swept_where_a_manifest_cannot_be_read() {
    let clock = SetClock::at(DEC_1);
    let house = House::kept(clock.clone(), Upkeep::default()).await;
    let table = house.append(&house.events().await, event_rows(0, 10, DEC_1)).await;
    drop(write(&table, vec![event_rows(10, 10, DEC_1)]).await);
    age(&house, DEC_1);
    clock.pass(3 * DAY_MS);
    let manifest = house.manifest();
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, &whole[..whole.len() / 2]).unwrap();
    let before = house.objects("").len();
    let error = house.lake.maintain(&house.app).await.unwrap_err();
    assert!(error.to_string().contains(manifest.to_str().unwrap()), "{error}");
    assert_eq!(house.objects("").len(), before);
    std::fs::write(&manifest, whole).unwrap();
    assert!(house.lake.maintain(&house.app).await.unwrap().swept_files > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_rests_becomes_one_file() {
    let clock = SetClock::at(DEC_1);
    let house = House::kept(clock.clone(), Upkeep::default()).await;
    let mut table = house.events().await;
    for i in 0..5 {
        table = house.append(&table, event_rows(i * 3, 3, DEC_1)).await;
        clock.pass(10_000);
    }
    assert_eq!(
        house.lake.maintain(&house.app).await.unwrap().joined_files,
        0,
        "five files are not worth it"
    );
    let other = house.lake.ensure(&house.app, &layout::attributes()).await.unwrap();
    assert_eq!(other.rows(), 0);
    clock.pass(2 * 60 * MINUTE_MS);
    house.append(&table, event_rows(15, 1, DEC_1 + 5 * DAY_MS)).await;
    clock.pass(2 * 60 * MINUTE_MS);
    let table = house.append(&table, event_rows(16, 1, DEC_1 + 5 * DAY_MS)).await;
    let done = house.lake.maintain(&house.app).await.unwrap();
    assert_eq!((done.joined_files, done.into_files), (5, 1));
    let after = house.table("events").await;
    assert_eq!(quantities(&after).await, quantities(&table).await);
    let last = after.snapshots().pop().unwrap();
    assert_eq!(
        (last.operation.as_str(), last.summary["total-records"].as_str()),
        ("replace", "17")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_columns_that_prune_have_statistics() {
    let house = House::new().await;
    let properties: BTreeMap<_, _> =
        (0..300).map(|i| (name(&format!("p{i}")), ValueType::Text)).collect();
    let table = house.lake.ensure(&house.app, &layout::events(&properties)).await.unwrap();
    let rows = event_rows(0, 1, DEC_1).project(&[0, 1, 2, 3, 4, 5]).unwrap();
    let table = house.append(&table, rows).await;
    let manifest = std::fs::read(house.manifest()).unwrap();
    let manifest = iceberg::spec::Manifest::parse_avro(&manifest).unwrap();
    let file = manifest.entries()[0].data_file();
    let mut bounded: Vec<i32> = file.lower_bounds().keys().copied().collect();
    bounded.sort_unstable();
    assert_eq!(bounded, [1, 2, 3, 4, 5, 6], "user, event, time, message, source, receipt");
    assert_eq!(
        (file.value_counts().len(), file.column_sizes().len(), file.null_value_counts().len()),
        (6, 6, 6)
    );
    let metadata: serde_json::Value =
        serde_json::from_slice(&std::fs::read(table.metadata_location()).unwrap()).unwrap();
    assert_eq!(metadata["properties"]["write.metadata.metrics.default"], "none");
    assert_eq!(metadata["properties"]["write.metadata.metrics.column.user_id"], "truncate(16)");
}
