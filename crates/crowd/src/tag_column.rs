use crate::numbers::{Numbers, UnitRange};
use crate::value_counts::ValueCounts;
use crate::{Error, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::{BitSlices, Snapshot, TagView, UserSet};
use taghouse_model::{MAX_DECIMAL_UNITS, Ordinal, Value, ValueType};
use taghouse_rules::{Predicate, did_you_mean};

/// Up to this many different numbers are found by dividing users slice by slice. With more, reading
/// each user's number is faster (`cargo run --release -p taghouse-bitmap --example numbers`
/// measures both).
const FEW_NUMBERS: usize = 1024;
/// Below this share of a tag's users, in percent, users are looked up one by one instead of reading
/// all numbers.
const FEW_IN_100: u64 = 2;

/// One tag's values in a snapshot. All reads of tag values in this crate go through here.
pub(crate) struct TagColumn {
    pub(crate) tag: String,
    pub(crate) value_type: ValueType,
    values: TagView,
}

impl TagColumn {
    pub(crate) fn of(snapshot: &Snapshot, tag: &str) -> Result<Self> {
        let Some(values) = snapshot.tag(tag)? else {
            let hint = did_you_mean(tag, snapshot.tags().map(|tag| tag.name.as_str()));
            return Err(Error::UnknownTag(format!("there is no tag `{tag}` in the index{hint}")));
        };
        Ok(Self { tag: tag.to_owned(), value_type: values.value_type(), values })
    }

    /// The users who have a value.
    pub(crate) fn existence(&self) -> Result<Arc<Bitmap>> {
        Ok(self.values.existence()?.to_bitmap()?)
    }

    /// The value of one user.
    pub(crate) fn value_of(&self, ordinal: Ordinal) -> Result<Option<Value>> {
        Ok(self.values.value_of(ordinal)?)
    }

    /// All values with their users, in order of the values; of a set tag, each member is a value.
    /// Empty for numbers.
    pub(crate) fn sets(&self) -> Result<Vec<(Value, UserSet)>> {
        Ok(self.values.sets()?)
    }

    /// The numbers of the users in `within`, read by slices. Empty if the tag is not a number.
    pub(crate) fn numbers(&self, within: &Arc<Bitmap>) -> Result<Numbers> {
        Numbers::of(&self.values, within)
    }

    /// Each different number of the users in `within`, ascending, and how many have it. Costs
    /// passes over slices for up to [`FEW_NUMBERS`] numbers, otherwise time per user with a
    /// number and memory per different number.
    pub(crate) fn number_counts(&self, within: &Arc<Bitmap>) -> Result<Vec<(i128, u64)>> {
        if let Some(counts) = self.numbers(within)?.counts(FEW_NUMBERS)? {
            return Ok(counts);
        }
        let mut counts = ValueCounts::default();
        for (slices, hidden) in self.values.numbers()? {
            let left = hidden.map(|hidden| within.and_not(&hidden));
            add_numbers(&mut counts, &slices, left.as_ref().unwrap_or(within))?;
        }
        Ok(counts.finish())
    }

    /// The condition that the number is in a range.
    pub(crate) fn between(&self, range: UnitRange) -> Option<Predicate<Value>> {
        Some(Predicate::Between {
            name: self.tag.clone(),
            low: self.value(range.low)?,
            high: self.value(range.high)?,
        })
    }

    /// Fails unless the tag is a number, as `asked` requires.
    pub(crate) fn numbers_for(&self, asked: &'static str) -> Result<()> {
        if self.value_type.is_number() {
            return Ok(());
        }
        Err(Error::NotANumber { tag: self.tag.clone(), value_type: self.value_type, asked })
    }

    /// Digits after the point; `None` for types that cannot be summed, such as dates.
    pub(crate) fn scale(&self) -> Option<u8> {
        match self.value_type {
            ValueType::Int => Some(0),
            ValueType::Decimal { scale } => Some(scale),
            _ => None,
        }
    }

    /// The value for a number of units. The unit of an int is 1, of a decimal 10^-scale, of a date
    /// a day, of a time a millisecond.
    pub(crate) fn value(&self, units: i128) -> Option<Value> {
        taghouse_index::value_of_units(units, self.value_type)
    }

    /// The units of a value; `None` if it has more digits than the tag, or is too large for it.
    pub(crate) fn units(&self, value: &Value) -> Option<i128> {
        match (value, self.value_type) {
            (Value::Int(v), ValueType::Int) | (Value::Time(v), ValueType::Time) => {
                Some(i128::from(*v))
            }
            (Value::Date(v), ValueType::Date) => Some(i128::from(*v)),
            (Value::Int(v), ValueType::Decimal { scale }) => {
                i128::from(*v).checked_mul(10_i128.checked_pow(u32::from(scale))?)
            }
            (Value::Decimal(v), ValueType::Int | ValueType::Decimal { .. }) => {
                let v = v.normalize();
                let missing = u32::from(self.scale()?).checked_sub(v.scale())?;
                v.mantissa()
                    .checked_mul(10_i128.checked_pow(missing)?)
                    .filter(|units| units.abs() <= MAX_DECIMAL_UNITS)
            }
            _ => None,
        }
    }
}

fn add_numbers(counts: &mut ValueCounts, slices: &BitSlices, within: &Bitmap) -> Result<()> {
    if within.len() * 100 < slices.existence().len() * FEW_IN_100 {
        for ordinal in within.iter() {
            if let Some(units) = slices.value_of(ordinal)? {
                counts.add(units);
            }
        }
        return Ok(());
    }
    let mut members = within.iter().peekable();
    for (ordinal, units) in slices.iter()? {
        while members.next_if(|member| *member < ordinal).is_some() {}
        if members.peek() == Some(&ordinal) {
            counts.add(units);
        }
    }
    Ok(())
}
