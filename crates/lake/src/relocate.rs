//! A warehouse that stands at another place than its tables name: Iceberg's metadata names files by
//! absolute paths.
//!
//! 1. Manifests, manifest lists and metadata files of all snapshots are written again, with paths
//!    of the present place. Data files stay.
//! 2. One commit of the catalog moves the pointers of all tables of an app.
//!
//! After a crash in between the same call begins again; what the first one wrote is left to the
//! sweep. The cost is that of the metadata: some files of kilobytes for each table, each of them
//! synced.

use crate::lake::Lake;
use crate::objects::aside;
use crate::warehouse::Warehouse;
use crate::{Error, Result, metadata};
use iceberg::spec::{
    DataFile, DataFileBuilder, FormatVersion, Manifest, ManifestContentType, ManifestFile,
    ManifestList, ManifestListWriter, ManifestStatus, ManifestWriterBuilder, SnapshotRef,
    TableMetadata,
};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use taghouse_catalog::Change;
use taghouse_model::AppId;

/// Properties that name folders.
const FOLDERS: [&str; 2] = ["write.data.path", "write.metadata.path"];

impl Lake {
    /// Makes the tables of an app, whose warehouse was at `former` when they were written, name
    /// this one. Gives how many tables were changed. Nobody may write to the tables meanwhile.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names a metadata file that cannot be read, [`Error::Invalid`] a table
    /// with delete files of another engine, in which paths stand too. No table is changed then.
    pub async fn relocate(&self, app: &AppId, former: &Path) -> Result<usize> {
        let lake = self.warehouse().clone();
        let former = former
            .to_str()
            .ok_or_else(|| Error::Invalid(format!("{} is not UTF-8", former.display())))?;
        let (app, former) = (app.clone(), former.trim_end_matches('/').to_owned());
        aside(async move {
            let mut changes = Vec::new();
            let mut relocation = Relocation { lake: &lake, former, written: Vec::new() };
            for table in lake.catalog.tables(&app).await? {
                changes.extend(relocation.table(&app, &table).await?);
            }
            if changes.is_empty() {
                return Ok(0);
            }

            lake.objects.settle(relocation.written.iter().map(String::as_str))?;
            let tables = changes.len();
            lake.catalog.commit(changes).await?;
            Ok(tables)
        })
        .await
    }
}

struct Relocation<'a> {
    lake: &'a Arc<Warehouse>,
    /// The warehouse as the metadata names it, without a slash at the end.
    former: String,
    written: Vec<String>,
}

