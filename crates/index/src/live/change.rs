//! Changes as callers make them, and their check against the types of the tags.

use super::entry::{Entry, Op as EntryOp};
use super::room::Weight;
use super::tag_log::{TagLog, text_bytes};
use crate::error::{Error, Result};
use crate::number::units_of;
use std::sync::Arc;
use taghouse_model::{Name, Ordinal, Value, ValueType};

/// One user's value of one tag, changed.
#[derive(Debug, Clone, PartialEq)]
pub struct TagChange {
    /// Name of the tag.
    pub tag: Name,
    /// Ordinal of the user whose value is changed.
    pub ordinal: Ordinal,
    /// What is done to the value.
    pub op: Op,
}

/// A change of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Replaces the value. For a set, replaces all members; an empty set is no value.
    Set(Value),
    /// Removes the value.
    Unset,
    /// Adds a member to a set.
    Add(Arc<str>),
    /// Removes a member from a set.
    Remove(Arc<str>),
}

/// Many changes of one tag in columns, so that a point costs no allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct TagChanges {
    /// Name of the tag.
    pub tag: Name,
    /// The users. If one occurs twice, the later value wins.
    pub ordinals: Vec<Ordinal>,
    /// The new values, one for each ordinal.
    pub column: ChangeColumn,
}

/// The values of [`TagChanges`], one an ordinal.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeColumn {
    /// Removes the values of all these users.
    Unset,
    /// Values in units of the type: an int itself, a decimal in 10^-scale, a date in days, a time
    /// in milliseconds, a bool as 0 or 1.
    Numbers(Vec<i64>),
    /// Values of an enum: places in `texts`.
    Texts {
        /// The different texts.
        texts: Vec<Arc<str>>,
        /// The index into `texts` for each user.
        codes: Vec<u32>,
    },
    /// Adds a member to each user's set.
    Add {
        /// The different texts.
        texts: Vec<Arc<str>>,
        /// The index into `texts` for each user.
        codes: Vec<u32>,
    },
    /// Removes a member from each user's set.
    Remove {
        /// The different texts.
        texts: Vec<Arc<str>>,
        /// The index into `texts` for each user.
        codes: Vec<u32>,
    },
}

/// Changes that become visible together, or not at all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// The dictionary's generation that the ordinals are of.
    pub generation: u64,
    /// New users. A user who gets a value need not be named here.
    pub users: Vec<Ordinal>,
    /// Changes in columns; they are applied first.
    pub columns: Vec<TagChanges>,
    /// Single changes, in this order.
    pub points: Vec<TagChange>,
}

/// Checked changes of one tag, in their order; the entries' positions are still to be given.
pub(crate) struct Block {
    pub(crate) tag: Arc<TagLog>,
    pub(crate) entries: Vec<Entry>,
}

impl Changes {
    /// The number of changes, and the bytes of their texts if all are new.
    pub(crate) fn weight(&self) -> Weight {
        let columns = self.columns.iter().map(TagChanges::weight);
        columns
            .chain(self.points.iter().map(|point| point.op.weight()))
            .fold(Weight::default(), Weight::and)
    }

    /// Checks everything. `tag_of` looks up the tags that may be changed.
    pub(crate) fn checked(
        &self,
        tag_of: &dyn Fn(&str) -> Option<Arc<TagLog>>,
    ) -> Result<Vec<Block>> {
        let mut blocks: Vec<Block> = Vec::with_capacity(self.columns.len());
        let known =
            |name: &Name| tag_of(name.as_str()).ok_or_else(|| Error::UnknownTag(name.to_string()));
        for column in &self.columns {
            let tag = known(&column.tag)?;
            let entries = column.entries(&tag)?;
            blocks.push(Block { tag, entries });
        }
        let columns = blocks.len();
        for point in &self.points {
            let place = blocks[columns..].iter().position(|block| block.tag.name == point.tag);
            let block = match place {
                Some(place) => &mut blocks[columns + place],
                None => {
                    blocks.push(Block { tag: known(&point.tag)?, entries: Vec::new() });
                    let last = blocks.len() - 1;
                    &mut blocks[last]
                }
            };
            push_point(&block.tag, point.ordinal, &point.op, &mut block.entries)?;
        }
        Ok(blocks)
    }
}

impl Op {
    fn weight(&self) -> Weight {
        match self {
            Self::Set(Value::Set(texts)) => Weight {
                changes: 1 + texts.len() as u64,
                text_bytes: texts.iter().map(|text| text_bytes(text)).sum(),
            },
            Self::Set(Value::Text(text)) | Self::Add(text) | Self::Remove(text) => {
                Weight { changes: 1, text_bytes: text_bytes(text) }
            }
            Self::Set(_) | Self::Unset => Weight { changes: 1, text_bytes: 0 },
        }
    }
}

