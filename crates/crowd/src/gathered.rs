//! Several tags' values of one user after the other.

use crate::Result;
use std::collections::{BTreeSet, HashMap};
use std::iter::Peekable;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, SHARD_SIZE};
use taghouse_index::{BitSlices, Snapshot, TagView};
use taghouse_model::{Ordinal, Value, ValueType};

/// Where each of so few users is asked, that is less than going through all values of a tag.
const FEW: u64 = 1024;
const FEW_IN_100: u64 = 2;

/// Tags' values for some users, of one user at a time, in rising order.
pub(crate) struct Gathered<'a> {
    tags: Vec<(&'a str, Source)>,
    /// Of the user that it was last told to go to.
    values: Vec<Option<Value>>,
}

/// Where one tag's values come from.
enum Source {
    /// Each user is asked for.
    Each(Box<TagView>),
    /// All numbers, one shard after the other.
    Numbers { ty: ValueType, parts: Vec<Part> },
    /// For each user who has any, the places of his values.
    Texts { ty: ValueType, values: Vec<Value>, held: HashMap<Ordinal, Vec<u32>> },
    /// Of a tag that the index does not hold.
    Nothing,
}

struct Part {
    slices: BitSlices,
    hidden: Option<Arc<Bitmap>>,
    /// The shards that are still to come, and the pairs of the one that is read.
    shards: std::vec::IntoIter<u32>,
    pairs: Peekable<std::vec::IntoIter<(Ordinal, i128)>>,
}

impl<'a> Gathered<'a> {
    /// The values of tags of these names for users in `within`.
    pub(crate) fn of(
        snapshot: &Snapshot,
        names: &BTreeSet<&'a str>,
        within: &Bitmap,
    ) -> Result<Self> {
        let mut tags = Vec::with_capacity(names.len());
        for name in names {
            let source = match snapshot.tag(name)? {
                None => Source::Nothing,
                Some(view) => Source::of(view, within)?,
            };
            tags.push((*name, source));
        }
        Ok(Self { values: vec![None; tags.len()], tags })
    }

    /// Makes the values those of a user, who comes after all those before.
    pub(crate) fn go_to(&mut self, ordinal: Ordinal) -> Result<()> {
        for ((_, source), value) in self.tags.iter_mut().zip(&mut self.values) {
            *value = source.value_of(ordinal)?;
        }
        Ok(())
    }

    /// The user's value of a tag.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        let at = self.tags.iter().position(|(known, _)| *known == name)?;
        self.values[at].clone()
    }
}

impl Source {
    fn of(view: TagView, within: &Bitmap) -> Result<Self> {
        if within.len() <= FEW || within.len() * 100 < view.users()? * FEW_IN_100 {
            return Ok(Self::Each(Box::new(view)));
        }
        let ty = view.value_type();
        if ty.is_number() {
            let part = |(slices, hidden): (BitSlices, Option<Arc<Bitmap>>)| {
                let shards = slices.shard_numbers();
                Part {
                    slices,
                    hidden,
                    shards: shards.into_iter(),
                    pairs: Vec::new().into_iter().peekable(),
                }
            };
            return Ok(Self::Numbers {
                ty,
                parts: view.numbers()?.into_iter().map(part).collect(),
            });
        }
        let mut values = Vec::new();
        let mut held: HashMap<Ordinal, Vec<u32>> = HashMap::new();
        for (value, members) in view.sets()? {
            let members = members.to_bitmap()?;
            for ordinal in members.and(within).iter() {
                held.entry(ordinal).or_default().push(values.len() as u32);
            }
            values.push(value);
        }
        Ok(Self::Texts { ty, values, held })
    }

    fn value_of(&mut self, ordinal: Ordinal) -> Result<Option<Value>> {
        match self {
            Self::Each(view) => Ok(view.value_of(ordinal)?),
            Self::Numbers { ty, parts } => {
                for part in parts {
                    if let Some(units) = part.units_of(ordinal)? {
                        return Ok(taghouse_index::value_of_units(units, *ty));
                    }
                }
                Ok(None)
            }
            Self::Texts { ty, values, held } => {
                let Some(places) = held.get(&ordinal) else { return Ok(None) };
                let mut own = places.iter().filter_map(|place| values.get(*place as usize));
                if *ty != ValueType::Set {
                    return Ok(own.next().cloned());
                }
                let members = own.filter_map(|value| {
                    if let Value::Text(text) = value { Some(text.clone()) } else { None }
                });
                Ok(Some(Value::Set(members.collect())))
            }
            Self::Nothing => Ok(None),
        }
    }
}

impl Part {
    fn units_of(&mut self, ordinal: Ordinal) -> Result<Option<i128>> {
        loop {
            while self.pairs.next_if(|(next, _)| *next < ordinal).is_some() {}
            match self.pairs.peek() {
                Some((next, units)) => {
                    let hidden =
                        self.hidden.as_ref().is_some_and(|hidden| hidden.contains(ordinal));
                    return Ok((*next == ordinal && !hidden).then_some(*units));
                }
                None => match self.shards.find(|shard| *shard >= ordinal / SHARD_SIZE) {
                    Some(shard) => self.pairs = self.slices.pairs(shard)?.into_iter().peekable(),
                    None => return Ok(None),
                },
            }
        }
    }
}
