use crate::numbers::{Numbers, UnitRange, equal_widths};
use crate::tag_column::TagColumn;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::{Snapshot, UserSet, overlap};
use taghouse_model::{Value, ValueType};

/// The most values or buckets of one tag in one call.
pub const MAX_GROUPS: usize = 1000;

/// How numbers are divided into buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Buckets {
    /// About equally many users in each, cut at quantiles. Equal numbers stay together, so there
    /// may be fewer buckets.
    #[default]
    Quantiles,
    /// Of equal width; some are a unit of the last digit wider.
    EqualWidths,
}

/// A tag to group by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// Name of the tag.
    pub tag: String,
    /// Number of groups, 1 to [`MAX_GROUPS`]: the most frequent values, or buckets of a number.
    pub limit: usize,
    /// How a number's buckets are made.
    pub buckets: Buckets,
}

/// What the users of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// They have this value; of a set tag, among others.
    Value(Value),
    /// Their number, day or time is in this range, both ends included.
    Range(Value, Value),
    /// They have a value without a group of its own; of a set tag, perhaps among others.
    Others,
    /// They have no value.
    None,
}

/// A tag's groups and who is in them. Groups of a set tag may share users, those of other tags do
/// not.
pub(crate) struct Groups {
    pub(crate) groups: Vec<Group>,
    /// The users of each group. Those of stored values include users beyond the ones asked about.
    pub(crate) members: Vec<UserSet>,
}

impl Axis {
    pub(crate) fn check(&self) -> Result<()> {
        Error::limit("values or buckets of a tag", self.limit, MAX_GROUPS)?;
        if self.limit == 0 {
            return Err(Error::Argument(format!(
                "0 values of tag {} are not groups: ask for at least 1",
                self.tag
            )));
        }
        Ok(())
    }
}

impl Groups {
    /// The groups of an axis among the users in `within`: its values or ranges, then
    /// [`Group::Others`], then [`Group::None`].
    pub(crate) fn of(snapshot: &Snapshot, axis: &Axis, within: &Arc<Bitmap>) -> Result<Self> {
        let column = TagColumn::of(snapshot, &axis.tag)?;
        let (mut groups, others) = if column.value_type.is_number() {
            let ranges = ranges(&column.numbers(within)?, axis)?;
            (Self::of_ranges(snapshot, &column, &ranges)?, Bitmap::new())
        } else {
            Self::of_values(&column, axis.limit, within)?
        };
        groups.push(Group::Others, others);
        groups.push(Group::None, within.and_not(column.existence()?.as_ref()));
        Ok(groups)
    }

    /// A group for each range of a number, and nothing else.
    pub(crate) fn of_ranges(
        snapshot: &Snapshot,
        column: &TagColumn,
        ranges: &[UnitRange],
    ) -> Result<Self> {
        let mut groups = Self { groups: Vec::new(), members: Vec::new() };
        for range in ranges {
            // Both ends are numbers that users have, or lie between them.
            if let (Some(condition), Some(from), Some(to)) =
                (column.between(*range), column.value(range.low), column.value(range.high))
            {
                groups.push(
                    Group::Range(from, to),
                    snapshot.evaluate(&condition, &|_| None)?.bitmap()?,
                );
            }
        }
        Ok(groups)
    }

    /// A group for each of the `limit` values that most users in `within` have; and the users of
    /// the other values.
    fn of_values(column: &TagColumn, limit: usize, within: &Arc<Bitmap>) -> Result<(Self, Bitmap)> {
        let (values, members): (Vec<Value>, Vec<UserSet>) = column.sets()?.into_iter().unzip();
        let counts = overlap(&[UserSet::Owned(Arc::clone(within))], &members, None)?;
        let most = most_users(&counts, limit);
        let mut groups = Self { groups: Vec::new(), members: Vec::new() };
        for place in &most {
            groups.groups.extend(values.get(*place).cloned().map(Group::Value));
            groups.members.extend(members.get(*place).cloned());
        }
        let chosen: BTreeSet<usize> = most.into_iter().collect();
        let rest = (0..counts.len()).filter(|place| !chosen.contains(place) && counts[*place] > 0);
        let rest: Vec<&UserSet> = rest.map(|place| &members[place]).collect();
        let others = if rest.is_empty() {
            Bitmap::new()
        } else if column.value_type == ValueType::Set {
            union_within(rest, within)?
        } else {
            within
                .and(column.existence()?.as_ref())
                .and_not(&union_within(&groups.members, within)?)
        };
        Ok((groups, others))
    }

