//! One table's next snapshot: manifests, their list, the summary, the metadata file. Written, and
//! not yet pointed to.

use crate::manifest::{ManifestPlace, lives, refuse_deletes};
use crate::retention::{Superseded, expired};
use crate::table::Table;
use crate::{Error, Result, metadata};
use iceberg::spec::{
    DataFile, FormatVersion, Literal, MAIN_BRANCH, ManifestEntryRef, ManifestFile,
    ManifestListWriter, Operation, PartitionSpec, Snapshot, Summary, TableMetadata,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Carried manifests beyond this many are merged: a table that is appended to every few seconds
/// stays quick to plan and to commit.
const MAX_SMALL_MANIFESTS: usize = 100;
/// A manifest of this size is not merged any more.
const FULL_MANIFEST_BYTES: i64 = 8 << 20;
/// Properties with this prefix hold until they are set again, so each snapshot's summary says them.
const OURS: &str = "taghouse.";

/// What a commit does to one table.
#[derive(Debug, Default, Clone)]
pub(crate) struct TableChange {
    pub(crate) added: Vec<DataFile>,
    /// Values of the identity partition; files that have one of them go.
    pub(crate) overwritten: Vec<Literal>,
    /// Paths of files that go, for their rows are among those added. Each must be there.
    pub(crate) replaced: BTreeSet<String>,
    /// Some rows of those files are not among the added ones.
    pub(crate) rows_go: bool,
}

/// A successor of `base`, on disk.
pub(crate) struct Next {
    pub(crate) base: Table,
    pub(crate) location: String,
    pub(crate) metadata: TableMetadata,
    /// All that was written for it.
    pub(crate) written: Vec<String>,
    /// Metadata files that the successor's log does not list any more.
    pub(crate) old_metadata: Vec<String>,
    /// Snapshots that the successor does not name any more, whose files go when their time has
    /// come.
    pub(crate) expired: Vec<Superseded>,
}

/// The successor's metadata, and what it leaves behind.
struct Written {
    location: String,
    metadata: TableMetadata,
    old_metadata: Vec<String>,
    expired: Vec<Superseded>,
}

/// Writes the successor of `base`. What it wrote is removed again if it fails.
pub(crate) async fn prepare(
    base: &Table,
    change: &TableChange,
    properties: &BTreeMap<String, String>,
) -> Result<Next> {
    let metadata = base.metadata();
    if metadata.format_version() != FormatVersion::V2 {
        return Err(Error::Invalid(format!(
            "table {} is not of Iceberg format 2, the only one written here",
            base.name()
        )));
    }
    let mut place = ManifestPlace {
        objects: &base.warehouse().objects,
        folder: format!("{}/metadata", metadata.location()),
        commit: uuid::Uuid::new_v4(),
        snapshot_id: new_snapshot_id(metadata),
        schema: metadata.current_schema().clone(),
        written: Vec::new(),
    };
    match write_next(base, change, properties, &mut place).await {
        Ok(Written { location, metadata, old_metadata, expired }) => Ok(Next {
            base: base.clone(),
            location,
            metadata,
            written: place.written,
            old_metadata,
            expired,
        }),
        Err(e) => {
            place.objects.remove(place.written).await;
            Err(e)
        }
    }
}

async fn write_next(
    base: &Table,
    change: &TableChange,
    properties: &BTreeMap<String, String>,
    place: &mut ManifestPlace<'_>,
) -> Result<Written> {
    let metadata = base.metadata();
    let mut tally = SnapshotChange::default();
    let mut manifests = carried(base, change, place, &mut tally).await?;
    let spec = metadata.default_partition_spec();
    if !change.added.is_empty() {
        change.added.iter().for_each(|f| tally.add(f));
        manifests.push(place.added(spec, change.added.clone()).await?);
    }
    let list = format!("{}/snap-{}-0-{}.avro", place.folder, place.snapshot_id, place.commit);
    let writer = place.objects.drafts().new_output(&list)?.writer().await?;
    let sequence = metadata.next_sequence_number();
    let mut writer =
        ManifestListWriter::v2(writer, place.snapshot_id, metadata.current_snapshot_id(), sequence);
    writer.add_manifests(manifests.iter().cloned())?;
    writer.close().await?;
    let list = place.objects.write_draft(&list).await?;
    place.written.push(list.clone());

    let operation =
        match (change.overwritten.is_empty() && !change.rows_go, change.replaced.is_empty()) {
            (true, true) => Operation::Append,
            (true, false) => Operation::Replace,
            (false, _) => Operation::Overwrite,
        };
    let summary = Summary {
        operation,
        additional_properties: tally.summary(metadata, &manifests, properties),
    };
    let now = base.warehouse().now_ms().max(metadata.last_updated_ms());
    let snapshot = Snapshot::builder()
        .with_snapshot_id(place.snapshot_id)
        .with_parent_snapshot_id(metadata.current_snapshot_id())
        .with_sequence_number(sequence)
        .with_timestamp_ms(now)
        .with_manifest_list(list)
        .with_summary(summary)
        .with_schema_id(metadata.current_schema_id())
        .build();
    let expired = expired(metadata, &Arc::new(snapshot.clone()), &base.warehouse().upkeep, now);
    let mut builder = metadata.clone().into_builder(Some(base.metadata_location().to_owned()));
    builder = builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?.remove_snapshots(&expired.ids);
    for id in expired.ids {
        builder = builder.remove_statistics(id).remove_partition_statistics(id);
    }
    let built = builder.build()?;
    let location =
        metadata::write(place.objects, &built.metadata, Some(base.metadata_location())).await?;
    place.written.push(location.clone());
    let old_metadata = built.expired_metadata_logs.into_iter().map(|l| l.metadata_file).collect();
    Ok(Written { location, metadata: built.metadata, old_metadata, expired: expired.chain })
}

/// The base's manifests as they go on: those with overwritten files written again, many small ones
/// merged.
async fn carried(
    base: &Table,
    change: &TableChange,
    place: &mut ManifestPlace<'_>,
    tally: &mut SnapshotChange,
) -> Result<Vec<ManifestFile>> {
    let metadata = base.metadata();
    let gone = || {
        let message = format!(
            "files of table {} that were to be replaced are gone: they were overwritten meanwhile",
            base.name()
        );
        if change.replaced.is_empty() { Ok(()) } else { Err(Error::Conflict(message)) }
    };
    let Some(snapshot) = metadata.current_snapshot() else { return gone().map(|()| Vec::new()) };
    let lake = base.warehouse();
    let mut manifests =
        lake.manifests.list(&lake.objects, snapshot, metadata.format_version()).await?;
    manifests.retain(lives);
    if !change.overwritten.is_empty() || !change.replaced.is_empty() {
        refuse_deletes(base.name(), &manifests)?;
        let replaced = change.replaced.len();
        let remaining = without(base, change, manifests, place, tally).await?;
        manifests = remaining.manifests;
        if remaining.replaced < replaced {
            gone()?;
        }
    }
    merged(base, manifests, place).await
}

/// What is left of a table when files are removed.
struct Remaining {
    manifests: Vec<ManifestFile>,
    /// How many of the files to be replaced were there.
    replaced: usize,
}

/// The manifests without the files that are removed.
async fn without(
    base: &Table,
    change: &TableChange,
    manifests: Vec<ManifestFile>,
    place: &mut ManifestPlace<'_>,
    tally: &mut SnapshotChange,
) -> Result<Remaining> {
    let lake = base.warehouse();
    let mut next = Vec::with_capacity(manifests.len());
    let mut replaced = 0;
    for (file, manifest) in lake.manifests.load(&lake.objects, manifests).await? {
        let goes = |e: &ManifestEntryRef| {
            let value = e.data_file().partition().iter().next().flatten();
            change.replaced.contains(e.file_path())
                || value.is_some_and(|v| change.overwritten.contains(v))
        };
        let (deleted, kept): (Vec<_>, Vec<_>) =
            manifest.entries().iter().filter(|e| e.is_alive()).cloned().partition(goes);
        if deleted.is_empty() {
            next.push(file);
            continue;
        }
        deleted.iter().for_each(|e| tally.remove(e.data_file()));
        replaced += deleted.iter().filter(|e| change.replaced.contains(e.file_path())).count();
        next.extend(place.rewritten(spec_of(base, &file)?, &deleted, &kept).await?);
    }
    Ok(Remaining { manifests: next, replaced })
}

async fn merged(
    base: &Table,
    manifests: Vec<ManifestFile>,
    place: &mut ManifestPlace<'_>,
) -> Result<Vec<ManifestFile>> {
    let spec_id = base.metadata().default_partition_spec_id();
    let small = |m: &ManifestFile| {
        m.manifest_length < FULL_MANIFEST_BYTES
            && m.partition_spec_id == spec_id
            && m.added_snapshot_id != place.snapshot_id
            && m.content == iceberg::spec::ManifestContentType::Data
    };
    let (mergeable, mut next): (Vec<_>, Vec<_>) = manifests.into_iter().partition(small);
    if mergeable.len() < MAX_SMALL_MANIFESTS {
        next.extend(mergeable);
        return Ok(next);
    }
    let lake = base.warehouse();
    let loaded = lake.manifests.load(&lake.objects, mergeable).await?;
    let kept: Vec<_> =
        loaded.iter().flat_map(|(_, m)| m.entries()).filter(|e| e.is_alive()).cloned().collect();
    next.extend(place.rewritten(base.metadata().default_partition_spec(), &[], &kept).await?);
    Ok(next)
}

fn spec_of<'a>(base: &'a Table, file: &ManifestFile) -> Result<&'a PartitionSpec> {
    let spec = base.metadata().partition_spec_by_id(file.partition_spec_id);
    let spec = spec.ok_or_else(|| {
        Error::corrupt(
            &file.manifest_path,
            format!("it names partition spec {}", file.partition_spec_id),
        )
    })?;
    Ok(spec)
}

