//! Which files a scan reads, and how they are spread over its partitions.

use crate::manifest::refuse_deletes;
use crate::objects::Objects;
use crate::pin::Pin;
use crate::prune::Condition;
use crate::read::{BatchStream, Piece, Target, stream};
use crate::table::Table;
use crate::{Error, Result, manifest};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use iceberg::spec::{DataFile, NestedFieldRef, SnapshotRef};
use std::sync::Arc;

/// Files above this size are cut at row groups, so that one file keeps all cores busy.
const CUT_BYTES: u64 = 16 << 20;
/// What opening a file costs, in bytes of reading.
const OPEN_COST_BYTES: u64 = 32 << 10;

/// A planned scan.
pub struct Scan {
    objects: Objects,
    schema: SchemaRef,
    targets: Arc<Vec<Target>>,
    partitions: Vec<Vec<Piece>>,
    rows: u64,
    files: usize,
    whole: bool,
    /// The files stay while the scan or one of its streams is there.
    pin: Option<Arc<Pin>>,
}

impl Piece {
    fn cost(&self) -> u64 {
        OPEN_COST_BYTES + (self.range.end - self.range.start)
    }
}

impl Scan {
    /// The schema of the batches: the columns asked for, in the order asked for.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many data files are read.
    pub fn files(&self) -> usize {
        self.files
    }

    /// How many rows the files hold.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether no file was left out.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// How many partitions there are: as many as asked for, or fewer for few files; at least one.
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// One stream a partition. Decoding runs where the stream is polled: give each its own task.
    ///
    /// A stream's error is [`Error::Corrupt`], naming the object.
    pub fn partitions(self) -> Vec<BatchStream> {
        (0..self.partitions.len()).map(|i| self.stream(i)).collect()
    }

    pub(crate) fn stream(&self, partition: usize) -> BatchStream {
        let pieces = self.partitions.get(partition).cloned().unwrap_or_default();
        let pin = self.pin.clone();
        let batches =
            stream(self.objects.clone(), self.schema.clone(), self.targets.clone(), pieces);
        let hold = move |_: &Result<RecordBatch>| {
            let _ = &pin;
        };
        batches.inspect(hold).boxed()
    }

    /// The same plan, over the snapshot that the pin keeps.
    pub(crate) fn held(self, pin: Option<Arc<Pin>>) -> Self {
        Self { pin: pin.or(self.pin), ..self }
    }

    /// A scan of these files of the table.
    pub(crate) fn of_files(
        table: &Table,
        columns: &[String],
        files: &[DataFile],
        partitions: usize,
        whole: bool,
    ) -> Result<Self> {
        let mut targets = Vec::with_capacity(columns.len());
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            let field = table.arrow_schema().field_with_name(&self::field(table, column)?.name)?;
            targets.push(Target {
                field_id: self::field(table, column)?.id,
                data_type: field.data_type().clone(),
            });
            // A column that is required now may have been added to older files; Iceberg forbids it,
            // and readers need not trust that.
            fields.push(field.clone());
        }
        let lake = table.warehouse();
        let pieces = files.iter().flat_map(|f| cut(f, partitions)).collect();
        Ok(Self {
            objects: lake.objects.clone(),
            schema: Arc::new(ArrowSchema::new(fields)),
            targets: Arc::new(targets),
            partitions: spread(pieces, partitions),
            rows: files.iter().map(DataFile::record_count).sum(),
            files: files.len(),
            whole,
            pin: table
                .metadata()
                .current_snapshot()
                .map(|snapshot| lake.pins.pin(table.location(), snapshot)),
        })
    }
}

/// The column, by its name as written.
pub(crate) fn field<'a>(table: &'a Table, column: &str) -> Result<&'a NestedFieldRef> {
    let known = table.metadata().current_schema();
    known.field_id_by_name(column).and_then(|id| known.as_struct().field_by_id(id)).ok_or_else(
        || {
            let names: Vec<&str> =
                known.as_struct().fields().iter().map(|f| f.name.as_str()).collect();
            Error::Invalid(format!(
                "table {} has no column {column}: it has {}",
                table.name(),
                names.join(", ")
            ))
        },
    )
}