    fn push(&mut self, group: Group, members: Bitmap) {
        self.groups.push(group);
        self.members.push(UserSet::Owned(Arc::new(members)));
    }
}

/// The positions of the `limit` largest counts, in descending order, without zeros.
pub(crate) fn most_users(counts: &[u64], limit: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..counts.len()).filter(|place| counts[*place] > 0).collect();
    places.sort_by_key(|place| std::cmp::Reverse(counts[*place]));
    places.truncate(limit);
    places
}

/// The ranges of a number's buckets among the users who have one.
pub(crate) fn ranges(numbers: &Numbers, axis: &Axis) -> Result<Vec<UnitRange>> {
    let Some(bounds) = numbers.bounds()? else { return Ok(Vec::new()) };
    if axis.buckets == Buckets::EqualWidths {
        return Ok(equal_widths(bounds, axis.limit));
    }
    let users = numbers.below(&[])?.users;
    let parts = axis.limit.max(1) as u64;
    // The nearest ranks, in whole numbers: floating point would be off by a little.
    let ranks: Vec<u64> = (1..=parts).map(|part| (users * part).div_ceil(parts)).collect();
    let ends: BTreeSet<i128> = numbers.at_ranks(&ranks)?.into_iter().chain([bounds.high]).collect();
    let starts = std::iter::once(bounds.low).chain(ends.iter().map(|end| end.saturating_add(1)));
    Ok(starts.zip(ends.iter().copied()).map(|(low, high)| UnitRange { low, high }).collect())
}

/// How many bitmaps are collected before they are united, to bound memory.
const UNITED: usize = 256;

fn union_within<'a>(all: impl IntoIterator<Item = &'a UserSet>, within: &Bitmap) -> Result<Bitmap> {
    let mut united = Bitmap::new();
    let mut waiting = Vec::new();
    for members in all {
        waiting.push(members.to_bitmap()?.and(within));
        if waiting.len() == UNITED {
            united = Bitmap::union(waiting.iter().chain([&united]));
            waiting.clear();
        }
    }
    Ok(Bitmap::union(waiting.iter().chain([&united])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_index::BitSlices;

    #[test]
    fn buckets_tile_the_numbers() {
        let of = |numbers: &[i64]| {
            let slices = BitSlices::from_pairs((0..).zip(numbers.iter().copied())).unwrap();
            Numbers::in_parts(vec![(slices, None)], &Arc::new(Bitmap::from_range(0..=99))).unwrap()
        };
        let check = |numbers: &[i64], limit, buckets, expected: &[(i128, i128)]| {
            let axis = Axis { tag: String::new(), limit, buckets };
            let found: Vec<(i128, i128)> = ranges(&of(numbers), &axis)
                .unwrap()
                .iter()
                .map(|range| (range.low, range.high))
                .collect();
            assert_eq!(found, expected, "{limit} {buckets:?}");
        };
        let eight = [1, 1, 1, 1, 2, 3, 4, 10];
        check(&eight, 1, Buckets::Quantiles, &[(1, 10)]);
        check(&eight, 2, Buckets::Quantiles, &[(1, 1), (2, 10)]);
        check(&eight, 4, Buckets::Quantiles, &[(1, 1), (2, 3), (4, 10)]);
        check(&eight, 100, Buckets::Quantiles, &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 10)]);
        check(&eight, 2, Buckets::EqualWidths, &[(1, 5), (6, 10)]);
        check(&eight, 3, Buckets::EqualWidths, &[(1, 3), (4, 6), (7, 10)]);
        check(&[1, 2, 3], 3, Buckets::Quantiles, &[(1, 1), (2, 2), (3, 3)]);
        check(&[], 4, Buckets::Quantiles, &[]);
    }

    #[test]
    fn the_most_come_first_and_nobody_never() {
        assert_eq!(most_users(&[3, 0, 9, 3, 1], 3), [2, 0, 3]);
        assert_eq!(most_users(&[0, 0], 3), [0; 0]);
    }
}
