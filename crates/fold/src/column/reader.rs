use crate::units::{self, to_decimal};
use crate::{Error, Result};
use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, ListArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use std::sync::Arc;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{Condition, Place, Predicate, Row};

/// A typed view of an Arrow column, as the lake has them: `Time` in microseconds, `Decimal` with
/// 128 bits, `Set` a list of Utf8.
#[derive(Clone, Copy)]
pub struct ColumnReader<'a>(View<'a>);

#[derive(Clone, Copy)]
enum View<'a> {
    /// No row has a value.
    Missing,
    Bool(&'a BooleanArray),
    Int(&'a Int64Array),
    Decimal(&'a Decimal128Array, u8),
    Date(&'a Date32Array),
    Time(&'a TimestampMicrosecondArray),
    Text(&'a StringArray),
    Set(&'a ListArray, &'a StringArray),
}

impl<'a> ColumnReader<'a> {
    /// A view of a column named `name` that is of type `ty`.
    ///
    /// # Errors
    /// [`Error::Column`] if it is of another type.
    pub fn new(name: &str, array: &'a dyn Array, ty: ValueType) -> Result<Self> {
        let view = match (array.data_type(), ty) {
            (DataType::Null, _) => Some(View::Missing),
            (DataType::Boolean, ValueType::Bool) => array.as_boolean_opt().map(View::Bool),
            (DataType::Int64, ValueType::Int) => {
                array.as_primitive_opt::<Int64Type>().map(View::Int)
            }
            (DataType::Decimal128(_, scale), ValueType::Decimal { scale: wanted })
                if u8::try_from(*scale) == Ok(wanted) =>
            {
                array.as_primitive_opt::<Decimal128Type>().map(|a| View::Decimal(a, wanted))
            }
            (DataType::Date32, ValueType::Date) => {
                array.as_primitive_opt::<Date32Type>().map(View::Date)
            }
            (DataType::Timestamp(TimeUnit::Microsecond, _), ValueType::Time) => {
                array.as_primitive_opt::<TimestampMicrosecondType>().map(View::Time)
            }
            (DataType::Utf8, ValueType::Text) => array.as_string_opt().map(View::Text),
            (DataType::List(_), ValueType::Set) => array
                .as_list_opt()
                .and_then(|list: &ListArray| Some(View::Set(list, list.values().as_string_opt()?))),
            _ => None,
        };
        let wrong = || Error::Column {
            column: name.to_owned(),
            found: array.data_type().to_string(),
            expected: ty.to_string(),
        };
        view.map(Self).ok_or_else(wrong)
    }

    /// A column that is not there: no row has a value.
    pub fn missing() -> Self {
        Self(View::Missing)
    }

    /// Whether the row has a value.
    pub fn is_set(&self, row: usize) -> bool {
        match self.0 {
            View::Missing => false,
            View::Bool(a) => a.is_valid(row),
            View::Int(a) => a.is_valid(row),
            View::Decimal(a, _) => a.is_valid(row),
            View::Date(a) => a.is_valid(row),
            View::Time(a) => a.is_valid(row),
            View::Text(a) => a.is_valid(row),
            View::Set(..) => self.members(row).next().is_some(),
        }
    }

    /// The number in the column's units: decimals in those of their scale, times in milliseconds,
    /// truth as 0 and 1.
    pub(crate) fn number(&self, row: usize) -> Option<i128> {
        match self.0 {
            View::Bool(a) if a.is_valid(row) => Some(i128::from(a.value(row))),
            View::Int(a) if a.is_valid(row) => Some(i128::from(a.value(row))),
            // Over 96 bits a decimal is no value anywhere in the system.
            View::Decimal(a, _) if a.is_valid(row) => {
                Some(a.value(row)).filter(|v| v.abs() <= units::MAX_DECIMAL_UNITS)
            }
            View::Date(a) if a.is_valid(row) => Some(i128::from(a.value(row))),
            View::Time(a) if a.is_valid(row) => Some(i128::from(a.value(row).div_euclid(1000))),
            _ => None,
        }
    }

    pub(crate) fn text(&self, row: usize) -> Option<&'a str> {
        match self.0 {
            View::Text(a) if a.is_valid(row) => Some(a.value(row)),
            _ => None,
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.0, View::Text(_))
    }

    /// The members of a set, as they stand.
    pub(crate) fn members(&self, row: usize) -> impl Iterator<Item = &'a str> + use<'a> {
        let range = match self.0 {
            View::Set(list, texts) if list.is_valid(row) => {
                let offsets = list.value_offsets();
                Some((texts, offsets[row] as usize..offsets[row + 1] as usize))
            }
            _ => None,
        };
        range.into_iter().flat_map(|(texts, range)| {
            range.filter(|at| texts.is_valid(*at)).map(|at| texts.value(at))
        })
    }

    /// The row's value.
    pub fn value(&self, row: usize) -> Option<Value> {
        match self.0 {
            View::Set(..) => {
                let members: std::collections::BTreeSet<Arc<str>> =
                    self.members(row).map(Arc::from).collect();
                (!members.is_empty()).then_some(Value::Set(members))
            }
            View::Text(_) => self.text(row).map(Value::text),
            View::Bool(_) => self.number(row).map(|v| Value::Bool(v != 0)),
            View::Int(_) => self.number(row).and_then(|v| i64::try_from(v).ok()).map(Value::Int),
            View::Decimal(_, scale) => {
                self.number(row).and_then(|v| to_decimal(v, scale)).map(Value::Decimal)
            }
            View::Date(_) => self.number(row).and_then(|v| i32::try_from(v).ok()).map(Value::Date),
            View::Time(_) => self.number(row).and_then(|v| i64::try_from(v).ok()).map(Value::Time),
            View::Missing => None,
        }
    }
}

/// Names that conditions and expressions use, each once, with their types; compiled code knows them
/// by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    names: Vec<(String, ValueType)>,
}

impl Columns {
    /// The position of a name, added if it is new.
    pub(crate) fn add(&mut self, name: &str, ty: ValueType) -> usize {
        self.position(name).unwrap_or_else(|| {
            self.names.push((name.to_owned(), ty));
            self.names.len() - 1
        })
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|(held, _)| held == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, ValueType)> {
        self.names.iter().map(|(name, ty)| (name.as_str(), *ty))
    }

    /// The predicate over these columns; those that it names are added. Names without a type have
    /// no value.
    pub(crate) fn condition(
        &mut self,
        predicate: &Predicate<Value>,
        types: &dyn Fn(&str) -> Option<ValueType>,
    ) -> Condition {
        Condition::compile(predicate, |name| {
            let value_type = types(name)?;
            Some(Place { at: self.add(name, value_type), value_type })
        })
    }

    pub(crate) fn type_at(&self, position: usize) -> ValueType {
        self.names[position].1
    }
}

/// The columns of a batch, in the order of `Columns`.
pub(crate) struct Rows<'a> {
    columns: &'a Columns,
    readers: Vec<ColumnReader<'a>>,
}

impl<'a> Rows<'a> {
    /// `find` gives a column by name; what it does not find has no values.
    pub(crate) fn bind(
        columns: &'a Columns,
        find: &dyn Fn(&str) -> Option<&'a dyn Array>,
    ) -> Result<Self> {
        let reader = |(name, ty)| {
            find(name)
                .map_or(Ok(ColumnReader::missing()), |array| ColumnReader::new(name, array, ty))
        };
        Ok(Self { columns, readers: columns.iter().map(reader).collect::<Result<_>>()? })
    }

    pub(crate) fn reader(&self, position: usize) -> &ColumnReader<'a> {
        &self.readers[position]
    }

    /// One of the rows.
    pub(crate) fn at(&self, row: usize) -> RowAt<'_> {
        RowAt { readers: &self.readers, row }
    }

    /// A row's value by name: the slow way.
    pub(crate) fn value(&self, name: &str, row: usize) -> Option<Value> {
        self.readers[self.columns.position(name)?].value(row)
    }
}

/// One row of a batch, its values in the order of `Columns`.
#[derive(Clone, Copy)]
pub(crate) struct RowAt<'a> {
    readers: &'a [ColumnReader<'a>],
    row: usize,
}

impl Row for RowAt<'_> {
    fn is_set(&self, at: usize) -> bool {
        self.readers[at].is_set(self.row)
    }

    fn number(&self, at: usize) -> Option<i128> {
        self.readers[at].number(self.row)
    }

    fn text(&self, at: usize) -> Option<&str> {
        self.readers[at].text(self.row)
    }

    fn value(&self, at: usize) -> Option<Value> {
        self.readers[at].value(self.row)
    }
}
