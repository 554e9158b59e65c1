use crate::layout::Partition;
use crate::pin::Pin;
use crate::warehouse::Warehouse;
use crate::{Error, Result, manifest, schema};
use arrow::datatypes::SchemaRef;
use iceberg::spec::{Literal, PrimitiveLiteral, SnapshotRef, TableMetadata, Transform};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use taghouse_model::{AppId, TimestampMs, Value};

/// One table as it was when the handle was taken: scans of one handle agree with one another. Cheap
/// to clone.
#[derive(Clone)]
pub struct Table {
    state: Arc<State>,
}

struct State {
    warehouse: Arc<Warehouse>,
    app: AppId,
    name: String,
    metadata_location: String,
    metadata: TableMetadata,
    arrow: SchemaRef,
    file_arrow: SchemaRef,
    /// The current snapshot's files stay while a handle is there.
    _pin: Option<Arc<Pin>>,
}

/// One snapshot of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The id, as other calls take it.
    pub id: i64,
    /// When it was committed.
    pub at_ms: TimestampMs,
    /// `append`, `overwrite`, `delete` or `replace`.
    pub operation: String,
    /// The summary's properties.
    pub summary: HashMap<String, String>,
}

impl Table {
    pub(crate) fn new(
        warehouse: Arc<Warehouse>,
        app: &AppId,
        name: &str,
        metadata_location: String,
        metadata: TableMetadata,
    ) -> Result<Self> {
        let file_arrow = schema::file_schema(metadata.current_schema())?;
        let arrow = schema::arrow_schema(&file_arrow);
        let pin = metadata
            .current_snapshot()
            .map(|snapshot| warehouse.pins.pin(metadata.location(), snapshot));
        let state = State {
            warehouse,
            app: app.clone(),
            name: name.to_owned(),
            metadata_location,
            metadata,
            arrow,
            file_arrow,
            _pin: pin,
        };
        Ok(Self { state: Arc::new(state) })
    }

    /// The app it belongs to.
    pub fn app(&self) -> &AppId {
        &self.state.app
    }

    /// Its name in the app.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Its folder: an absolute path. Readers such as chdb's `icebergLocal` take this.
    pub fn location(&self) -> &str {
        self.state.metadata.location()
    }

    /// Its metadata file: an absolute path. Readers such as DuckDB's `iceberg_scan` take this.
    pub fn metadata_location(&self) -> &str {
        &self.state.metadata_location
    }

    /// The columns as batches of scans and writers have them: `Time` is Timestamp(µs, "+00:00"),
    /// `Decimal` Decimal128(38, scale), `Set` a list of Utf8, `Date` Date32, the rest plain.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.state.arrow
    }

    pub(crate) fn file_schema(&self) -> &SchemaRef {
        &self.state.file_arrow
    }

    pub(crate) fn metadata(&self) -> &TableMetadata {
        &self.state.metadata
    }

    pub(crate) fn warehouse(&self) -> &Arc<Warehouse> {
        &self.state.warehouse
    }

    /// The id of the current snapshot; `None` while the table is empty.
    pub fn snapshot_id(&self) -> Option<i64> {
        self.state.metadata.current_snapshot_id()
    }

    /// The snapshots that have not expired, oldest first.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let mut all: Vec<&SnapshotRef> = self.state.metadata.snapshots().collect();
        all.sort_by_key(|s| s.sequence_number());
        all.into_iter()
            .map(|s| SnapshotInfo {
                id: s.snapshot_id(),
                at_ms: s.timestamp_ms(),
                operation: s.summary().operation.as_str().to_owned(),
                summary: s.summary().additional_properties.clone(),
            })
            .collect()
    }

    /// How many rows the current snapshot holds.
    pub fn rows(&self) -> u64 {
        let total = self
            .state
            .metadata
            .current_snapshot()
            .and_then(|s| s.summary().additional_properties.get("total-records").cloned());
        total.and_then(|t| t.parse().ok()).unwrap_or(0)
    }

    /// The values that an identity-partitioned table is cut by, in order, and how many rows each
    /// has: the as-of times of a tag's table.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the table is cut otherwise.
    pub async fn partition_values(&self) -> Result<Vec<(Value, u64)>> {
        let Partition::Identity(column) = self.partition() else {
            return Err(Error::Invalid(format!(
                "table {} is not cut by the values of a column",
                self.name()
            )));
        };
        let Some(snapshot) = self.state.metadata.current_snapshot() else { return Ok(Vec::new()) };
        let lake = &self.state.warehouse;
        let mut listed = lake
            .manifests
            .list(&lake.objects, snapshot, self.state.metadata.format_version())
            .await?;
        manifest::refuse_deletes(self.name(), &listed)?;
        listed.retain(manifest::lives);
        let is_time = self.arrow_schema().field_with_name(&column)?.data_type().is_temporal();
        let mut rows: BTreeMap<Value, u64> = BTreeMap::new();
        for (_, manifest) in lake.manifests.load(&lake.objects, listed).await? {
            for entry in manifest.entries().iter().filter(|e| e.is_alive()) {
                if let Some(value) = entry
                    .data_file()
                    .partition()
                    .iter()
                    .next()
                    .flatten()
                    .and_then(|l| value(l, is_time))
                {
                    *rows.entry(value).or_default() += entry.record_count();
                }
            }
        }
        Ok(rows.into_iter().collect())
    }

    /// How the table's files are cut. A cut that we never make (another engine's) counts as none.
    pub(crate) fn partition(&self) -> Partition {
        let [field] = self.state.metadata.default_partition_spec().fields() else {
            return Partition::None;
        };
        let Some(column) = self.state.metadata.current_schema().field_by_id(field.source_id) else {
            return Partition::None;
        };
        match field.transform {
            Transform::Day => Partition::Day(column.name.clone()),
            Transform::Identity => Partition::Identity(column.name.clone()),
            _ => Partition::None,
        }
    }

    pub(crate) fn check_partition(&self, wanted: &Partition) -> Result<()> {
        let actual = self.partition();
        if &actual == wanted {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "table {} is cut by {actual:?}, not by {wanted:?}: give the new one another name",
            self.name()
        )))
    }
}

fn value(literal: &Literal, is_time: bool) -> Option<Value> {
    match literal {
        Literal::Primitive(PrimitiveLiteral::Long(v)) if is_time => {
            Some(Value::Time(v.div_euclid(1000)))
        }
        Literal::Primitive(PrimitiveLiteral::Long(v)) => Some(Value::Int(*v)),
        Literal::Primitive(PrimitiveLiteral::Int(v)) => Some(Value::Date(*v)),
        Literal::Primitive(PrimitiveLiteral::String(v)) => Some(Value::text(v)),
        _ => None,
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({}.{} at {})", self.app(), self.name(), self.metadata_location())
    }
}