impl Relocation<'_> {
    /// The path as it is now. What lay outside the warehouse stays as it is.
    fn now(&self, path: &str) -> String {
        let plain = path.strip_prefix("file://").unwrap_or(path);
        match plain.strip_prefix(&self.former) {
            Some(rest) if rest.starts_with('/') => format!("{}{rest}", self.lake.root),
            _ => path.to_owned(),
        }
    }

    fn change(&self, path: &mut Json) {
        if let Some(now) = path.as_str().map(|path| self.now(path)) {
            *path = now.into();
        }
    }

    /// Moves a table's pointer; `None` where it is at its place.
    async fn table(&mut self, app: &AppId, table: &str) -> Result<Option<Change>> {
        let Some(location) = self.lake.catalog.table_location(app, table).await? else {
            return Ok(None);
        };
        let here = self.now(&location);
        if here == location {
            return Ok(None);
        }
        let former = metadata::read(&self.lake.objects, &here).await?;
        let next = self.metadata(table, &former).await?;
        let next = metadata::write(&self.lake.objects, &next, Some(&here)).await?;
        self.written.push(next.clone());
        Ok(Some(Change::SwapTable {
            app: app.clone(),
            table: table.to_owned(),
            expected: Some(location),
            location: next,
        }))
    }

    async fn metadata(&mut self, table: &str, former: &TableMetadata) -> Result<TableMetadata> {
        let unreadable =
            |e: serde_json::Error| Error::Internal(format!("metadata of {table}: {e}"));
        let mut json = serde_json::to_value(former).map_err(unreadable)?;
        json["location"] = self.now(former.location()).into();
        // Former metadata files name former places: there is no way back to them.
        json["metadata-log"] = Json::Array(Vec::new());
        for folder in FOLDERS {
            if let Some(property) = json.get_mut("properties").and_then(|all| all.get_mut(folder)) {
                self.change(property);
            }
        }
        for kind in ["statistics", "partition-statistics"] {
            for statistics in json.get_mut(kind).and_then(Json::as_array_mut).into_iter().flatten()
            {
                if let Some(path) = statistics.get_mut("statistics-path") {
                    self.change(path);
                }
            }
        }

        let mut lists = HashMap::new();
        let mut manifests = HashMap::new();
        let snapshots: Vec<SnapshotRef> = former.snapshots().cloned().collect();
        for snapshot in &snapshots {
            let list = self.list(table, former, snapshot, &mut manifests).await?;
            lists.insert(snapshot.snapshot_id(), list);
        }
        for snapshot in json.get_mut("snapshots").and_then(Json::as_array_mut).into_iter().flatten()
        {
            if let Some(list) = snapshot["snapshot-id"].as_i64().and_then(|id| lists.remove(&id)) {
                snapshot["manifest-list"] = list.into();
            }
        }
        serde_json::from_value(json).map_err(unreadable)
    }

    /// Writes a snapshot's list of manifests again, and those of them that no other snapshot had.
    /// Gives the list's path.
    async fn list(
        &mut self,
        table: &str,
        metadata: &TableMetadata,
        snapshot: &SnapshotRef,
        known: &mut HashMap<String, ManifestFile>,
    ) -> Result<String> {
        let objects = &self.lake.objects;
        let path = self.now(snapshot.manifest_list());
        let bytes = objects.read(&path).await?;
        let list = ManifestList::parse_with_version(&bytes, metadata.format_version())
            .map_err(|e| Error::corrupt(&path, e.message()))?;

        let mut manifests = Vec::new();
        let files: Vec<ManifestFile> = list.consume_entries().into_iter().collect();
        for file in files {
            if let Some(manifest) = known.get(&file.manifest_path) {
                manifests.push(manifest.clone());
                continue;
            }
            let manifest = self.manifest(table, metadata, &file).await?;
            known.insert(file.manifest_path, manifest.clone());
            manifests.push(manifest);
        }

        let draft = format!(
            "{}/metadata/snap-{}-1-{}.avro",
            self.now(metadata.location()),
            snapshot.snapshot_id(),
            uuid::Uuid::new_v4()
        );
        let writer = objects.drafts().new_output(&draft)?.writer().await?;
        let (id, parent) = (snapshot.snapshot_id(), snapshot.parent_snapshot_id());
        let mut writer = ManifestListWriter::v2(writer, id, parent, snapshot.sequence_number());
        writer.add_manifests(manifests.into_iter())?;
        writer.close().await?;
        let written = objects.write_draft(&draft).await?;
        self.written.push(written.clone());
        Ok(written)
    }

    /// Writes a manifest again; gives its entry for the lists.
    async fn manifest(
        &mut self,
        table: &str,
        metadata: &TableMetadata,
        file: &ManifestFile,
    ) -> Result<ManifestFile> {
        let path = self.now(&file.manifest_path);
        let bytes = self.lake.objects.read(&path).await?;
        let manifest =
            Manifest::parse_avro(&bytes).map_err(|e| Error::corrupt(&path, e.message()))?;
        if file.content == ManifestContentType::Deletes
            || metadata.format_version() != FormatVersion::V2
        {
            return Err(Error::Invalid(format!(
                "table {table} was written to by another engine, in a form whose files name each other: move the data folder back to where it \
                 was, rewrite the table's data files with that engine, then move it again"
            )));
        }

        let draft =
            format!("{}/metadata/{}-m0.avro", self.now(metadata.location()), uuid::Uuid::new_v4());
        let output = self.lake.objects.drafts().new_output(&draft)?;
        let (schema, spec) =
            (manifest.metadata().schema().clone(), manifest.metadata().partition_spec().clone());
        let mut writer =
            ManifestWriterBuilder::new(output, Some(file.added_snapshot_id), schema, spec)
                .build_v2_data();
        for entry in manifest.entries() {
            let data = self.data_file(entry.data_file(), file.partition_spec_id)?;
            let sequence = entry.sequence_number();
            match entry.status() {
                // Without a number of its own it has that of the manifest.
                ManifestStatus::Added => writer.add_file(data, sequence.unwrap_or(-1))?,
                ManifestStatus::Deleted => {
                    writer.add_delete_file(
                        data,
                        sequence.unwrap_or(file.sequence_number),
                        entry.file_sequence_number,
                    )?;
                }
                ManifestStatus::Existing => {
                    let added_by = entry.snapshot_id().unwrap_or(file.added_snapshot_id);
                    writer.add_existing_file(
                        data,
                        added_by,
                        sequence.unwrap_or(file.sequence_number),
                        entry.file_sequence_number,
                    )?;
                }
            }
        }
        let written = writer.write_manifest_file().await?;
        let manifest_path = self.lake.objects.write_draft(&draft).await?;
        self.written.push(manifest_path.clone());
        Ok(ManifestFile { manifest_path, manifest_length: written.manifest_length, ..file.clone() })
    }

    fn data_file(&self, file: &DataFile, partition_spec_id: i32) -> Result<DataFile> {
        let mut next = DataFileBuilder::default();
        next.content(file.content_type())
            .file_path(self.now(file.file_path()))
            .file_format(file.file_format())
            .partition(file.partition().clone())
            .partition_spec_id(partition_spec_id)
            .record_count(file.record_count())
            .file_size_in_bytes(file.file_size_in_bytes())
            .column_sizes(file.column_sizes().clone())
            .value_counts(file.value_counts().clone())
            .null_value_counts(file.null_value_counts().clone())
            .nan_value_counts(file.nan_value_counts().clone())
            .lower_bounds(file.lower_bounds().clone())
            .upper_bounds(file.upper_bounds().clone())
            .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
            .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
            .equality_ids(file.equality_ids())
            .first_row_id(file.first_row_id());
        if let Some(order) = file.sort_order_id() {
            next.sort_order_id(order);
        }
        next.build().map_err(|e| Error::Internal(format!("the entry of {}: {e}", file.file_path())))
    }
}
