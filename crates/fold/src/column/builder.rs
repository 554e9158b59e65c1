use crate::units;
use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field};
use std::sync::Arc;
use taghouse_model::{Value, ValueType};

/// Builds an Arrow column of values of one type, as the lake's tables have it.
pub struct ColumnBuilder(Inner);

enum Inner {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder, u8),
    Date(Date32Builder),
    Time(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Set(ListBuilder<StringBuilder>),
}

/// Digits of the lake's decimal columns.
const DECIMAL_PRECISION: u8 = 38;

impl ColumnBuilder {
    /// A column of values of type `ty`.
    pub fn new(ty: ValueType) -> Self {
        Self(match ty {
            ValueType::Bool => Inner::Bool(BooleanBuilder::new()),
            ValueType::Int => Inner::Int(Int64Builder::new()),
            ValueType::Decimal { scale } => {
                // A scale of 12 at most always goes with 38 digits.
                let ty = DataType::Decimal128(DECIMAL_PRECISION, scale as i8);
                Inner::Decimal(Decimal128Builder::new().with_data_type(ty), scale)
            }
            ValueType::Date => Inner::Date(Date32Builder::new()),
            ValueType::Time => {
                Inner::Time(TimestampMicrosecondBuilder::new().with_timezone("+00:00"))
            }
            ValueType::Text => Inner::Text(StringBuilder::new()),
            ValueType::Set => {
                let field = Field::new("element", DataType::Utf8, true);
                Inner::Set(ListBuilder::new(StringBuilder::new()).with_field(Arc::new(field)))
            }
        })
    }

    /// The next row. A value of another type becomes none.
    pub fn push(&mut self, value: Option<&Value>) {
        match (&mut self.0, value) {
            (Inner::Bool(b), Some(Value::Bool(v))) => b.append_value(*v),
            (Inner::Bool(b), _) => b.append_null(),
            (Inner::Int(b), Some(Value::Int(v))) => b.append_value(*v),
            (Inner::Int(b), _) => b.append_null(),
            (Inner::Decimal(b, scale), Some(Value::Decimal(v))) => {
                b.append_option(units::of_decimal(*v, *scale))
            }
            (Inner::Decimal(b, _), _) => b.append_null(),
            (Inner::Date(b), Some(Value::Date(v))) => b.append_value(*v),
            (Inner::Date(b), _) => b.append_null(),
            (Inner::Time(b), Some(Value::Time(v))) => b.append_option(v.checked_mul(1000)),
            (Inner::Time(b), _) => b.append_null(),
            (Inner::Text(b), Some(Value::Text(v))) => b.append_value(v),
            (Inner::Text(b), _) => b.append_null(),
            (Inner::Set(b), Some(Value::Set(members))) => {
                members.iter().for_each(|m| b.values().append_value(m));
                b.append(true);
            }
            (Inner::Set(b), _) => b.append(false),
        }
    }

    /// Name of the column.
    pub fn finish(mut self) -> ArrayRef {
        match &mut self.0 {
            Inner::Bool(b) => Arc::new(b.finish()),
            Inner::Int(b) => Arc::new(b.finish()),
            Inner::Decimal(b, _) => Arc::new(b.finish()),
            Inner::Date(b) => Arc::new(b.finish()),
            Inner::Time(b) => Arc::new(b.finish()),
            Inner::Text(b) => Arc::new(b.finish()),
            Inner::Set(b) => Arc::new(b.finish()),
        }
    }
}
