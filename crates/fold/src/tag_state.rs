//! What is kept of one user under one aggregate tag: the partial aggregates of the tiles that hold
//! any, oldest first, as bytes.
//!
//! ```text
//! state: the first tile, signed | its partial aggregate | for each further tile: the gap before it, less one | its partial aggregate
//! ```
//!
//! Counts and sums begin with a number that is mostly small ([`PartialForm::leads`]). With the gap
//! of a further tile it is one byte, if both are small:
//!
//! ```text
//! 0gggllll               gap less one 0 to 7, lead 1 to 16
//! 1ggggggg lead          gap less one 0 to 126
//! 11111111 gap lead      gap less 128
//! ```
//!
//! So a count of 180 days is 180 bytes for somebody with a few events on each. Merging is
//! concatenation for tiles that only one of two states has. An empty state has no bytes.

use crate::journey::Look;
use crate::partial::{AnyPartial, PartialForm, put, put_signed, take, take_signed};
use crate::plan::{PlannedKind, PlannedTag};
use crate::{Error, FoldPlan, Outcome, Result};
use taghouse_model::TimestampMs;

/// The version of the bytes; what stores them notes it.
pub const STATE_VERSION: u8 = 2;

/// One aggregate tag of a plan, and what is done with its states. Steps are taken by
/// [`crate::TileFold`]; merges commute.
#[derive(Clone, Copy)]
pub struct TagFold<'a> {
    pub(crate) tag: &'a PlannedTag,
}

impl FoldPlan {
    /// The tag of this number.
    pub fn tag(&self, tag: usize) -> TagFold<'_> {
        TagFold { tag: &self.tags[tag] }
    }
}

impl TagFold<'_> {
    pub(crate) fn planned(&self) -> &PlannedTag {
        self.tag
    }

    /// A state with what both have seen.
    ///
    /// # Errors
    /// [`Error::State`] for bytes that are not of this tag.
    pub fn merge(&self, state: &[u8], more: &[u8]) -> Result<Vec<u8>> {
        let form = self.tag.form();
        let (mut left, mut right) = (TileBytes::new(form, state), TileBytes::new(form, more));
        let (mut a, mut b) = (left.next()?, right.next()?);
        let mut out = StateWriter::with_capacity(state.len() + more.len());
        loop {
            match (a, b) {
                (None, None) => return Ok(out.bytes),
                (Some(tile), None) => {
                    out.push(form, tile);
                    a = left.next()?;
                }
                (None, Some(tile)) => {
                    out.push(form, tile);
                    b = right.next()?;
                }
                (Some(x), Some(y)) if x.tile < y.tile => {
                    out.push(form, x);
                    a = left.next()?;
                }
                (Some(x), Some(y)) if x.tile > y.tile => {
                    out.push(form, y);
                    b = right.next()?;
                }
                (Some(x), Some(y)) => {
                    let mut both = x.partial(form)?;
                    both.merge(form, &y.partial(form)?);
                    out.write(form, x.tile, &both);
                    a = left.next()?;
                    b = right.next()?;
                }
            }
        }
    }

    /// The state without the tiles that are out of the window as of `watermark_ms` and ever after:
    /// as far as time is known to have gone, not as far as an event says.
    ///
    /// # Errors
    /// As [`TagFold::merge`].
    pub fn trim(&self, state: &mut Vec<u8>, watermark_ms: TimestampMs) -> Result<()> {
        let (first, _) = self.tag.span.range(watermark_ms);
        let form = self.tag.form();
        let mut tiles = TileBytes::new(form, state);
        let Some(oldest) = tiles.next()? else { return Ok(()) };
        if oldest.tile >= first {
            return Ok(());
        }
        let mut kept = StateWriter::with_capacity(state.len());
        while let Some(tile) = tiles.next()? {
            if tile.tile >= first {
                kept.push(form, tile);
            }
        }
        *state = kept.bytes;
        Ok(())
    }

    /// What the state comes to as of an instant, with the reason if the tag cannot hold it. Tiles
    /// after the instant's do not count; events in the instant's own tile do, so ask for no
    /// instant before the newest event.
    ///
    /// # Errors
    /// As [`TagFold::merge`].
    pub fn outcome(&self, state: &[u8], as_of_ms: TimestampMs) -> Result<Outcome> {
        Ok(self.look(state, as_of_ms)?.outcome)
    }

    /// Whether values change by time alone in other ways than by tiles that come into the window
    /// or leave it: [`TagFold::look`] says when.
    pub fn moves(&self) -> bool {
        matches!(self.tag.kind, PlannedKind::State(_) | PlannedKind::Sequence { .. })
    }

    /// The same, with the instant until which it holds.
    ///
    /// # Errors
    /// As [`TagFold::merge`].
    pub fn look(&self, state: &[u8], as_of_ms: TimestampMs) -> Result<Look> {
        let form = self.tag.form();
        let (first, last) = self.tag.span.range(as_of_ms);
        let mut tiles = TileBytes::new(form, state);
        let mut all: Option<AnyPartial> = None;
        while let Some(tile) = tiles.next()? {
            if tile.tile < first {
                continue;
            }
            if tile.tile > last {
                break;
            }
            let partial = tile.partial(form)?;
            match &mut all {
                Some(all) => all.merge(form, &partial),
                None => all = Some(partial),
            }
        }
        Ok(all.map_or(Look::steady(Outcome::Nothing), |all| self.tag.look(all, as_of_ms)))
    }

    /// The first as-of time after the given one at which a tile with events comes into the window
    /// or leaves it, so that the value may change without any event; `None` if there is none.
    ///
    /// # Errors
    /// As [`TagFold::merge`].
    pub fn next_change(&self, state: &[u8], as_of_ms: TimestampMs) -> Result<Option<TimestampMs>> {
        let span = &self.tag.span;
        let (first, last) = span.range(as_of_ms);
        let mut tiles = TileBytes::new(self.tag.form(), state);
        let mut leaves = None;
        while let Some(tile) = tiles.next()? {
            if tile.tile < first {
                continue;
            }
            if tile.tile > last {
                let comes = span.comes(tile.tile);
                return Ok(leaves.into_iter().chain(comes).min());
            }
            leaves = leaves.or_else(|| span.leaves(tile.tile));
        }
        Ok(leaves)
    }
}