/// Files to be read, held.
pub(crate) struct Planned {
    pub(crate) files: Vec<DataFile>,
    /// No file was left out.
    whole: bool,
    pub(crate) pin: Option<Arc<Pin>>,
}

impl Planned {
    pub(crate) fn scan(self, table: &Table, columns: &[String], partitions: usize) -> Result<Scan> {
        Ok(Scan::of_files(table, columns, &self.files, partitions, self.whole)?.held(self.pin))
    }
}

pub(crate) async fn plan(
    table: &Table,
    conditions: &[Condition],
    snapshot_id: Option<i64>,
) -> Result<Planned> {
    let metadata = table.metadata();
    let snapshot = match snapshot_id {
        None => metadata.current_snapshot(),
        Some(id) => {
            let missing = || {
                Error::NotFound(format!(
                    "table {} has no snapshot {id}: it may have expired",
                    table.name()
                ))
            };
            Some(metadata.snapshot_by_id(id).ok_or_else(missing)?)
        }
    };
    let Some(snapshot) = snapshot else {
        return Ok(Planned { files: Vec::new(), whole: true, pin: None });
    };
    // Before the first of its files is read.
    let pin = table.warehouse().pins.pin(table.location(), snapshot);
    let LiveFiles { files, whole } = live_files(table, conditions, snapshot).await?;
    Ok(Planned { files, whole, pin: Some(pin) })
}

/// The files of a snapshot that may hold rows of interest.
struct LiveFiles {
    files: Vec<DataFile>,
    /// They are all files of the snapshot.
    whole: bool,
}

/// Finds them by the bounds that the manifests note.
async fn live_files(
    table: &Table,
    conditions: &[Condition],
    snapshot: &SnapshotRef,
) -> Result<LiveFiles> {
    let metadata = table.metadata();
    let lake = table.warehouse();
    let schema = metadata.current_schema();
    let mut manifests =
        lake.manifests.list(&lake.objects, snapshot, metadata.format_version()).await?;
    refuse_deletes(table.name(), &manifests)?;
    manifests.retain(manifest::lives);
    let listed = manifests.len();
    let unpartitioned = iceberg::spec::PartitionSpec::unpartition_spec();
    let spec_of =
        |id: i32| metadata.partition_spec_by_id(id).map_or(&unpartitioned, |s| s.as_ref());
    manifests
        .retain(|m| conditions.iter().all(|c| c.may_list(m, spec_of(m.partition_spec_id), schema)));
    let mut whole = manifests.len() == listed;
    let mut files = Vec::new();
    for (file, manifest) in lake.manifests.load(&lake.objects, manifests).await? {
        let spec = spec_of(file.partition_spec_id);
        for entry in manifest.entries().iter().filter(|e| e.is_alive()) {
            if conditions.iter().all(|c| c.may_hold(entry.data_file(), spec, schema)) {
                files.push(entry.data_file().clone());
            } else {
                whole = false;
            }
        }
    }
    Ok(LiveFiles { files, whole })
}

fn cut(file: &DataFile, partitions: usize) -> Vec<Piece> {
    let size = file.file_size_in_bytes();
    let parts = if partitions > 1 && size > CUT_BYTES {
        size.div_ceil(CUT_BYTES).min(partitions as u64)
    } else {
        1
    };
    let path: Arc<str> = file.file_path().into();
    let bound = |i: u64| size * i / parts;
    let piece =
        |i: u64| Piece { path: path.clone(), file_bytes: size, range: bound(i)..bound(i + 1) };
    (0..parts).map(piece).collect()
}

/// Largest first, each to the partition with the least so far; within a partition in the table's
/// order.
fn spread(pieces: Vec<Piece>, partitions: usize) -> Vec<Vec<Piece>> {
    let count = partitions.min(pieces.len()).max(1);
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(pieces[i].cost()));
    let mut loads = vec![0u64; count];
    let mut homes = vec![0usize; pieces.len()];
    for i in order {
        let home = (0..count).min_by_key(|&p| loads[p]).unwrap_or(0);
        loads[home] += pieces[i].cost();
        homes[i] = home;
    }
    let mut spread = vec![Vec::new(); count];
    for (piece, home) in pieces.into_iter().zip(homes) {
        spread[home].push(piece);
    }
    spread
}
