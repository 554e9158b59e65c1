//! The values of several tags, one user after the other.

use crate::Result;
use std::collections::{BTreeSet, HashMap};
use std::iter::Peekable;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, SHARD_SIZE};
use taghouse_index::{BitSlices, Snapshot, TagView};
use taghouse_model::{Ordinal, Value, ValueType};

/// Up to this many users are looked up one by one, instead of reading all values of a tag.
const FEW: u64 = 1024;
/// The same as a share of a tag's users, in percent.
const FEW_IN_100: u64 = 2;

/// The values of tags for some users, one user at a time, in ascending order.
pub(crate) struct Gathered<'a> {
    tags: Vec<(&'a str, Source)>,
    /// The values of the current user.
    values: Vec<Option<Value>>,
}

/// Where one tag's values come from.
enum Source {
    /// Users are looked up one by one.
    Each(Box<TagView>),
    /// All numbers are read, one shard after the other.
    Numbers { ty: ValueType, parts: Vec<NumberCursor> },
    /// For each user with values, their positions in `values`.
    Texts { ty: ValueType, values: Vec<Value>, of_users: HashMap<Ordinal, Vec<u32>> },
    /// The index does not have the tag.
    Nothing,
}

/// Reads the numbers of ascending users.
struct NumberCursor {
    slices: BitSlices,
    /// Users whose numbers here are not valid any more.
    hidden: Option<Arc<Bitmap>>,
    /// The shards after the current one.
    shards: std::vec::IntoIter<u32>,
    /// The pairs of the current shard.
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

    /// Moves to a user, who must come after the current one.
    pub(crate) fn go_to(&mut self, ordinal: Ordinal) -> Result<()> {
        for ((_, source), value) in self.tags.iter_mut().zip(&mut self.values) {
            *value = source.value_of(ordinal)?;
        }
        Ok(())
    }

    /// The current user's value of a tag.
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
            let cursor = |(slices, hidden): (BitSlices, Option<Arc<Bitmap>>)| {
                let shards = slices.shard_numbers();
                NumberCursor {
                    slices,
                    hidden,
                    shards: shards.into_iter(),
                    pairs: Vec::new().into_iter().peekable(),
                }
            };
            return Ok(Self::Numbers {
                ty,
                parts: view.numbers()?.into_iter().map(cursor).collect(),
            });
        }
        let mut values = Vec::new();
        let mut of_users: HashMap<Ordinal, Vec<u32>> = HashMap::new();
        for (value, members) in view.sets()? {
            let members = members.to_bitmap()?;
            for ordinal in members.and(within).iter() {
                of_users.entry(ordinal).or_default().push(values.len() as u32);
            }
            values.push(value);
        }
        Ok(Self::Texts { ty, values, of_users })
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
            Self::Texts { ty, values, of_users } => {
                let Some(places) = of_users.get(&ordinal) else { return Ok(None) };
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

impl NumberCursor {
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
