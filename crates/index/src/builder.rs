mod column;

use crate::error::{Error, Result};
use crate::number::units_of;
use crate::segment::{ROWS_FROM, assemble, encode_directory, encode_rows};
use column::{Codes, Numbers};
use taghouse_bitmap::{Bitmap, BundleBuilder};
use taghouse_model::{MAX_TEXT_BYTES, Ordinal, Value, ValueType};

/// Collects users' values of one tag and writes a [`crate::Segment`]. Fastest with users in
/// ascending order of their ordinals.
pub struct SegmentBuilder {
    value_type: ValueType,
    column: ValueColumn,
}

enum ValueColumn {
    Numbers(Numbers),
    /// Bool (code 0 false, 1 true), enum and set.
    Codes(Codes),
}

impl SegmentBuilder {
    /// A builder without values.
    pub fn new(value_type: ValueType) -> Self {
        let column = if value_type.is_number() {
            ValueColumn::Numbers(Numbers::default())
        } else {
            ValueColumn::Codes(Codes::default())
        };
        Self { value_type, column }
    }

    /// Sets the value of one user. A later value replaces an earlier one; an empty set is no value.
    ///
    /// # Errors
    /// `Value` for one of another type, a text over 1024 bytes, a decimal of more digits than the
    /// scale or than 28 in all, and for more different texts than [`crate::MAX_VALUES`].
    pub fn add(&mut self, ordinal: Ordinal, value: &Value) -> Result<()> {
        match &mut self.column {
            ValueColumn::Numbers(numbers) => match units_of(value, self.value_type) {
                Some(units) => numbers.push(ordinal, units),
                None => {
                    return Err(refuse(
                        self.value_type,
                        format!("{value} is of another type or beyond its range"),
                    ));
                }
            },
            ValueColumn::Codes(codes) => {
                let result = match (value, self.value_type) {
                    (Value::Bool(value), ValueType::Bool) => {
                        codes.push(ordinal, [u32::from(*value)])
                    }
                    (Value::Text(text), ValueType::Text) => {
                        codes.code(text).and_then(|code| codes.push(ordinal, [code]))
                    }
                    (Value::Set(texts), ValueType::Set) => texts
                        .iter()
                        .map(|text| codes.code(text))
                        .collect::<std::result::Result<Vec<_>, _>>()
                        .and_then(|members| {
                            if members.is_empty() {
                                codes.remove(ordinal)
                            } else {
                                codes.push(ordinal, members)
                            }
                        }),
                    _ => Err(format!("{value} is of another type")),
                };
                result.map_err(|problem| refuse(self.value_type, problem))?;
            }
        }
        Ok(())
    }

    /// Gives one user a number in units of the type: an int itself, a decimal in 10^-scale, a date
    /// in days, a time in milliseconds.
    ///
    /// # Errors
    /// `Value` for a type that has no units.
    pub(crate) fn add_units(&mut self, ordinal: Ordinal, units: i128) -> Result<()> {
        match &mut self.column {
            ValueColumn::Numbers(numbers) => numbers.push(ordinal, units),
            ValueColumn::Codes(_) => {
                return Err(refuse(self.value_type, format!("{units} is a number")));
            }
        }
        Ok(())
    }

    /// The bytes of the segment.
    ///
    /// # Errors
    /// `Value` when the texts or the sets' members take more than the form holds (4 GiB, 2^32).
    pub fn finish(self) -> Result<Vec<u8>> {
        let ty = self.value_type;
        let over = |e: taghouse_bitmap::Error| refuse(ty, e.to_string());
        match self.column {
            ValueColumn::Numbers(numbers) => {
                Ok(assemble(ty, &[], &numbers.encode().map_err(over)?, &[]))
            }
            ValueColumn::Codes(codes) => {
                let table =
                    codes.sorted(ty == ValueType::Bool).map_err(|problem| refuse(ty, problem))?;
                let mut bundle = BundleBuilder::new();
                // A bool tag that is only ever true, for instance: who has a value and who has this
                // one are the same.
                match (0..table.values())
                    .find(|code| table.users_of(*code).len() == table.ordinals.len())
                {
                    Some(everybody) => bundle.alias(0, everybody + 1),
                    None => bundle.push_sorted(0, &table.ordinals),
                }
                for code in 0..table.values() {
                    bundle.push_sorted(code + 1, table.users_of(code));
                }
                let bitmaps = bundle.finish(table.values() + 1).map_err(over)?;
                let directory = if ty == ValueType::Bool {
                    Vec::new()
                } else {
                    directory_of(ty, &table.texts)?
                };
                let rows = if table.texts.len() >= ROWS_FROM {
                    encode_rows(
                        (ty == ValueType::Set).then_some(&table.starts),
                        &table.codes,
                        table.texts.len(),
                    )
                } else {
                    Vec::new()
                };
                Ok(assemble(ty, &directory, &bitmaps, &rows))
            }
        }
    }