impl TagChanges {
    fn weight(&self) -> Weight {
        let texts = match &self.column {
            ChangeColumn::Texts { texts, .. }
            | ChangeColumn::Add { texts, .. }
            | ChangeColumn::Remove { texts, .. } => texts.as_slice(),
            ChangeColumn::Unset | ChangeColumn::Numbers(_) => &[],
        };
        Weight {
            changes: self.ordinals.len() as u64,
            text_bytes: texts.iter().map(|text| text_bytes(text)).sum(),
        }
    }

    fn entries(&self, tag: &TagLog) -> Result<Vec<Entry>> {
        let ty = tag.value_type;
        let of = |op: EntryOp, values: &mut dyn Iterator<Item = i64>| {
            self.ordinals
                .iter()
                .zip(values)
                .map(|(ordinal, value)| Entry::new(*ordinal, op, value))
                .collect()
        };
        let fits = |len: usize| {
            if len == self.ordinals.len() {
                Ok(())
            } else {
                Err(tag.refuse(format!("{len} values are given for {} users", self.ordinals.len())))
            }
        };
        match (&self.column, ty) {
            (ChangeColumn::Unset, ValueType::Set) => {
                Ok(of(EntryOp::Clear, &mut std::iter::repeat(Entry::NONE)))
            }
            (ChangeColumn::Unset, _) => Ok(of(EntryOp::Unset, &mut std::iter::repeat(Entry::NONE))),
            (ChangeColumn::Numbers(numbers), _) if ty.is_number() || ty == ValueType::Bool => {
                fits(numbers.len())?;
                let allowed = match ty {
                    ValueType::Bool => 0..=1,
                    ValueType::Date => i64::from(i32::MIN)..=i64::from(i32::MAX),
                    _ => i64::MIN..=i64::MAX,
                };
                match numbers.iter().find(|number| !allowed.contains(number)) {
                    Some(beyond) => Err(tag.refuse(format!("{beyond} is beyond its range"))),
                    None => Ok(of(EntryOp::Set, &mut numbers.iter().copied())),
                }
            }
            (ChangeColumn::Texts { texts, codes }, ValueType::Text)
            | (
                ChangeColumn::Add { texts, codes } | ChangeColumn::Remove { texts, codes },
                ValueType::Set,
            ) => {
                fits(codes.len())?;
                if let Some(beyond) = codes.iter().find(|code| **code as usize >= texts.len()) {
                    return Err(tag.refuse(format!(
                        "code {beyond} stands for none of {} texts",
                        texts.len()
                    )));
                }
                let known =
                    texts.iter().map(|text| tag.code(text)).collect::<Result<Vec<i64>>>()?;
                let op = match &self.column {
                    ChangeColumn::Texts { .. } => EntryOp::Set,
                    ChangeColumn::Add { .. } => EntryOp::Add,
                    _ => EntryOp::Remove,
                };
                Ok(of(op, &mut codes.iter().map(|code| known[*code as usize])))
            }
            _ => Err(tag.refuse("the column is of another type".to_owned())),
        }
    }
}

fn push_point(tag: &TagLog, ordinal: Ordinal, op: &Op, entries: &mut Vec<Entry>) -> Result<()> {
    let ty = tag.value_type;
    let entry = match (op, ty) {
        (Op::Set(Value::Set(texts)), ValueType::Set) => {
            let codes = texts.iter().map(|text| tag.code(text)).collect::<Result<Vec<i64>>>()?;
            entries.push(Entry::new(ordinal, EntryOp::Clear, Entry::NONE));
            entries.extend(codes.into_iter().map(|code| Entry::new(ordinal, EntryOp::Add, code)));
            return Ok(());
        }
        (Op::Set(Value::Bool(value)), ValueType::Bool) => {
            Entry::new(ordinal, EntryOp::Set, i64::from(*value))
        }
        (Op::Set(Value::Text(text)), ValueType::Text) => {
            Entry::new(ordinal, EntryOp::Set, tag.code(text)?)
        }
        (Op::Set(value), _) => match units_of(value, ty).map(i64::try_from) {
            Some(Ok(units)) => Entry::new(ordinal, EntryOp::Set, units),
            Some(Err(_)) => {
                return Err(tag.refuse(format!("{value} is over 64 bits of the tag's last digit, which only a production may give")));
            }
            None => {
                return Err(tag.refuse(format!("{value} is of another type or beyond its range")));
            }
        },
        (Op::Unset, ValueType::Set) => Entry::new(ordinal, EntryOp::Clear, Entry::NONE),
        (Op::Unset, _) => Entry::new(ordinal, EntryOp::Unset, Entry::NONE),
        (Op::Add(text), ValueType::Set) => Entry::new(ordinal, EntryOp::Add, tag.code(text)?),
        (Op::Remove(text), ValueType::Set) => Entry::new(ordinal, EntryOp::Remove, tag.code(text)?),
        (Op::Add(_) | Op::Remove(_), _) => {
            return Err(tag.refuse("only sets have members to add or remove".to_owned()));
        }
    };
    entries.push(entry);
    Ok(())
}