/// One tile of a state.
#[derive(Clone, Copy)]
pub(crate) struct TileSlice<'a> {
    pub(crate) tile: i64,
    /// 0 for a form that has none.
    pub(crate) lead: u128,
    /// What is behind the lead.
    pub(crate) bytes: &'a [u8],
}

impl TileSlice<'_> {
    pub(crate) fn partial(&self, form: PartialForm) -> Result<AnyPartial> {
        AnyPartial::read(form, self.lead, &mut &*self.bytes).ok_or(Error::State)
    }
}

/// Goes through the tiles of a state.
pub(crate) struct TileBytes<'a> {
    form: PartialForm,
    rest: &'a [u8],
    before: Option<i64>,
}

impl<'a> TileBytes<'a> {
    pub(crate) fn new(form: PartialForm, state: &'a [u8]) -> Self {
        Self { form, rest: state, before: None }
    }

    /// Of the part of a state that comes behind a tile.
    pub(crate) fn behind(form: PartialForm, rest: &'a [u8], tile: i64) -> Self {
        Self { form, rest, before: Some(tile) }
    }

    /// The bytes that are not gone through.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn next(&mut self) -> Result<Option<TileSlice<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let TileHead { tile, lead } = self.head().ok_or(Error::State)?;
        let from = self.rest;
        AnyPartial::skip(self.form, &mut self.rest).ok_or(Error::State)?;
        self.before = Some(tile);
        Ok(Some(TileSlice { tile, lead, bytes: &from[..from.len() - self.rest.len()] }))
    }

    fn head(&mut self) -> Option<TileHead> {
        let leads = self.form.leads();
        let Some(before) = self.before else {
            let tile = i64::try_from(take_signed(&mut self.rest)?).ok()?;
            let lead = if leads { take(&mut self.rest)? } else { 0 };
            return Some(TileHead { tile, lead });
        };
        let GapLead { gap, lead } = match leads {
            true => GapLead::take(&mut self.rest)?,
            false => GapLead { gap: take(&mut self.rest)?, lead: 0 },
        };
        let tile = i128::try_from(gap).ok()?.checked_add(i128::from(before) + 1)?;
        Some(TileHead { tile: i64::try_from(tile).ok()?, lead })
    }
}

/// What comes before a partial aggregate.
struct TileHead {
    tile: i64,
    lead: u128,
}

/// The gap before a further tile, less one, and its lead.
struct GapLead {
    gap: u128,
    lead: u128,
}

/// The head is not one byte.
const WIDE: u8 = 0x80;
/// The gap of a wide head that begins with it is behind it.
const WIDEST: u128 = 0x7f;