fn new_snapshot_id(metadata: &TableMetadata) -> i64 {
    loop {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let id = ((high ^ low) >> 1) as i64;
        if id != 0 && metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}

/// The files and rows that a snapshot adds and removes.
#[derive(Default)]
struct SnapshotChange {
    added_files: u64,
    added_rows: u64,
    added_bytes: u64,
    removed_files: u64,
    removed_rows: u64,
    removed_bytes: u64,
    partitions: BTreeSet<String>,
}

impl SnapshotChange {
    fn add(&mut self, file: &DataFile) {
        self.added_files += 1;
        self.added_rows += file.record_count();
        self.added_bytes += file.file_size_in_bytes();
        self.partitions.insert(format!("{:?}", file.partition()));
    }

    fn remove(&mut self, file: &DataFile) {
        self.removed_files += 1;
        self.removed_rows += file.record_count();
        self.removed_bytes += file.file_size_in_bytes();
        self.partitions.insert(format!("{:?}", file.partition()));
    }

    /// The summary: the caller's properties, then ours that hold on, then what was counted, which
    /// nobody can shadow. The totals of files and rows are counted from the manifests and so
    /// are right whatever other engines wrote.
    fn summary(
        &self,
        base: &TableMetadata,
        manifests: &[ManifestFile],
        properties: &BTreeMap<String, String>,
    ) -> HashMap<String, String> {
        let before = base.current_snapshot().map(|s| &s.summary().additional_properties);
        let mut all: HashMap<String, String> = HashMap::new();
        all.extend(
            before
                .into_iter()
                .flatten()
                .filter(|(k, _)| k.starts_with(OURS))
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        all.extend(properties.iter().map(|(k, v)| (k.clone(), v.clone())));
        let count = |key: &str| {
            before.and_then(|b| b.get(key)).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0)
        };
        let data =
            || manifests.iter().filter(|m| m.content == iceberg::spec::ManifestContentType::Data);
        let files: u64 = data()
            .map(|m| {
                u64::from(m.added_files_count.unwrap_or(0))
                    + u64::from(m.existing_files_count.unwrap_or(0))
            })
            .sum();
        let rows: u64 = data()
            .map(|m| m.added_rows_count.unwrap_or(0) + m.existing_rows_count.unwrap_or(0))
            .sum();
        let bytes =
            (count("total-files-size") + self.added_bytes).saturating_sub(self.removed_bytes);
        let changes = [
            ("added-data-files", self.added_files),
            ("added-records", self.added_rows),
            ("added-files-size", self.added_bytes),
            ("deleted-data-files", self.removed_files),
            ("deleted-records", self.removed_rows),
            ("removed-files-size", self.removed_bytes),
            ("changed-partition-count", self.partitions.len() as u64),
        ];
        let totals = [
            ("total-data-files", files),
            ("total-records", rows),
            ("total-files-size", bytes),
            ("total-delete-files", count("total-delete-files")),
            ("total-position-deletes", count("total-position-deletes")),
            ("total-equality-deletes", count("total-equality-deletes")),
        ];
        let counted = changes.into_iter().filter(|(_, n)| *n > 0).chain(totals);
        all.extend(counted.map(|(k, n)| (k.to_owned(), n.to_string())));
        all
    }
}
