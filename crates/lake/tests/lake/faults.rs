//! Crashes, races and damage.

use crate::support::{DEC_1, House, clock, collect, event_rows, name, quantities, tag_rows, write};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use taghouse_catalog::{
    AuditEntry, AuditQuery, AuditRecord, Catalog, Change, IngestedFile, KeyRecord, Pointer, Result,
    RunRecord, SqliteCatalog, StoredDefinition,
};
use taghouse_disk::rehearsal::Rehearsal;
use taghouse_lake::{Error, Lake, layout};
use taghouse_model::{AppId, ErrorKind, Name, Value, ValueType};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_data_files_and_commit_changes_nothing() {
    let house = House::new().await;
    let table = house.append(&house.events().await, event_rows(0, 10, DEC_1)).await;
    let files = write(&table, vec![event_rows(10, 10, DEC_1)]).await;
    std::mem::forget(files);
    // A new process.
    let lake =
        Lake::open(house.catalog.clone(), &house.folder.path().join("lake"), clock()).unwrap();
    let again = lake.table(&house.app, "events").await.unwrap().unwrap();
    assert_eq!(quantities(&again).await, (0..10).collect::<Vec<_>>());
    let files = write(&again, vec![event_rows(10, 10, DEC_1)]).await;
    let mut commit = lake.begin(&house.app);
    commit.append(&again, files);
    let after = commit.commit().await.unwrap().remove(0);
    assert_eq!(quantities(&after).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_once_all_get_in() {
    let house = Arc::new(House::new().await);
    let events = house.events().await;
    let tag =
        house.lake.ensure(&house.app, &layout::tag(&name("n"), ValueType::Int)).await.unwrap();
    let writers = (0..6i64).map(|i| {
        let (house, events, tag) = (house.clone(), events.clone(), tag.clone());
        tokio::spawn(async move {
            let mut commit = house.lake.begin(&house.app);
            commit.append(&events, write(&events, vec![event_rows(i * 10, 10, DEC_1)]).await);
            // All write the same partition: the last one's rows stay, never a mixture.
            let rows = write(&tag, vec![tag_rows(DEC_1, 5, i + 1)]).await;
            commit.overwrite(&tag, &Value::Time(DEC_1), rows).unwrap();
            commit.commit().await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let now = house.table("events").await;
    assert_eq!(quantities(&now).await, (0..60).collect::<Vec<_>>());
    assert_eq!((now.rows(), now.snapshots().len()), (60, 6));
    let tag = house.table("tag_n").await;
    let values = crate::support::numbers(
        &collect(tag.scan(&["value"]).plan(1).await.unwrap()).await,
        "value",
    );
    assert_eq!(values.len(), 5);
    assert_eq!(values[4], values[1] * 4, "one writer's values: {values:?}");
    // What losing attempts had written is gone: every manifest list belongs to a snapshot.
    let lists =
        house.objects(".avro").iter().filter(|p| p.to_str().unwrap().contains("/snap-")).count();
    assert_eq!(lists, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn makers_of_one_table_at_once_agree() {
    let house = Arc::new(House::new().await);
    let makers = (0..4).map(|i| {
        let house = house.clone();
        tokio::spawn(async move {
            let properties =
                std::collections::BTreeMap::from([(name(&format!("p{i}")), ValueType::Int)]);
            house.lake.ensure(&house.app, &layout::events(&properties)).await.unwrap()
        })
    });
    let mut tables = Vec::new();
    for maker in makers.collect::<Vec<_>>() {
        tables.push(maker.await.unwrap());
    }
    let table = house.table("events").await;
    for i in 0..4 {
        assert!(table.arrow_schema().field_with_name(&format!("p{i}")).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_cut_object_is_named() {
    let house = House::new().await;
    let table = house.append(&house.events().await, event_rows(0, 100, DEC_1)).await;
    let lost = house.objects(".parquet").remove(2);
    let kept = std::fs::read(&lost).unwrap();
    for damage in ["gone", "cut", "garbled"] {
        match damage {
            "gone" => std::fs::remove_file(&lost).unwrap(),
            "cut" => std::fs::write(&lost, &kept[..kept.len() - 3]).unwrap(),
            _ => std::fs::write(&lost, kept.iter().map(|b| b ^ 0xff).collect::<Vec<_>>()).unwrap(),
        }
        let mut failures = Vec::new();
        for stream in table.scan(&["quantity"]).plan(2).await.unwrap().partitions() {
            if let Err(e) = futures::TryStreamExt::try_collect::<Vec<_>>(stream).await {
                failures.push(e);
            }
        }
        assert!(
            matches!(&failures[..], [Error::Corrupt { object, .. }] if object == lost.to_str().unwrap()),
            "{damage}: {failures:?}"
        );
        let (_, stream) =
            house.lake.sql(&house.app, "SELECT sum(quantity) FROM events", &[]).await.unwrap();
        let Err(e) = futures::TryStreamExt::try_collect::<Vec<_>>(stream).await else {
            panic!("{damage}: SQL read it")
        };
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
        assert!(e.to_string().contains(lost.to_str().unwrap()), "{e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_manifest_or_metadata_file_is_named() {
    let house = House::new().await;
    let table = house.append(&house.events().await, event_rows(0, 10, DEC_1)).await;
    for kind in ["-m0-", "/snap-", ".metadata.json"] {
        let objects = house.objects("");
        let path = objects.iter().rev().find(|p| {
            p.to_str().unwrap().contains(kind)
                && (kind != ".metadata.json" || p.to_str().unwrap() == table.metadata_location())
        });
        let path = path.unwrap();
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        let lake =
            Lake::open(house.catalog.clone(), &house.folder.path().join("lake"), clock()).unwrap();
        let failure = match lake.table(&house.app, "events").await {
            Err(e) => e,
            Ok(table) => table.unwrap().scan(&["quantity"]).plan(1).await.err().unwrap(),
        };
        assert_eq!(failure.kind(), ErrorKind::Corrupt, "{kind}: {failure}");
        assert!(failure.to_string().contains(path.to_str().unwrap()), "{failure}");
        std::fs::write(path, bytes).unwrap();
    }
}

/// A catalog that loses the answer of commits, or never commits.
struct Shaky {
    inner: SqliteCatalog,
    /// 0: as it should be; 1: commits and then fails; 2: fails before; 3: conflicts for ever.
    mode: AtomicUsize,
}

#[async_trait]
impl Catalog for Shaky {
    async fn commit(&self, changes: Vec<Change>) -> Result<()> {
        match self.mode.load(Ordering::Relaxed) {
            0 => self.inner.commit(changes).await,
            1 => {
                self.inner.commit(changes).await?;
                Err(taghouse_catalog::Error::Unavailable("the answer was lost".to_owned()))
            }
            _ => Err(taghouse_catalog::Error::Unavailable("the disk is full".to_owned())),
        }
    }
    async fn pointer(&self, kind: &str, app: &AppId, name: &str) -> Result<Option<Pointer>> {
        self.inner.pointer(kind, app, name).await
    }
    async fn pointers(&self, kind: &str, app: &AppId) -> Result<Vec<(String, Pointer)>> {
        self.inner.pointers(kind, app).await
    }
    async fn definitions(&self, app: &AppId) -> Result<Vec<StoredDefinition>> {
        self.inner.definitions(app).await
    }
    async fn apps(&self) -> Result<Vec<AppId>> {
        self.inner.apps().await
    }
    async fn table_location(&self, app: &AppId, table: &str) -> Result<Option<String>> {
        self.inner.table_location(app, table).await
    }
    async fn tables(&self, app: &AppId) -> Result<Vec<String>> {
        self.inner.tables(app).await
    }
    async fn ingested_files(&self, app: &AppId, source: &Name) -> Result<Vec<IngestedFile>> {
        self.inner.ingested_files(app, source).await
    }
    async fn keys(&self) -> Result<Vec<KeyRecord>> {
        self.inner.keys().await
    }
    async fn runs(&self, app: &AppId, limit: u32) -> Result<Vec<RunRecord>> {
        self.inner.runs(app, limit).await
    }
    async fn run(&self, app: &AppId, id: &str) -> Result<Option<RunRecord>> {
        self.inner.run(app, id).await
    }
    async fn unfinished_runs(&self) -> Result<Vec<RunRecord>> {
        self.inner.unfinished_runs().await
    }
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        self.inner.audit(query).await
    }
    async fn open_acts(&self) -> taghouse_catalog::Result<Vec<AuditRecord>> {
        self.inner.open_acts().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let inner = SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
    let catalog = Arc::new(Shaky { inner, mode: AtomicUsize::new(0) });
    let house = House::over(folder, catalog.clone());
    let events = house.events().await;

    catalog.mode.store(1, Ordering::Relaxed);
    let after = house.append(&events, event_rows(0, 10, DEC_1)).await;
    assert_eq!(quantities(&after).await, (0..10).collect::<Vec<_>>());

    catalog.mode.store(2, Ordering::Relaxed);
    let before = house.objects("").len();
    let mut commit = house.lake.begin(&house.app);
    commit.append(&events, write(&events, vec![event_rows(10, 10, DEC_1)]).await);
    assert_eq!(commit.commit().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(house.objects("").len(), before, "what it wrote is removed");
    catalog.mode.store(0, Ordering::Relaxed);
    assert_eq!(quantities(&house.table("events").await).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_outlasts_a_loss_of_power_and_none_is_made_after_a_failed_sync() {
    let house = House::new().await;
    let root = house.folder.path().join("lake").canonicalize().unwrap();
    let rehearsal = Rehearsal::of(&root).unwrap();
    let table = house.append(&house.events().await, event_rows(0, 10, DEC_1)).await;
    let location = table.metadata_location().to_owned();
    // Each kind of file, and the folders that name them.
    for failing in ["parquet", "-m0-", "metadata.json", "metadata", "data"] {
        rehearsal.fail_no_more();
        let files = write(&table, vec![event_rows(10, 10, DEC_1)]).await;
        let is = move |path: &std::path::Path| {
            let path = path.to_str().unwrap();
            path.ends_with(failing) || failing == "-m0-" && path.contains(failing)
        };
        rehearsal.fail_when(is);
        let outcome = if failing == "parquet" {
            let mut writer = table.writer();
            writer.write(event_rows(10, 10, DEC_1)).await.unwrap();
            writer.close().await.map(drop)
        } else {
            // A day's folder is new with its first file.
            let day = write_elsewhere(&table, failing == "data", files, &rehearsal, is).await;
            let mut commit = house.lake.begin(&house.app);
            commit.append(&table, day);
            commit.commit().await.map(drop)
        };
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{failing}: {error}");
        let now = house.catalog.table_location(&house.app, "events").await.unwrap();
        assert_eq!(now.as_deref(), Some(location.as_str()), "{failing}: the pointer stays");
    }
    rehearsal.fail_no_more();
    house.append(&house.table("events").await, event_rows(10, 10, DEC_1)).await;
    let tags = house
        .lake
        .ensure_derived(&house.app, &[layout::tag(&name("spend"), ValueType::Int)])
        .await
        .unwrap()
        .remove(0);
    house.append(&tags, tag_rows(DEC_1, 5, 1)).await;
    rehearsal.lose_power().unwrap();
    let lake = Lake::open(house.catalog.clone(), &root, clock()).unwrap();
    let table = lake.table(&house.app, "events").await.unwrap().unwrap();
    assert_eq!(quantities(&table).await, (0..20).collect::<Vec<_>>());
    let tags = lake.table(&house.app, tags.name()).await.unwrap().unwrap();
    assert_eq!(
        collect(tags.scan(&["user_id"]).plan(1).await.unwrap())
            .await
            .iter()
            .map(arrow::record_batch::RecordBatch::num_rows)
            .sum::<usize>(),
        5
    );
}

/// For the folder of data files: files of a day that has none yet, written while syncs succeed.
async fn write_elsewhere(
    table: &taghouse_lake::Table,
    new_day: bool,
    files: Vec<taghouse_lake::DataFile>,
    rehearsal: &Rehearsal,
    fails: impl Fn(&std::path::Path) -> bool + Send + Sync + Copy + 'static,
) -> Vec<taghouse_lake::DataFile> {
    if !new_day {
        return files;
    }
    rehearsal.fail_no_more();
    let files = write(table, vec![event_rows(10, 10, DEC_1 + 5 * crate::support::DAY_MS)]).await;
    rehearsal.fail_when(fails);
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_of_any_object_is_found() {
    let house = House::new().await;
    let table = house.append(&house.events().await, event_rows(0, 1000, DEC_1)).await;
    let current = [table.metadata_location().to_owned()];
    let kept = |path: &&std::path::PathBuf| {
        !path.to_str().unwrap().ends_with(".json") || current[0] == path.to_str().unwrap()
    };
    let all = house.objects("");
    let objects: Vec<_> = all.iter().filter(kept).collect();
    assert!(objects.len() >= 4, "{objects:?}");
    for path in objects {
        let whole = std::fs::read(path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(path, flipped).unwrap();
            let lake =
                Lake::open(house.catalog.clone(), &house.folder.path().join("lake"), clock())
                    .unwrap();
            let read = async {
                let table = lake.table(&house.app, "events").await?.unwrap();
                let scan = table.scan(&["quantity"]).plan(2).await?;
                let mut rows = 0;
                for stream in scan.partitions() {
                    for batch in futures::TryStreamExt::try_collect::<Vec<_>>(stream).await? {
                        rows += batch.num_rows();
                    }
                }
                Ok::<_, Error>(rows)
            };
            let error = read.await.unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Corrupt,
                "byte {at} of {}: {error}",
                path.display()
            );
            assert!(
                error.to_string().contains(path.file_name().unwrap().to_str().unwrap()),
                "{error}"
            );
        }
        std::fs::write(path, whole).unwrap();
    }
    assert_eq!(quantities(&table).await, (0..1000).collect::<Vec<_>>());
}