    /// The bytes of a segment out of each value's users: the bulk path, for those who have bitmaps
    /// already. For a set the values are its members (texts); for the other types no user may
    /// have two values.
    ///
    /// # Errors
    /// As [`SegmentBuilder::add`], and for a value given twice or a user with two values.
    pub fn from_values(value_type: ValueType, mut values: Vec<(Value, Bitmap)>) -> Result<Vec<u8>> {
        values.retain(|(_, users)| !users.is_empty());
        values.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(twice) = values.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(refuse(value_type, format!("{} is given twice", twice[0].0)));
        }
        let existence = Bitmap::union(values.iter().map(|(_, users)| users));
        if value_type != ValueType::Set
            && existence.len() != values.iter().map(|(_, users)| users.len()).sum::<u64>()
        {
            return Err(refuse(value_type, "a user has two values".to_owned()));
        }
        let direct =
            matches!(value_type, ValueType::Text | ValueType::Set) && values.len() < ROWS_FROM;
        if !direct {
            return Self::from_pairs(value_type, &values);
        }
        let mut texts = Vec::with_capacity(values.len());
        let mut bundle = BundleBuilder::new();
        bundle.push(0, &existence);
        for (code, (value, users)) in values.iter().enumerate() {
            let Value::Text(text) = value else {
                return Err(refuse(value_type, format!("{value} is of another type")));
            };
            check_text(text).map_err(|problem| refuse(value_type, problem))?;
            texts.push(text.clone());
            bundle.push(code as u32 + 1, users);
        }
        let bitmaps =
            bundle.finish(texts.len() as u32 + 1).map_err(|e| refuse(value_type, e.to_string()))?;
        Ok(assemble(value_type, &directory_of(value_type, &texts)?, &bitmaps, &[]))
    }

    fn from_pairs(value_type: ValueType, values: &[(Value, Bitmap)]) -> Result<Vec<u8>> {
        let mut pairs: Vec<(Ordinal, u32)> = Vec::new();
        for (place, (_, users)) in values.iter().enumerate() {
            pairs.extend(users.iter().map(|ordinal| (ordinal, place as u32)));
        }
        pairs.sort_unstable();
        let mut builder = Self::new(value_type);
        for of_user in pairs.chunk_by(|a, b| a.0 == b.0) {
            let mut given = of_user.iter().map(|(_, place)| &values[*place as usize].0);
            if value_type != ValueType::Set {
                given.try_for_each(|value| builder.add(of_user[0].0, value))?;
                continue;
            }
            let members = given.map(|value| match value {
                Value::Text(text) => Ok(text.clone()),
                other => Err(refuse(value_type, format!("{other} is not text"))),
            });
            builder.add(of_user[0].0, &Value::Set(members.collect::<Result<_>>()?))?;
        }
        builder.finish()
    }
}

fn refuse(value_type: ValueType, problem: String) -> Error {
    Error::Value { value_type, problem }
}

pub(crate) fn check_text(text: &str) -> std::result::Result<(), String> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("a text has {} bytes, more than {MAX_TEXT_BYTES}", text.len()));
    }
    Ok(())
}

fn directory_of(value_type: ValueType, texts: &[std::sync::Arc<str>]) -> Result<Vec<u8>> {
    encode_directory(texts.iter().map(AsRef::as_ref))
        .ok_or_else(|| refuse(value_type, "its texts take 4 GiB or more".to_owned()))
}
