//! Which files can hold rows of interest, by partition values and column bounds.

use iceberg::spec::{
    DataFile, Datum, FieldSummary, ManifestFile, PartitionSpec, PrimitiveLiteral, PrimitiveType,
    Schema, Transform,
};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a column compares with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// Whether a value within [lower, upper] can compare so with `value`.
    fn possible(self, lower: Option<&Datum>, upper: Option<&Datum>, value: &Datum) -> bool {
        let low = lower.and_then(|l| l.partial_cmp(value));
        let high = upper.and_then(|u| u.partial_cmp(value));
        match self {
            Self::Less => low.is_none_or(Ordering::is_lt),
            Self::LessOrEqual => low.is_none_or(Ordering::is_le),
            Self::Equal => low.is_none_or(Ordering::is_le) && high.is_none_or(Ordering::is_ge),
            Self::GreaterOrEqual => high.is_none_or(Ordering::is_ge),
            Self::Greater => high.is_none_or(Ordering::is_gt),
        }
    }

    /// The same of values that were rounded down.
    fn rounded(self) -> Self {
        match self {
            Self::Less => Self::LessOrEqual,
            Self::Greater => Self::GreaterOrEqual,
            other => other,
        }
    }
}

/// A condition that every row of interest meets.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// The column compares so with one of the values; the values are of the column's type.
    AnyOf { field_id: i32, comparison: Comparison, values: Vec<Datum> },
    /// The column is an instant of one of these UTC days.
    OnDays { field_id: i32, days: Arc<BTreeSet<i32>> },
    /// The column has a value.
    IsSet { field_id: i32 },
    /// No row matches: the value compared with does not have the column's type.
    Never,
}

impl Condition {
    /// Whether a file can hold a row that meets it.
    pub(crate) fn may_hold(&self, file: &DataFile, spec: &PartitionSpec, schema: &Schema) -> bool {
        let (field_id, comparison, values) = match self {
            Self::Never => return false,
            Self::IsSet { field_id } => return !all_null(file, *field_id),
            Self::OnDays { field_id, days } => return may_be_on(days, file, *field_id, spec),
            Self::AnyOf { field_id, comparison, values } => (*field_id, *comparison, values),
        };
        if all_null(file, field_id) {
            return false;
        }
        // Bounds of an older type (a widened column) do not compare, and then nothing is pruned.
        let (lower, upper) =
            (file.lower_bounds().get(&field_id), file.upper_bounds().get(&field_id));
        if !values.iter().any(|v| comparison.possible(lower, upper, v)) {
            return false;
        }
        let partition = spec
            .fields()
            .iter()
            .zip(file.partition().iter())
            .find(|(f, _)| f.source_id == field_id);
        let Some((field, Some(literal))) = partition else { return true };
        let Some(ty) = schema.field_by_id(field_id).and_then(|f| f.field_type.as_primitive_type())
        else {
            return true;
        };
        let Some(literal) = literal.as_primitive_literal() else { return true };
        let Some(actual) = partition_datum(&literal, field.transform, ty) else { return true };
        values.iter().any(|v| {
            matches_partition(comparison, field.transform, (Some(&actual), Some(&actual)), v)
        })
    }

    /// Whether a manifest can list such a file.
    pub(crate) fn may_list(
        &self,
        manifest: &ManifestFile,
        spec: &PartitionSpec,
        schema: &Schema,
    ) -> bool {
        let (field_id, comparison, values) = match self {
            Self::Never => return false,
            Self::IsSet { .. } => return true,
            Self::OnDays { field_id, days } => {
                return may_list_days(days, manifest, *field_id, spec);
            }
            Self::AnyOf { field_id, comparison, values } => (*field_id, *comparison, values),
        };
        let Some(summaries) = &manifest.partitions else { return true };
        let found = spec.fields().iter().zip(summaries).find(|(f, _)| f.source_id == field_id);
        let Some((field, summary)) = found else { return true };
        let Some(ty) = schema.field_by_id(field_id).and_then(|f| f.field_type.as_primitive_type())
        else {
            return true;
        };
        let Some((lower, upper)) = summary_bounds(summary, field.transform, ty) else {
            return true;
        };
        values.iter().any(|v| {
            matches_partition(comparison, field.transform, (Some(&lower), Some(&upper)), v)
        })
    }
}

