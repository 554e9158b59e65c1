//! Manifests: read (and kept, for they are immutable), written, merged.

use crate::objects::Objects;
use crate::{Error, Result};
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{
    DataFile, FormatVersion, Manifest, ManifestContentType, ManifestEntryRef, ManifestFile, ManifestList, ManifestWriter,
    ManifestWriterBuilder, PartitionSpec, SchemaRef, SnapshotRef,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many files' entries are kept in memory; at about 1 kB each.
const KEPT_ENTRIES: usize = 100_000;
const READ_AHEAD: usize = 8;

/// Manifests by path. Derived: emptied at will.
#[derive(Default)]
pub(crate) struct ManifestCache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_path: HashMap<String, Arc<Manifest>>,
    entries: usize,
}

impl ManifestCache {
    /// The manifests a snapshot lists.
    pub(crate) async fn list(&self, objects: &Objects, snapshot: &SnapshotRef, version: FormatVersion) -> Result<Vec<ManifestFile>> {
        let path = snapshot.manifest_list();
        let bytes = objects.read(path).await?;
        let list = ManifestList::parse_with_version(&bytes, version).map_err(|e| Error::corrupt(path, e.message()))?;
        Ok(list.consume_entries().into_iter().collect())
    }

    /// What the manifests say, in their order.
    pub(crate) async fn load(&self, objects: &Objects, files: Vec<ManifestFile>) -> Result<Vec<(ManifestFile, Arc<Manifest>)>> {
        let each = files.into_iter().map(|file| async move {
            let manifest = self.one(objects, &file).await?;
            Ok((file, manifest))
        });
        futures::stream::iter(each).buffered(READ_AHEAD).try_collect().await
    }

    async fn one(&self, objects: &Objects, file: &ManifestFile) -> Result<Arc<Manifest>> {
        if let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).by_path.get(&file.manifest_path) {
            return Ok(kept.clone());
        }
        let manifest = file.load_manifest(objects.io()).await.map_err(|e| Error::corrupt(&file.manifest_path, e.message()))?;
        let manifest = Arc::new(manifest);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.entries > KEPT_ENTRIES {
            *kept = Kept::default();
        }
        kept.entries += manifest.entries().len();
        kept.by_path.insert(file.manifest_path.clone(), manifest.clone());
        Ok(manifest)
    }
}

/// Whether a manifest still lists files that live.
pub(crate) fn lives(manifest: &ManifestFile) -> bool {
    manifest.has_added_files() || manifest.has_existing_files()
}

/// Refuses tables with row-level deletes of other engines, which this version would read wrongly.
pub(crate) fn refuse_deletes(table: &str, manifests: &[ManifestFile]) -> Result<()> {
    match manifests.iter().find(|m| m.content == ManifestContentType::Deletes && lives(m)) {
        None => Ok(()),
        Some(_) => Err(Error::Invalid(format!(
            "table {table} has delete files, written by another engine: rewrite its data files there, this version reads whole files only"
        ))),
    }
}

/// Where the manifests of one commit go.
pub(crate) struct ManifestPlace<'a> {
    pub(crate) objects: &'a Objects,
    /// The table's folder `metadata`.
    pub(crate) folder: String,
    pub(crate) commit: uuid::Uuid,
    pub(crate) snapshot_id: i64,
    pub(crate) schema: SchemaRef,
    /// Paths of what was written.
    pub(crate) written: Vec<String>,
}

impl ManifestPlace<'_> {
    /// A manifest of files that this snapshot adds.
    pub(crate) async fn added(&mut self, spec: &PartitionSpec, files: Vec<DataFile>) -> Result<ManifestFile> {
        let mut writer = self.writer(spec)?;
        for file in files {
            // No sequence number: readers inherit the one of the snapshot.
            writer.add_file(file, -1)?;
        }
        Ok(writer.write_manifest_file().await?)
    }

    /// A manifest in which `deleted` are marked so by this snapshot and `kept` live on. `None` if there is nothing to say.
    pub(crate) async fn rewritten(
        &mut self,
        spec: &PartitionSpec,
        deleted: &[ManifestEntryRef],
        kept: &[ManifestEntryRef],
    ) -> Result<Option<ManifestFile>> {
        if deleted.is_empty() && kept.is_empty() {
            return Ok(None);
        }
        let mut writer = self.writer(spec)?;
        let sequence = |entry: &ManifestEntryRef| {
            entry.sequence_number().ok_or_else(|| Error::corrupt(entry.file_path(), "its manifest entry has no sequence number"))
        };
        for entry in deleted {
            writer.add_delete_file(entry.data_file().clone(), sequence(entry)?, entry.file_sequence_number)?;
        }
        for entry in kept {
            let added_by = entry.snapshot_id().unwrap_or(self.snapshot_id);
            writer.add_existing_file(entry.data_file().clone(), added_by, sequence(entry)?, entry.file_sequence_number)?;
        }
        Ok(Some(writer.write_manifest_file().await?))
    }

    fn writer(&mut self, spec: &PartitionSpec) -> Result<ManifestWriter> {
        let path = format!("{}/{}-m{}.avro", self.folder, self.commit, self.written.len());
        self.written.push(path.clone());
        let output = self.objects.io().new_output(path)?;
        Ok(ManifestWriterBuilder::new(output, Some(self.snapshot_id), self.schema.clone(), spec.clone()).build_v2_data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_delete_files_that_live_are_refused() {
        let check = |content, added, deleted, expected: bool| {
            let manifest = ManifestFile {
                manifest_path: "m".to_owned(),
                manifest_length: 1,
                partition_spec_id: 0,
                content,
                sequence_number: 1,
                min_sequence_number: 1,
                added_snapshot_id: 1,
                added_files_count: Some(added),
                existing_files_count: Some(0),
                deleted_files_count: Some(deleted),
                added_rows_count: Some(1),
                existing_rows_count: Some(0),
                deleted_rows_count: Some(0),
                partitions: None,
                key_metadata: None,
                first_row_id: None,
            };
            assert_eq!(refuse_deletes("events", &[manifest]).is_ok(), expected);
        };
        check(ManifestContentType::Data, 1, 0, true);
        check(ManifestContentType::Deletes, 0, 1, true);
        check(ManifestContentType::Deletes, 1, 0, false);
    }
}
