use super::entry::{Entry, Op};
use super::overlay::TagOverlay;
use crate::error::Result;
use crate::number;
use crate::segment::Segment;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_bitmap::{BitSlices, Bitmap, UserSet, overlap};
use taghouse_model::{Ordinal, Value, ValueType};

/// All users' values of one tag as a snapshot sees them: a segment, and the live changes on top.
/// Cloning it is cheap.
#[derive(Clone)]
pub struct TagView {
    segment: Segment,
    overlay: Option<Arc<TagOverlay>>,
    /// Users of the segment who are deleted.
    deleted: Arc<Bitmap>,
}

impl TagView {
    /// `deleted` are the deleted users that the index still holds; the overlay is of the segment's
    /// type.
    pub(crate) fn new(
        segment: Segment,
        overlay: Option<Arc<TagOverlay>>,
        deleted: Arc<Bitmap>,
    ) -> Self {
        let overlay = overlay.filter(|overlay| {
            !overlay.is_empty() && overlay.tag.value_type == segment.value_type()
        });
        Self { segment, overlay, deleted }
    }

    /// The type of the values.
    pub fn value_type(&self) -> ValueType {
        self.segment.value_type()
    }

    /// The segment beneath, without the live changes.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The same without the live changes; the deleted stay hidden.
    pub(crate) fn without_changes(&self) -> Self {
        Self { overlay: None, ..self.clone() }
    }

    pub(crate) fn overlay(&self) -> Option<&Arc<TagOverlay>> {
        self.overlay.as_ref()
    }

    /// Whether live changes or deletions make it differ from the segment.
    pub fn is_changed(&self) -> bool {
        self.overlay.is_some() || !self.deleted.is_empty()
    }

    /// The users whose values in the segment are outdated.
    pub(crate) fn hidden(&self) -> Arc<Bitmap> {
        match &self.overlay {
            None => self.deleted.clone(),
            Some(overlay) if self.deleted.is_empty() => overlay.touched().clone(),
            Some(overlay) => Arc::new(overlay.touched().or(&self.deleted)),
        }
    }

    fn is_set(&self) -> bool {
        self.value_type() == ValueType::Set
    }