impl GapLead {
    fn put(&self, out: &mut Vec<u8>) {
        if self.gap < 8 && (1..=16).contains(&self.lead) {
            out.push((self.gap as u8) << 4 | (self.lead - 1) as u8);
            return;
        }
        out.push(WIDE | self.gap.min(WIDEST) as u8);
        if self.gap >= WIDEST {
            put(out, self.gap - WIDEST);
        }
        put(out, self.lead);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (first, rest) = from.split_first()?;
        *from = rest;
        if first & WIDE == 0 {
            return Some(Self { gap: u128::from(first >> 4), lead: u128::from(first & 0xf) + 1 });
        }
        let mut gap = u128::from(first & !WIDE);
        if gap == WIDEST {
            gap = gap.checked_add(take(from)?)?;
        }
        Some(Self { gap, lead: take(from)? })
    }
}

/// Writes the tiles of a state, which come in order.
#[derive(Default)]
pub(crate) struct StateWriter {
    pub(crate) bytes: Vec<u8>,
    before: Option<i64>,
}

impl StateWriter {
    fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), before: None }
    }

    /// Writes behind these bytes.
    pub(crate) fn behind(bytes: Vec<u8>) -> Self {
        Self { bytes, before: None }
    }

    /// Goes on behind a tile that the bytes end with.
    pub(crate) fn behind_tile(bytes: Vec<u8>, tile: i64) -> Self {
        Self { bytes, before: Some(tile) }
    }

    /// Begins another state behind the one before.
    pub(crate) fn restart(&mut self) {
        self.before = None;
    }

    /// Writes a tile.
    pub(crate) fn write(&mut self, form: PartialForm, tile: i64, partial: &AnyPartial) {
        match form.leads() {
            true => self.begin_with(tile, partial.lead()),
            false => self.begin(tile),
        }
        partial.write(form, &mut self.bytes);
    }

    /// Writes a tile as it stands in another state.
    pub(crate) fn push(&mut self, form: PartialForm, slice: TileSlice<'_>) {
        match form.leads() {
            true => self.begin_with(slice.tile, slice.lead),
            false => self.begin(slice.tile),
        }
        self.bytes.extend_from_slice(slice.bytes);
    }

    /// Begins a tile of a form that leads; what is behind the lead is to follow.
    pub(crate) fn begin_with(&mut self, tile: i64, lead: u128) {
        match self.before {
            None => {
                put_signed(&mut self.bytes, i128::from(tile));
                put(&mut self.bytes, lead);
            }
            Some(before) => {
                GapLead { gap: gap(before, tile), lead }.put(&mut self.bytes);
            }
        }
        self.before = Some(tile);
    }

    /// Begins a tile of another form; its partial aggregate is to follow.
    fn begin(&mut self, tile: i64) {
        match self.before {
            None => put_signed(&mut self.bytes, i128::from(tile)),
            Some(before) => put(&mut self.bytes, gap(before, tile)),
        }
        self.before = Some(tile);
    }
}

/// How many tiles are between two.
fn gap(before: i64, tile: i64) -> u128 {
    (i128::from(tile) - i128::from(before) - 1) as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_180_days_is_a_byte_a_day() {
        let form = PartialForm::Aggregate {
            function: taghouse_rules::AggregateFunction::Count,
            cells: crate::partial::CellKind::Number,
        };
        let mut writer = StateWriter::default();
        for day in 20_000..20_180 {
            let count = crate::partial::Count::of_lead((day % 16 + 1) as u128).unwrap();
            writer.write(form, day, &AnyPartial::Count(count));
        }
        assert!(writer.bytes.len() <= 184, "{} bytes", writer.bytes.len());
    }

    #[test]
    fn gaps_and_leads_of_any_size_come_back() {
        let numbers = [0, 1, 7, 8, 15, 16, 17, 126, 127, 128, 300, u128::from(u64::MAX)];
        for gap in numbers {
            for lead in numbers {
                let mut out = Vec::new();
                GapLead { gap, lead }.put(&mut out);
                if gap < 8 && (1..=16).contains(&lead) {
                    assert_eq!(out.len(), 1);
                }
                let read = GapLead::take(&mut out.as_slice()).unwrap();
                assert_eq!((read.gap, read.lead), (gap, lead));
                assert!(GapLead::take(&mut &out[..out.len() - 1]).is_none());
            }
        }
    }
}
