use crate::datum::datum;
use crate::layout::Partition;
use crate::plan::{self, Planned, Scan};
use crate::prune::{Comparison, Condition};
use crate::table::Table;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{TimestampMs, Value};

/// A scan that is being described. Conditions only prune: files without any row that meets them are
/// not read, and the rows of the files that are read come all; filtering rows exactly is the
/// caller's. (Conditions on the column by whose values a table is cut are exact.)
#[derive(Clone)]
pub struct ScanBuilder {
    table: Table,
    columns: Vec<String>,
    conditions: Vec<(String, Want)>,
    snapshot_id: Option<i64>,
}

#[derive(Clone)]
enum Want {
    AnyOf(Comparison, Vec<Value>),
    IsSet,
    OnDays(Arc<BTreeSet<i32>>),
}

impl Table {
    /// Reads `columns` (in this order; none: only the number of rows).
    pub fn scan(&self, columns: &[&str]) -> ScanBuilder {
        ScanBuilder::new(self.clone(), columns.iter().map(|c| (*c).to_owned()).collect())
    }
}

impl ScanBuilder {
    fn new(table: Table, columns: Vec<String>) -> Self {
        Self { table, columns, conditions: Vec::new(), snapshot_id: None }
    }

    /// Of interest are rows with time < `instant`. The time is the day partition's column, else the
    /// column `time`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the table has no such column.
    pub fn before(self, instant: TimestampMs) -> Result<Self> {
        self.timed(Comparison::Less, instant)
    }

    /// Of interest are rows with time ≥ `instant`.
    ///
    /// # Errors
    /// As [`ScanBuilder::before`].
    pub fn after(self, instant: TimestampMs) -> Result<Self> {
        self.timed(Comparison::GreaterOrEqual, instant)
    }

    /// Of interest are rows whose time is on one of these UTC days (since 1970).
    ///
    /// # Errors
    /// As [`ScanBuilder::before`].
    pub fn on_days(self, days: BTreeSet<i32>) -> Result<Self> {
        let column = self.time_column();
        self.want(&column, Want::OnDays(Arc::new(days)))
    }

    fn timed(self, comparison: Comparison, instant: TimestampMs) -> Result<Self> {
        let column = self.time_column();
        self.compare(&column, comparison, Value::Time(instant))
    }

    fn time_column(&self) -> String {
        match self.table.partition() {
            Partition::Day(column) => column,
            _ => "time".to_owned(),
        }
    }

    /// Of interest are rows whose column compares so with the value.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the table has no such column.
    pub fn compare(self, column: &str, comparison: Comparison, value: Value) -> Result<Self> {
        self.want(column, Want::AnyOf(comparison, vec![value]))
    }

    /// Of interest are rows whose column has one of the values.
    ///
    /// # Errors
    /// As [`ScanBuilder::compare`].
    pub fn any_of(self, column: &str, values: Vec<Value>) -> Result<Self> {
        self.want(column, Want::AnyOf(Comparison::Equal, values))
    }

    /// Of interest are rows in which the column has a value.
    ///
    /// # Errors
    /// As [`ScanBuilder::compare`].
    pub fn is_set(self, column: &str) -> Result<Self> {
        self.want(column, Want::IsSet)
    }

    /// The rows of one partition of an identity-partitioned table, exactly: a tag's table as of one
    /// time.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the table is cut otherwise.
    pub fn partition(self, value: &Value) -> Result<Self> {
        match self.table.partition() {
            Partition::Identity(column) => self.compare(&column, Comparison::Equal, value.clone()),
            _ => Err(Error::Invalid(format!(
                "table {} is not cut by the values of a column",
                self.table.name()
            ))),
        }
    }

    fn want(mut self, column: &str, want: Want) -> Result<Self> {
        plan::field(&self.table, column)?;
        self.conditions.push((column.to_owned(), want));
        Ok(self)
    }

    /// Reads the table as of an older snapshot.
    pub fn at_snapshot(mut self, id: i64) -> Self {
        self.snapshot_id = Some(id);
        self
    }

    /// Plans the scan in at most `partitions` parts of about equal bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown column, [`Error::NotFound`] for an unknown snapshot,
    /// [`Error::Corrupt`] if a manifest cannot be read.
    pub async fn plan(self, partitions: usize) -> Result<Scan> {
        self.files().await?.scan(&self.table, &self.columns, partitions.max(1))
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The files that may hold rows of interest.
    pub(crate) async fn files(&self) -> Result<Planned> {
        let mut conditions = Vec::with_capacity(self.conditions.len());
        for (column, want) in &self.conditions {
            let field = plan::field(&self.table, column)?;
            conditions.push(match want {
                Want::IsSet => Condition::IsSet { field_id: field.id },
                Want::OnDays(days) => Condition::OnDays { field_id: field.id, days: days.clone() },
                Want::AnyOf(comparison, values) => {
                    let datums: Vec<_> =
                        values.iter().filter_map(|v| datum(v, &field.field_type)).collect();
                    match (datums.is_empty(), comparison) {
                        (false, _) => Condition::AnyOf {
                            field_id: field.id,
                            comparison: *comparison,
                            values: datums,
                        },
                        (true, Comparison::Equal) => Condition::Never,
                        // A value between two of the column's (2.5 of a whole number): nothing is
                        // pruned.
                        (true, _) => continue,
                    }
                }
            });
        }
        plan::plan(&self.table, &conditions, self.snapshot_id).await
    }
}