/// Whether a file can hold an instant of one of the days.
fn may_be_on(days: &BTreeSet<i32>, file: &DataFile, field_id: i32, spec: &PartitionSpec) -> bool {
    let partition =
        spec.fields().iter().zip(file.partition().iter()).find(|(f, _)| f.source_id == field_id);
    if let Some((field, Some(literal))) = partition
        && let (Transform::Day, Some(PrimitiveLiteral::Int(day))) =
            (field.transform, literal.as_primitive_literal())
    {
        return days.contains(&day);
    }
    let bound =
        |bounds: &std::collections::HashMap<i32, Datum>| bounds.get(&field_id).and_then(day_number);
    let (first, last) = (
        bound(file.lower_bounds()).unwrap_or(i32::MIN),
        bound(file.upper_bounds()).unwrap_or(i32::MAX),
    );
    first > last || days.range(first..=last).next().is_some()
}

/// Whether a manifest can list such a file.
fn may_list_days(
    days: &BTreeSet<i32>,
    manifest: &ManifestFile,
    field_id: i32,
    spec: &PartitionSpec,
) -> bool {
    let Some(summaries) = &manifest.partitions else { return true };
    let found = spec
        .fields()
        .iter()
        .zip(summaries)
        .find(|(f, _)| f.source_id == field_id && f.transform == Transform::Day);
    let Some((lower, upper)) = found
        .and_then(|(_, summary)| summary_bounds(summary, Transform::Day, &PrimitiveType::Date))
    else {
        return true;
    };
    match (lower.literal(), upper.literal()) {
        (PrimitiveLiteral::Int(first), PrimitiveLiteral::Int(last)) if first <= last => {
            days.range(first..=last).next().is_some()
        }
        _ => true,
    }
}

fn all_null(file: &DataFile, field_id: i32) -> bool {
    // A column that the file lacks has no counts at all while others have: it was added later.
    let nulls = file.null_value_counts().get(&field_id);
    match file.value_counts().get(&field_id) {
        Some(values) => nulls == Some(values),
        None => false,
    }
}

fn matches_partition(
    comparison: Comparison,
    transform: Transform,
    (lower, upper): (Option<&Datum>, Option<&Datum>),
    value: &Datum,
) -> bool {
    match transform {
        Transform::Identity => comparison.possible(lower, upper, value),
        Transform::Day => match day(value) {
            Some(day) => comparison.rounded().possible(lower, upper, &day),
            None => true,
        },
        _ => true,
    }
}

fn day(value: &Datum) -> Option<Datum> {
    day_number(value).map(Datum::date)
}

fn day_number(value: &Datum) -> Option<i32> {
    match (value.data_type(), value.literal()) {
        (PrimitiveType::Timestamptz, PrimitiveLiteral::Long(micros)) => {
            i32::try_from(micros.div_euclid(86_400_000_000)).ok()
        }
        _ => None,
    }
}

fn partition_datum(
    literal: &PrimitiveLiteral,
    transform: Transform,
    ty: &PrimitiveType,
) -> Option<Datum> {
    match (transform, ty, literal) {
        (Transform::Day, _, PrimitiveLiteral::Int(days)) => Some(Datum::date(*days)),
        (Transform::Identity, PrimitiveType::Timestamptz, PrimitiveLiteral::Long(v)) => {
            Some(Datum::timestamptz_micros(*v))
        }
        (Transform::Identity, PrimitiveType::Long, PrimitiveLiteral::Long(v)) => {
            Some(Datum::long(*v))
        }
        (Transform::Identity, PrimitiveType::Date, PrimitiveLiteral::Int(v)) => {
            Some(Datum::date(*v))
        }
        (Transform::Identity, PrimitiveType::String, PrimitiveLiteral::String(v)) => {
            Some(Datum::string(v))
        }
        _ => None,
    }
}

fn summary_bounds(
    summary: &FieldSummary,
    transform: Transform,
    ty: &PrimitiveType,
) -> Option<(Datum, Datum)> {
    let ty = match transform {
        Transform::Day => PrimitiveType::Date,
        Transform::Identity => ty.clone(),
        _ => return None,
    };
    let lower = Datum::try_from_bytes(summary.lower_bound.as_ref()?, ty.clone()).ok()?;
    let upper = Datum::try_from_bytes(summary.upper_bound.as_ref()?, ty).ok()?;
    Some((lower, upper))
}