    /// The users who have a value.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn existence(&self) -> Result<UserSet> {
        if !self.is_changed() {
            return Ok(UserSet::Stored(self.segment.existence().clone()));
        }
        let stored = self.segment.existence().to_bitmap()?.and_not(&self.hidden());
        Ok(UserSet::Owned(Arc::new(stored.or(&self.live_users()?))))
    }

    /// The number of users who have a value.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn users(&self) -> Result<u64> {
        if !self.is_changed() {
            return Ok(self.segment.users());
        }
        let hidden = overlap(
            &[UserSet::Owned(self.hidden())],
            &[UserSet::Stored(self.segment.existence().clone())],
            None,
        )?;
        Ok(self.segment.users() - hidden.iter().sum::<u64>() + self.live_users()?.len())
    }

    /// Those of the touched users who have a value.
    pub(crate) fn live_users(&self) -> Result<Bitmap> {
        let Some(overlay) = &self.overlay else { return Ok(Bitmap::new()) };
        if !self.is_set() {
            return Ok(overlay.having());
        }
        // Whoever has an addition left has a member; of the others those who keep one that is
        // stored.
        let merged = overlay.merged();
        let mut users: Vec<Ordinal> = Vec::new();
        for of_user in merged.chunk_by(|a, b| a.ordinal == b.ordinal) {
            let ordinal = of_user[0].ordinal;
            let has = of_user.iter().any(|entry| entry.op() == Op::Add)
                || (of_user[0].op() != Op::Clear && self.value_of(ordinal)?.is_some());
            if has {
                users.push(ordinal);
            }
        }
        Ok(Bitmap::from_sorted(&users))
    }

    /// The value of one user.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn value_of(&self, ordinal: Ordinal) -> Result<Option<Value>> {
        if self.deleted.contains(ordinal) {
            return Ok(None);
        }
        let Some(overlay) = &self.overlay else { return self.segment.value_of(ordinal) };
        if self.is_set() {
            let mut members = match self.segment.value_of(ordinal)? {
                Some(Value::Set(members)) => members,
                _ => BTreeSet::new(),
            };
            overlay.apply(ordinal, &mut members);
            return Ok((!members.is_empty()).then_some(Value::Set(members)));
        }
        match overlay.latest(ordinal) {
            None => self.segment.value_of(ordinal),
            Some(entry) if entry.op() == Op::Set => Ok(overlay.tag.value_of(entry.value)),
            Some(_) => Ok(None),
        }
    }

    /// All values and their users, in order of the values; for a set its members one by one. None
    /// for numbers. Values that no live change touches stay where they are stored.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn sets(&self) -> Result<Vec<(Value, UserSet)>> {
        let stored = self.segment.sets();
        if !self.is_changed() || self.value_type().is_number() {
            return Ok(stored);
        }
        let mut live = self.live_members();
        let away = self.away_from_all();
        let columns: Vec<UserSet> = stored.iter().map(|(_, members)| members.clone()).collect();
        let shared = if away.is_empty() {
            vec![0; columns.len()]
        } else {
            overlap(&[UserSet::Owned(away.clone())], &columns, None)?
        };
        let mut sets: BTreeMap<Value, UserSet> = BTreeMap::new();
        for ((value, members), shared) in stored.into_iter().zip(shared) {
            let (adds, removes) = live.remove(&value).unwrap_or_default();
            let merged = if shared == 0 && adds.is_empty() && removes.is_empty() {
                members
            } else {
                UserSet::Owned(Arc::new(
                    members.to_bitmap()?.and_not(&away).and_not(&removes).or(&adds),
                ))
            };
            sets.insert(value, merged);
        }
        sets.extend(
            live.into_iter().map(|(value, (adds, _))| (value, UserSet::Owned(Arc::new(adds)))),
        );
        sets.retain(|_, members| !members.is_empty());
        Ok(sets.into_iter().collect())
    }

    /// The users for whom no stored value counts: the touched ones, of a set those who were
    /// cleared; and the deleted.
    pub(crate) fn away_from_all(&self) -> Arc<Bitmap> {
        match &self.overlay {
            Some(overlay) if self.is_set() => Arc::new(overlay.cleared().or(&self.deleted)),
            _ => self.hidden(),
        }
    }

    /// Of each value that live changes name: the users who got it, and (of sets) those who lost it.
    fn live_members(&self) -> BTreeMap<Value, (Bitmap, Bitmap)> {
        let Some(overlay) = &self.overlay else { return BTreeMap::new() };
        let mut users: HashMap<i64, (Vec<Ordinal>, Vec<Ordinal>)> = HashMap::new();
        for entry in overlay.merged() {
            match entry.op() {
                Op::Set | Op::Add => users.entry(entry.value).or_default().0.push(entry.ordinal),
                Op::Remove => users.entry(entry.value).or_default().1.push(entry.ordinal),
                Op::Unset | Op::Clear => {}
            }
        }
        let named = users.into_iter().filter_map(|(value, (adds, removes))| {
            Some((
                overlay.tag.value_of(value)?,
                (Bitmap::from_sorted(&adds), Bitmap::from_sorted(&removes)),
            ))
        });
        named.collect()
    }

    /// All values and how many users have each, in order of the values; for a set its members one
    /// by one. Of numbers it reads all users.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn values(&self) -> Result<Vec<(Value, u64)>> {
        if !self.is_changed() {
            return self.segment.values();
        }
        if !self.value_type().is_number() {
            return Ok(self
                .sets()?
                .into_iter()
                .map(|(value, members)| (value, members.len()))
                .collect());
        }
        let mut units: Vec<i128> = self.pairs()?.into_iter().map(|(_, units)| units).collect();
        units.sort_unstable();
        let counts = units.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64));
        Ok(counts
            .filter_map(|(units, count)| {
                Some((number::value_of_units(units, self.value_type())?, count))
            })
            .collect())
    }

    /// All numbers in units of the type, by ordinal; none for other types.
    pub(crate) fn pairs(&self) -> Result<Vec<(Ordinal, i128)>> {
        let Some(slices) = self.segment.numbers() else { return Ok(Vec::new()) };
        let (hidden, live) = (self.hidden(), self.live_numbers());
        let mut live = live.into_iter().peekable();
        let mut pairs = Vec::with_capacity(self.segment.users() as usize + live.len());
        for (ordinal, units) in slices.iter()? {
            while let Some(pair) = live.next_if(|(next, _)| *next <= ordinal) {
                pairs.push(pair);
            }
            if !hidden.contains(ordinal) {
                pairs.push((ordinal, units));
            }
        }
        pairs.extend(live);
        Ok(pairs)
    }

    fn live_numbers(&self) -> Vec<(Ordinal, i128)> {
        let merged = self.overlay.as_ref().map(|overlay| overlay.merged()).unwrap_or_default();
        merged
            .iter()
            .filter(|entry| entry.op() == Op::Set)
            .map(|entry: &Entry| (entry.ordinal, i128::from(entry.value)))
            .collect()
    }

    /// The numbers in parts whose users have nobody in common: the slices of each, and the users of
    /// them to leave out. Sums, least and greatest, histograms are had by putting the parts'
    /// together.
    ///
    /// # Errors
    /// None that numbers can cause; those of [`BitSlices::from_pairs`] are passed on.
    pub fn numbers(&self) -> Result<Vec<(BitSlices, Option<Arc<Bitmap>>)>> {
        let Some(slices) = self.segment.numbers() else { return Ok(Vec::new()) };
        let mut parts = vec![(slices.clone(), self.is_changed().then(|| self.hidden()))];
        let live = self.live_numbers();
        if !live.is_empty() {
            parts.push((BitSlices::from_pairs(live)?, None));
        }
        Ok(parts)
    }

    /// The users of one value; for a set those who have `value` among theirs (a text).
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn users_of(&self, value: &Value) -> Result<Option<Bitmap>> {
        let stored = self.segment.users_of(value)?;
        if !self.is_changed() || self.value_type().is_number() {
            return Ok(stored);
        }
        let (adds, removes) = self.live_members().remove(value).unwrap_or_default();
        let known = stored.is_some() || !adds.is_empty();
        let left = stored.unwrap_or_default().and_not(&self.away_from_all()).and_not(&removes);
        Ok(known.then(|| left.or(&adds)))
    }

    /// The exact sum over all users, or those in `within`, in units of 10^-scale (scale 0 for an
    /// int). `None` where there is nothing to sum: nobody has a value, or the type is neither
    /// int nor decimal.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn sum(&self, within: Option<&Bitmap>) -> Result<Option<i128>> {
        if !self.is_changed()
            || !matches!(self.value_type(), ValueType::Int | ValueType::Decimal { .. })
        {
            return self.segment.sum(within);
        }
        let (Some(slices), None) = (self.segment.numbers(), within) else {
            return self.sum_within(within);
        };
        // What is kept of the segment, without the old values of whoever was changed or deleted,
        // and with the new ones: the slices of nobody else are read.
        let (count, sum) = slices.sum(None)?.map_or((0, 0), |all| (all.count, all.sum));
        let (hidden, removed) =
            slices.sum(Some(&self.hidden()))?.map_or((0, 0), |hidden| (hidden.count, hidden.sum));
        let live = self.live_numbers();
        let added = live.iter().map(|(_, units)| *units).sum::<i128>();
        Ok((count - hidden + live.len() as u64 > 0).then_some(sum - removed + added))
    }

    fn sum_within(&self, within: Option<&Bitmap>) -> Result<Option<i128>> {
        let stored = self.segment.sum(Some(&self.unchanged(within)?))?;
        let live = self
            .live_numbers()
            .into_iter()
            .filter(|(ordinal, _)| within.is_none_or(|within| within.contains(*ordinal)));
        let live = live.map(|(_, units)| units).reduce(|a, b| a + b);
        Ok(match (stored, live) {
            (Some(stored), Some(live)) => Some(stored + live),
            (one, None) | (None, one) => one,
        })
    }

    /// The least and the greatest number, day or instant of all users, or of those in `within`.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn bounds(&self, within: Option<&Bitmap>) -> Result<Option<(Value, Value)>> {
        if !self.is_changed() || !self.value_type().is_number() {
            return self.segment.bounds(within);
        }
        let stored = self.segment.bounds(Some(&self.unchanged(within)?))?;
        let live = self
            .live_numbers()
            .into_iter()
            .filter(|(ordinal, _)| within.is_none_or(|within| within.contains(*ordinal)));
        let units: Vec<i128> = live.map(|(_, units)| units).collect();
        let value = |units: Option<&i128>| {
            units.and_then(|units| number::value_of_units(*units, self.value_type()))
        };
        let live = value(units.iter().min()).zip(value(units.iter().max()));
        Ok(match (stored, live) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, None) | (None, one) => one,
        })
    }

    /// The users for whom the segment speaks, of all or of those in `within`.
    fn unchanged(&self, within: Option<&Bitmap>) -> Result<Bitmap> {
        let hidden = self.hidden();
        match within {
            Some(within) => Ok(within.and_not(&hidden)),
            None => Ok(self.segment.existence().to_bitmap()?.and_not(&hidden)),
        }
    }
}

impl std::fmt::Debug for TagView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let live = self.overlay.as_ref().map_or(0, |overlay| overlay.len());
        f.debug_struct("TagView").field("segment", &self.segment).field("live", &live).finish()
    }
}
