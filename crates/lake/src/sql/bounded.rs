//! Functions that can make much of little, behind a check of what they are about to make.

use super::width::{bytes, widest};
use crate::Error;
use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows that are computed at a time. A constant counts as if it stood in all of them, for it soon
/// may.
pub(super) const BATCH_ROWS: usize = 2048;
/// What all calls of one query's growing functions may make at a time.
const ALL_CALLS_BYTES: usize = 64 << 20;

/// What one call may make.
#[derive(Debug)]
pub(super) struct Room(AtomicUsize);

impl Default for Room {
    fn default() -> Self {
        Self(AtomicUsize::new(ALL_CALLS_BYTES))
    }
}

impl Room {
    /// Shares it among so many calls, for the results of all of them are held at one time.
    pub(super) fn share(&self, calls: usize) {
        self.0.store(ALL_CALLS_BYTES / calls.max(1), Ordering::Relaxed);
    }

    fn check(&self, name: &str, wanted: usize) -> Result<()> {
        let room = self.0.load(Ordering::Relaxed);
        if wanted <= room {
            return Ok(());
        }
        let error = Error::Invalid(format!(
            "the function \"{name}\" would make up to {wanted} bytes for {BATCH_ROWS} rows, more than {room}: shorten its arguments, for instance with left(…)"
        ));
        Err(DataFusionError::External(Box::new(error)))
    }
}

/// A function as it is, after a look at its arguments.
#[derive(Debug)]
pub(super) struct Bounded {
    inner: Arc<ScalarUDF>,
    room: Arc<Room>,
}

impl Bounded {
    pub(super) fn new(inner: Arc<ScalarUDF>, room: Arc<Room>) -> Self {
        Self { inner, room }
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.room.check(self.name(), estimate(self.name(), &args.args, args.number_rows)?)?;
        self.inner.invoke_with_args(args)
    }
}

/// `||` of texts.
#[derive(Debug)]
pub(super) struct Joined {
    signature: Signature,
    room: Arc<Room>,
}

impl Joined {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable), room }
    }
}

impl PartialEq for Joined {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Joined {}

impl Hash for Joined {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl ScalarUDFImpl for Joined {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &'static str {
        "||"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        BinaryTypeCoercer::new(&types[0], &Operator::StringConcat, &types[1]).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.room.check(self.name(), estimate(self.name(), &args.args, args.number_rows)?)?;
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns =
            args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let fields: Vec<Field> = columns
            .iter()
            .zip(["a", "b"])
            .map(|(c, name)| Field::new(name, c.data_type().clone(), true))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch =
            RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        BinaryExpr::new(
            Arc::new(Column::new("a", 0)),
            Operator::StringConcat,
            Arc::new(Column::new("b", 1)),
        )
        .evaluate(&batch)
    }
}

/// Of a growing function the check of a call with these arguments, without the call.
pub(super) fn constant_check(
    function: &ScalarUDF,
) -> Option<impl Fn(&[ColumnarValue]) -> Result<()>> {
    let function = function.inner().as_any();
    let name_and_room =
        match (function.downcast_ref::<Bounded>(), function.downcast_ref::<Joined>()) {
            (Some(bounded), _) => (bounded.name(), &bounded.room),
            (_, Some(joined)) => (joined.name(), &joined.room),
            _ => return None,
        };
    let (name, room) = name_and_room;
    Some(move |args: &[ColumnarValue]| room.check(name, estimate(name, args, 1)?))
}

/// The most bytes that the call can make.
fn estimate(name: &str, args: &[ColumnarValue], rows: usize) -> Result<usize> {
    let constant = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if constant { BATCH_ROWS } else { rows };
    let arguments = args.iter().map(|arg| Argument::new(arg, rows)).collect::<Result<Vec<_>>>()?;
    let at = |place: usize| arguments.get(place);
    let (all, wide) =
        (|place| at(place).map_or(0, |a| a.bytes), |place| at(place).map_or(0, |a| a.widest));
    let total = arguments.iter().fold(0_usize, |sum, a| sum.saturating_add(a.bytes));
    Ok(match name {
        "repeat" => wide(0).saturating_mul(at(1).map_or(0, |a| a.sum)),
        // Characters, of up to 4 bytes.
        "lpad" | "rpad" => at(1).map_or(0, |a| a.sum).saturating_mul(4).saturating_add(total),
        "replace" | "regexp_replace" => {
            all(0).saturating_add(rows).saturating_mul(wide(2).saturating_add(1))
        }
        // No directive of a format is longer than a weekday, a month, a day and a time.
        "to_char" => rows.saturating_mul(wide(1)).saturating_mul(16),
        // Every byte may be an item.
        "array_to_string" => {
            all(0).saturating_add(all(0).saturating_mul(wide(1).saturating_add(wide(2))))
        }
        "concat_ws" => {
            total.saturating_add(rows.saturating_mul(wide(0)).saturating_mul(args.len()))
        }
        "string_to_array" => total.saturating_mul(9),
        "encode" | "translate" => total.saturating_mul(4),
        _ => total,
    })
}

/// What an estimate asks of an argument.
struct Argument {
    /// In all rows.
    bytes: usize,
    /// Of one value.
    widest: usize,
    /// Of numbers, those above 0.
    sum: usize,
}

impl Argument {
    fn new(value: &ColumnarValue, rows: usize) -> Result<Self> {
        let (array, times) = match value {
            ColumnarValue::Array(array) => (array.clone(), 1),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, rows),
        };
        let sum = match array.data_type() {
            numbers if numbers.is_numeric() => {
                let numbers = cast(&array, &DataType::Int64)?;
                let numbers =
                    numbers.as_primitive::<Int64Type>().iter().flatten().filter(|n| *n > 0);
                numbers.fold(0_usize, |sum, n| {
                    sum.saturating_add(usize::try_from(n).unwrap_or(usize::MAX))
                })
            }
            _ => 0,
        };
        let (bytes, widest) = (bytes(array.as_ref()), widest(array.as_ref()));
        Ok(Self { bytes: bytes.saturating_mul(times), widest, sum: sum.saturating_mul(times) })
    }
}
