use crate::numbers::Numbers;
use crate::value_counts::ValueCounts;
use crate::{Error, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::{BitSlices, Snapshot, TagView, UserSet};
use taghouse_model::{MAX_DECIMAL_UNITS, Value, ValueType};
use taghouse_rules::{Predicate, did_you_mean};

/// Up to so many different numbers are found by parting users slice by slice; of more that takes
/// longer than reading each user's number (`cargo run --release -p taghouse-bitmap --example
/// numbers` shows both).
const FEW_NUMBERS: usize = 1024;
/// Where each of so few in a hundred users are asked one by one, instead of going through all
/// numbers.
const FEW_IN_100: u64 = 2;

/// One tag's values in a snapshot: all that the questions of this crate read of the index, in one
/// place.
pub(crate) struct Column {
    pub(crate) tag: String,
    pub(crate) value_type: ValueType,
    values: TagView,
}

impl Column {
    pub(crate) fn of(snapshot: &Snapshot, tag: &str) -> Result<Self> {
        let Some(values) = snapshot.tag(tag)? else {
            let hint = did_you_mean(tag, snapshot.tags().map(|tag| tag.name.as_str()));
            return Err(Error::UnknownTag(format!("there is no tag `{tag}` in the index{hint}")));
        };
        Ok(Self { tag: tag.to_owned(), value_type: values.value_type(), values })
    }

    /// Who has a value.
    pub(crate) fn existence(&self) -> Result<Arc<Bitmap>> {
        Ok(self.values.existence()?.to_bitmap()?)
    }

    /// All values and their users, in order of the values; for a set its members one by one. None
    /// for numbers.
    pub(crate) fn sets(&self) -> Result<Vec<(Value, UserSet)>> {
        Ok(self.values.sets()?)
    }

    /// The numbers of those in `within`, to be asked by slices; of a tag that has other values:
    /// nobody's.
    pub(crate) fn numbers(&self, within: &Arc<Bitmap>) -> Result<Numbers> {
        Numbers::of(&self.values, within)
    }

    /// Each different number of those in `within`, ascending, and how many have it. Takes passes
    /// over slices if the numbers are [`FEW_NUMBERS`], else time for each user who has one and
    /// memory for each different one.
    pub(crate) fn number_counts(&self, within: &Arc<Bitmap>) -> Result<Vec<(i128, u64)>> {
        if let Some(counts) = self.numbers(within)?.counts(FEW_NUMBERS)? {
            return Ok(counts);
        }
        let mut tally = ValueCounts::default();
        for (slices, hidden) in self.values.numbers()? {
            let left = hidden.map(|hidden| within.and_not(&hidden));
            add_numbers(&mut tally, &slices, left.as_ref().unwrap_or(within))?;
        }
        Ok(tally.counts())
    }

    /// The condition that the number is `low` to `high` units, both included.
    pub(crate) fn between(&self, low: i128, high: i128) -> Option<Predicate<Value>> {
        Some(Predicate::Between {
            name: self.tag.clone(),
            low: self.value(low)?,
            high: self.value(high)?,
        })
    }

    /// Only numbers will do for what was `asked`.
    pub(crate) fn numbers_for(&self, asked: &'static str) -> Result<()> {
        if self.value_type.is_number() {
            return Ok(());
        }
        Err(Error::NotANumber { tag: self.tag.clone(), value_type: self.value_type, asked })
    }

    /// Digits after the point; `None` for what does not add up, such as dates.
    pub(crate) fn scale(&self) -> Option<u8> {
        match self.value_type {
            ValueType::Int => Some(0),
            ValueType::Decimal { scale } => Some(scale),
            _ => None,
        }
    }

    /// A number of the tag from its units: an int is its own unit, a decimal 10^-scale, a date a
    /// day, a time a millisecond.
    pub(crate) fn value(&self, units: i128) -> Option<Value> {
        taghouse_index::value_of_units(units, self.value_type)
    }

    /// The units of a number; `None` for one with more digits than the tag's, or more than a tag
    /// holds.
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

fn add_numbers(tally: &mut ValueCounts, slices: &BitSlices, within: &Bitmap) -> Result<()> {
    if within.len() * 100 < slices.existence().len() * FEW_IN_100 {
        for ordinal in within.iter() {
            if let Some(units) = slices.value_of(ordinal)? {
                tally.add(units);
            }
        }
        return Ok(());
    }
    let mut members = within.iter().peekable();
    for (ordinal, units) in slices.iter()? {
        while members.next_if(|member| *member < ordinal).is_some() {}
        if members.peek() == Some(&ordinal) {
            tally.add(units);
        }
    }
    Ok(())
}
