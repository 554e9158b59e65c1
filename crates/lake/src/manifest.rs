//! Manifests: read (and kept, for they are immutable), written, merged.

use crate::objects::Objects;
use crate::{Error, Result};
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{
    DataFile, Datum, FormatVersion, Manifest, ManifestContentType, ManifestEntry, ManifestEntryRef,
    ManifestFile, ManifestList, ManifestWriter, ManifestWriterBuilder, PartitionSpec, SchemaRef,
    SnapshotRef,
};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::sync::Arc;

/// What manifests may take in memory.
const KEPT_BYTES: u64 = 32 << 20;
/// Manifests that are expected in so much memory; the cache makes room for their names.
const KEPT_MANIFESTS: usize = 1000;
const READ_AHEAD: usize = 8;

/// Manifests by path, in bounded memory. Derived: emptied at will.
pub(crate) struct ManifestCache {
    kept: Cache<String, Kept, ByBytes>,
}

#[derive(Clone)]
struct Kept {
    manifest: Arc<Manifest>,
    bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Kept> for ByBytes {
    fn weight(&self, path: &String, kept: &Kept) -> u64 {
        path.len() as u64 + kept.bytes
    }
}

impl Default for ManifestCache {
    fn default() -> Self {
        Self::bounded(KEPT_BYTES)
    }
}

impl ManifestCache {
    fn bounded(bytes: u64) -> Self {
        // One shard: a large manifest may take all of the memory, not only a shard's part.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(KEPT_MANIFESTS)
            .weight_capacity(bytes)
            .shards(1)
            .build();
        let kept = match options {
            Ok(options) => Cache::with_options(
                options,
                ByBytes,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            Err(_) => Cache::with_weighter(KEPT_MANIFESTS, bytes, ByBytes),
        };
        Self { kept }
    }

    /// The manifests a snapshot lists.
    pub(crate) async fn list(
        &self,
        objects: &Objects,
        snapshot: &SnapshotRef,
        version: FormatVersion,
    ) -> Result<Vec<ManifestFile>> {
        let path = snapshot.manifest_list();
        let bytes = objects.read(path).await?;
        let list = ManifestList::parse_with_version(&bytes, version)
            .map_err(|e| Error::corrupt(path, e.message()))?;
        Ok(list.consume_entries().into_iter().collect())
    }

    /// What the manifests say, in their order.
    pub(crate) async fn load(
        &self,
        objects: &Objects,
        files: Vec<ManifestFile>,
    ) -> Result<Vec<(ManifestFile, Arc<Manifest>)>> {
        let each = files.into_iter().map(|file| async move {
            let manifest = self.one(objects, &file).await?;
            Ok((file, manifest))
        });
        futures::stream::iter(each).buffered(READ_AHEAD).try_collect().await
    }

    async fn one(&self, objects: &Objects, file: &ManifestFile) -> Result<Arc<Manifest>> {
        if let Some(kept) = self.kept.get(&file.manifest_path) {
            return Ok(kept.manifest);
        }
        objects.verify(&file.manifest_path).await?;
        let manifest = file
            .load_manifest(objects.io())
            .await
            .map_err(|e| Error::corrupt(&file.manifest_path, e.message()))?;
        let manifest = Arc::new(manifest);
        let kept = Kept { bytes: held_bytes(&manifest), manifest: manifest.clone() };
        self.kept.insert(file.manifest_path.clone(), kept);
        Ok(manifest)
    }

    /// Forgets manifests that are removed.
    pub(crate) fn forget<'p>(&self, paths: impl IntoIterator<Item = &'p str>) {
        for path in paths {
            self.kept.remove(path);
        }
    }
}

/// About what the manifest takes in memory.
fn held_bytes(manifest: &Manifest) -> u64 {
    /// A slot of a hash map with its share of empty ones.
    const SLOT_BYTES: usize = 24;
    const BOUND_BYTES: usize = SLOT_BYTES + size_of::<Datum>() + 16;
    let entry = |entry: &ManifestEntryRef| {
        let file = entry.data_file();
        let counts = file.column_sizes().len()
            + file.value_counts().len()
            + file.null_value_counts().len()
            + file.nan_value_counts().len();
        let bounds = file.lower_bounds().len() + file.upper_bounds().len();
        let splits = file.split_offsets().map_or(0, <[i64]>::len);
        size_of::<ManifestEntry>()
            + file.file_path().len()
            + counts * SLOT_BYTES
            + bounds * BOUND_BYTES
            + splits * 8
    };
    let bytes: usize = manifest.entries().iter().map(entry).sum();
    (size_of::<Manifest>() + 4096 + bytes) as u64
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
    pub(crate) async fn added(
        &mut self,
        spec: &PartitionSpec,
        files: Vec<DataFile>,
    ) -> Result<ManifestFile> {
        let mut writer = self.writer(spec)?;
        for file in files {
            // No sequence number: readers inherit the one of the snapshot.
            writer.add_file(file, -1)?;
        }
        self.end(writer).await
    }

    /// A manifest in which `deleted` are marked so by this snapshot and `kept` live on. `None` if
    /// there is nothing to say.
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
            entry.sequence_number().ok_or_else(|| {
                Error::corrupt(entry.file_path(), "its manifest entry has no sequence number")
            })
        };
        for entry in deleted {
            writer.add_delete_file(
                entry.data_file().clone(),
                sequence(entry)?,
                entry.file_sequence_number,
            )?;
        }
        for entry in kept {
            let added_by = entry.snapshot_id().unwrap_or(self.snapshot_id);
            writer.add_existing_file(
                entry.data_file().clone(),
                added_by,
                sequence(entry)?,
                entry.file_sequence_number,
            )?;
        }
        self.end(writer).await.map(Some)
    }

    fn writer(&mut self, spec: &PartitionSpec) -> Result<ManifestWriter> {
        let path = format!("{}/{}-m{}.avro", self.folder, self.commit, self.written.len());
        let output = self.objects.drafts().new_output(path)?;
        Ok(ManifestWriterBuilder::new(
            output,
            Some(self.snapshot_id),
            self.schema.clone(),
            spec.clone(),
        )
        .build_v2_data())
    }

    async fn end(&mut self, writer: ManifestWriter) -> Result<ManifestFile> {
        let mut manifest = writer.write_manifest_file().await?;
        manifest.manifest_path = self.objects.write_draft(&manifest.manifest_path).await?;
        self.written.push(manifest.manifest_path.clone());
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::spec::{
        DataContentType, DataFileBuilder, DataFileFormat, NestedField, PrimitiveType, Schema,
        Struct, Type,
    };

    #[tokio::test]
    async fn the_cache_takes_no_more_bytes_than_it_may() {
        const BOUND_BYTES: u64 = 1 << 20;
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path().to_owned());
        let field = |id| {
            std::sync::Arc::new(NestedField::required(
                id,
                format!("c{id}"),
                Type::Primitive(PrimitiveType::String),
            ))
        };
        let schema: SchemaRef =
            Arc::new(Schema::builder().with_fields((1..=50).map(field)).build().unwrap());
        let mut place = ManifestPlace {
            objects: &objects,
            folder: folder.path().to_str().unwrap().to_owned(),
            commit: uuid::Uuid::nil(),
            snapshot_id: 1,
            schema,
            written: Vec::new(),
        };
        let cache = ManifestCache::bounded(BOUND_BYTES);
        let text =
            || (1..=50).map(|id| (id, Datum::string("a bound as wide as they are allowed to be")));
        let mut all = 0;
        for number in 0..40 {
            let files = (0..20).map(|file| {
                let mut data = DataFileBuilder::default();
                data.content(DataContentType::Data)
                    .file_path(format!("{number}-{file}"))
                    .file_format(DataFileFormat::Parquet);
                data.partition(Struct::empty())
                    .partition_spec_id(0)
                    .record_count(1)
                    .file_size_in_bytes(1);
                data.lower_bounds(text().collect()).upper_bounds(text().collect()).build().unwrap()
            });
            let written =
                place.added(&PartitionSpec::unpartition_spec(), files.collect()).await.unwrap();
            let (_, manifest) = cache.load(&objects, vec![written]).await.unwrap().remove(0);
            all += held_bytes(&manifest);
            assert!(
                cache.kept.weight() <= BOUND_BYTES,
                "{} bytes after {number} manifests",
                cache.kept.weight()
            );
        }
        assert!(all > 4 * BOUND_BYTES, "all together are {all} bytes, the test needs more");
        assert!(
            cache.kept.weight() > BOUND_BYTES / 2,
            "and it is made use of: {}",
            cache.kept.weight()
        );
    }

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
