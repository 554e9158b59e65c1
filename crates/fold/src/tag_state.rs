//! What is kept of one user under one aggregate tag: the partial aggregates of the tiles that hold
//! any, oldest first, as bytes.
//!
//! ```text
//! state: the first tile, signed | its partial aggregate | for each further tile: the gap before it, less one | its partial aggregate
//! ```
//!
//! A count of thirty days is two bytes for each day with events. Merging is concatenation for tiles
//! that only one of two states has. An empty state has no bytes.

use crate::journey::Look;
use crate::partial::{AnyPartial, PartialForm, put, put_signed, take, take_signed};
use crate::plan::{PlannedKind, PlannedTag};
use crate::{Error, FoldPlan, Outcome, Result};
use taghouse_model::TimestampMs;

/// The version of the bytes; what stores them notes it.
pub const STATE_VERSION: u8 = 1;

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
                    out.push(tile);
                    a = left.next()?;
                }
                (None, Some(tile)) => {
                    out.push(tile);
                    b = right.next()?;
                }
                (Some(x), Some(y)) if x.tile < y.tile => {
                    out.push(x);
                    a = left.next()?;
                }
                (Some(x), Some(y)) if x.tile > y.tile => {
                    out.push(y);
                    b = right.next()?;
                }
                (Some(x), Some(y)) => {
                    let mut both = x.partial(form)?;
                    both.merge(form, &y.partial(form)?);
                    out.begin(x.tile);
                    both.write(form, &mut out.bytes);
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
        let mut tiles = TileBytes::new(self.tag.form(), state);
        let Some(oldest) = tiles.next()? else { return Ok(()) };
        if oldest.tile >= first {
            return Ok(());
        }
        let mut kept = StateWriter::with_capacity(state.len());
        while let Some(tile) = tiles.next()? {
            if tile.tile >= first {
                kept.push(tile);
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
    pub(crate) bytes: &'a [u8],
}

impl TileSlice<'_> {
    fn partial(&self, form: PartialForm) -> Result<AnyPartial> {
        AnyPartial::read(form, &mut &*self.bytes).ok_or(Error::State)
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

    pub(crate) fn next(&mut self) -> Result<Option<TileSlice<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tile = match self.before {
            None => take_signed(&mut self.rest).and_then(|tile| i64::try_from(tile).ok()),
            Some(before) => take(&mut self.rest)
                .and_then(|gap| i128::try_from(gap).ok()?.checked_add(i128::from(before) + 1))
                .and_then(|tile| i64::try_from(tile).ok()),
        };
        let tile = tile.ok_or(Error::State)?;
        let from = self.rest;
        AnyPartial::skip(self.form, &mut self.rest).ok_or(Error::State)?;
        self.before = Some(tile);
        Ok(Some(TileSlice { tile, bytes: &from[..from.len() - self.rest.len()] }))
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

    /// Begins another state behind the one before.
    pub(crate) fn restart(&mut self) {
        self.before = None;
    }

    /// Begins a tile; its partial aggregate is to follow.
    pub(crate) fn begin(&mut self, tile: i64) {
        match self.before {
            None => put_signed(&mut self.bytes, i128::from(tile)),
            Some(before) => {
                put(&mut self.bytes, (i128::from(tile) - i128::from(before) - 1) as u128)
            }
        }
        self.before = Some(tile);
    }

    pub(crate) fn push(&mut self, tile: TileSlice<'_>) {
        self.begin(tile.tile);
        self.bytes.extend_from_slice(tile.bytes);
    }
}
