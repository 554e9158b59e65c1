//! A column of a source: which one of the file it is, and how it is read.

use super::{NAMED_FORMATS, scale};
use crate::definitions::marks::labels;
use crate::definitions::strptime::{self, Reads};
use crate::raw::source::{RawColumn, RawColumnMapping, RawColumnType, RawUserId, RawUserIdType};
use crate::raw::tag::RawPrecision;
use crate::{ColumnMapping, RECORD_KEY, TimeFormat};
use taghouse_model::ValueType;

pub(super) fn user_id(raw: &RawUserId) -> ColumnMapping {
    let (column, value_type) = match raw {
        RawUserId::Column(column) => (column.as_str(), ValueType::Text),
        RawUserId::Key(_) => (RECORD_KEY, ValueType::Text),
        RawUserId::Mapping(mapping) => match mapping.ty {
            Some(RawUserIdType::Int) => (mapping.column.as_str(), ValueType::Int),
            Some(RawUserIdType::Text) | None => (mapping.column.as_str(), ValueType::Text),
        },
    };
    ColumnMapping { required: true, ..ColumnMapping::plain(column, value_type) }
}

pub(super) fn column_name(raw: &RawColumn) -> &str {
    match raw {
        RawColumn::Column(column) => column,
        RawColumn::Mapping(mapping) => &mapping.column,
    }
}

/// What is wrong with a column.
pub(super) struct KeyError {
    pub(super) key: &'static str,
    pub(super) problem: String,
}

impl KeyError {
    fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self { key, problem: problem.into() }
    }
}

/// The column that a definition describes.
pub(super) fn column(raw: &RawColumn) -> Result<ColumnMapping, KeyError> {
    let mapping = match raw {
        RawColumn::Column(column) => {
            return Ok(ColumnMapping::plain(column, ValueType::Text));
        }
        RawColumn::Mapping(mapping) => mapping,
    };
    let ty = mapping.ty.unwrap_or(RawColumnType::Text);
    let value_type = match ty {
        RawColumnType::Bool => ValueType::Bool,
        RawColumnType::Text => ValueType::Text,
        RawColumnType::Set => ValueType::Set,
        RawColumnType::Int => ValueType::Int,
        RawColumnType::Decimal => ValueType::Decimal {
            scale: scale(mapping.scale).map_err(|e| KeyError::new("scale", e))?,
        },
        RawColumnType::Date if mapping.precision == Some(RawPrecision::Millisecond) => {
            ValueType::Time
        }
        RawColumnType::Date => ValueType::Date,
    };
    refuse_foreign_keys(mapping, ty)?;
    Ok(ColumnMapping {
        column: mapping.column.clone(),
        value_type,
        format: mapping.format.clone(),
        required: mapping.required,
        round: mapping.round,
        separator: mapping.separator.clone(),
        labels: labels(&mapping.labels).map_err(|wrong| KeyError::new("labels", wrong.message))?,
    })
}

/// Refuses keys that are for columns of other types.
fn refuse_foreign_keys(mapping: &RawColumnMapping, ty: RawColumnType) -> Result<(), KeyError> {
    if mapping.scale.is_some() && ty != RawColumnType::Decimal {
        return Err(KeyError::new("scale", "`scale` is for `type: decimal` only"));
    }
    if mapping.precision.is_some() && ty != RawColumnType::Date {
        return Err(KeyError::new("precision", "`precision` is for `type: date` only"));
    }
    if mapping.round && ty != RawColumnType::Decimal {
        return Err(KeyError::new("round", "`round` is for `type: decimal` only"));
    }
    match mapping.separator.as_deref() {
        Some(_) if ty != RawColumnType::Set => {
            return Err(KeyError::new("separator", "`separator` is for `type: set` only"));
        }
        Some("") => {
            return Err(KeyError::new(
                "separator",
                "`separator` is empty: write what stands between the members",
            ));
        }
        _ => {}
    }
    match &mapping.format {
        Some(_) if ty != RawColumnType::Date => {
            Err(KeyError::new("format", "`format` is for `type: date` only"))
        }
        Some(pattern) => {
            let reads = if mapping.precision == Some(RawPrecision::Millisecond) {
                Reads::Instants
            } else {
                Reads::Days
            };
            match TimeFormat::of(pattern) {
                TimeFormat::Pattern(_) => strptime::check(pattern, reads)
                    .map_err(|e| KeyError::new("format", format!("{e}; or write {NAMED_FORMATS}"))),
                TimeFormat::Iso8601 | TimeFormat::Epoch(_) => Ok(()),
            }
        }
        None => Ok(()),
    }
}
