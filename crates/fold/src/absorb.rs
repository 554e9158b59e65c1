//! What is new goes into a state, in one pass: the stream does this for each user and tag of a
//! micro-batch.

use crate::cell::{Cell, Natural};
use crate::journey::Look;
use crate::partial::{AnyPartial, CellKind, Count, Partial, PartialForm, Sum};
use crate::tag_state::{StateWriter, TagFold, TileBytes, TileSlice};
use crate::{Error, Outcome, Result};
use std::cmp::Ordering;
use taghouse_model::TimestampMs;
use taghouse_rules::AggregateFunction;

/// How a state takes in what is new.
#[derive(Debug, Clone, Copy)]
pub struct Absorb {
    /// Values are asked for as of this instant.
    pub as_of_ms: TimestampMs,
    /// Drops the tiles that are out of the window as of then, and ever after.
    pub trims: bool,
    /// Whether the value before is asked for.
    pub compares: bool,
}

/// The values of a state that took something in.
#[derive(Debug, Clone)]
pub struct Absorbed {
    /// The one before; nothing where it was not asked for.
    pub before: Outcome,
    /// The one from now on.
    pub now: Look,
}

/// The partial aggregate of a tile, of one kind or of any.
pub(crate) trait TilePartial: Clone {
    fn read(form: PartialForm, slice: TileSlice<'_>) -> Option<Self>;
    fn merge(&mut self, form: PartialForm, other: &Self);
    fn write(&self, form: PartialForm, tile: i64, out: &mut StateWriter);
    fn any(self) -> AnyPartial;
}

impl TilePartial for AnyPartial {
    fn read(form: PartialForm, slice: TileSlice<'_>) -> Option<Self> {
        Self::read(form, slice.lead, &mut &*slice.bytes)
    }

    fn merge(&mut self, form: PartialForm, other: &Self) {
        self.merge(form, other);
    }

    fn write(&self, form: PartialForm, tile: i64, out: &mut StateWriter) {
        out.write(form, tile, self);
    }

    fn any(self) -> AnyPartial {
        self
    }
}

impl TilePartial for Count {
    fn read(_: PartialForm, slice: TileSlice<'_>) -> Option<Self> {
        Self::of_lead(slice.lead)
    }

    fn merge(&mut self, _: PartialForm, other: &Self) {
        Partial::<Cell>::merge(self, other, &Natural);
    }

    fn write(&self, _: PartialForm, tile: i64, out: &mut StateWriter) {
        out.begin_with(tile, self.lead());
    }

    fn any(self) -> AnyPartial {
        AnyPartial::Count(self)
    }
}

impl TilePartial for Sum {
    fn read(_: PartialForm, slice: TileSlice<'_>) -> Option<Self> {
        Self::read(slice.lead, &mut &*slice.bytes)
    }

    fn merge(&mut self, _: PartialForm, other: &Self) {
        Partial::<Cell>::merge(self, other, &Natural);
    }

    fn write(&self, _: PartialForm, tile: i64, out: &mut StateWriter) {
        out.begin_with(tile, self.lead());
        self.write(&mut out.bytes);
    }

    fn any(self) -> AnyPartial {
        AnyPartial::Sum(self)
    }
}

/// The tiles of a state, and those that come to them.
pub(crate) struct Step<'a> {
    pub(crate) old: TileBytes<'a>,
    pub(crate) new: TileBytes<'a>,
    pub(crate) how: Absorb,
}

/// What tiles come to before and after.
pub(crate) struct Sides<P> {
    pub(crate) before: InWindow<P>,
    pub(crate) now: InWindow<P>,
}

/// What the tiles in the window come to.
pub(crate) struct InWindow<P>(pub(crate) Option<P>);

impl<P: TilePartial> InWindow<P> {
    fn add(&mut self, form: PartialForm, partial: &P) {
        match &mut self.0 {
            Some(all) => all.merge(form, partial),
            None => self.0 = Some(partial.clone()),
        }
    }
}

impl TagFold<'_> {
    /// Writes behind `out` what `state` and `more` come to, as [`TagFold::merge`] gives it, and
    /// gives the values before and after it, as [`TagFold::look`] does. Shows every as-of time
    /// after the asked one at which a tile that `state` does not have comes into the window or
    /// leaves it.
    ///
    /// # Errors
    /// [`Error::State`] for bytes that are not of this tag; `out` is empty then.
    pub fn absorb(
        &self,
        state: &[u8],
        more: &[u8],
        how: Absorb,
        out: &mut Vec<u8>,
        see: impl FnMut(TimestampMs),
    ) -> Result<Absorbed> {
        use AggregateFunction as F;
        let form = self.tag.form();
        let writer = StateWriter::behind(std::mem::take(out));
        let step = Step { old: TileBytes::new(form, state), new: TileBytes::new(form, more), how };
        match form {
            PartialForm::Aggregate { function: F::Count, .. } => {
                self.absorb_as::<Count>(step, writer, out, see)
            }
            PartialForm::Aggregate { function: F::Sum | F::Avg, cells: CellKind::Number } => {
                self.absorb_as::<Sum>(step, writer, out, see)
            }
            _ => self.absorb_as::<AnyPartial>(step, writer, out, see),
        }
    }

    fn absorb_as<P: TilePartial>(
        &self,
        step: Step<'_>,
        writer: StateWriter,
        out: &mut Vec<u8>,
        see: impl FnMut(TimestampMs),
    ) -> Result<Absorbed> {
        let as_of_ms = step.how.as_of_ms;
        let Sides { before, now } = self.step::<P>(step, writer, out, see)?;
        let look = |all: InWindow<P>| match all.0 {
            Some(all) => self.tag.look(all.any(), as_of_ms),
            None => Look::steady(Outcome::Nothing),
        };
        Ok(Absorbed { before: look(before).outcome, now: look(now) })
    }

    /// What the tiles in the window come to before and after, of those that are gone through.
    pub(crate) fn step<P: TilePartial>(
        &self,
        step: Step<'_>,
        mut writer: StateWriter,
        out: &mut Vec<u8>,
        mut see: impl FnMut(TimestampMs),
    ) -> Result<Sides<P>> {
        let (form, span) = (self.tag.form(), &self.tag.span);
        let Step { old: mut left, new: mut right, how } = step;
        let (first, last) = span.range(how.as_of_ms);
        let in_window = |tile: i64| first <= tile && tile <= last;
        let (mut before, mut now) = (InWindow::<P>(None), InWindow::<P>(None));
        let (mut old, mut new) = (left.next()?, right.next()?);
        loop {
            let order = match (old, new) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.tile.cmp(&new.tile),
            };
            let from_old = old.filter(|_| order.is_le());
            let from_new = new.filter(|_| order.is_ge());
            let Some(TileSlice { tile, .. }) = from_old.or(from_new) else { break };
            // What a tile comes to is read where it counts, or is added to another.
            let counts = in_window(tile);
            let reads = counts || order.is_eq();
            let read = |slice: Option<TileSlice<'_>>| match slice {
                Some(slice) if reads => P::read(form, slice).map(Some).ok_or(Error::State),
                _ => Ok(None),
            };
            let (was, added) = (read(from_old)?, read(from_new)?);
            if counts {
                if let Some(was) = was.as_ref().filter(|_| how.compares) {
                    before.add(form, was);
                }
                was.iter().chain(&added).for_each(|partial| now.add(form, partial));
            }
            if from_old.is_none() {
                let moments = [span.comes(tile), span.leaves(tile)];
                let moments = moments.into_iter().flatten();
                moments.filter(|at_ms| *at_ms > how.as_of_ms).for_each(&mut see);
            }
            if !how.trims || tile >= first {
                match (was, added) {
                    (Some(mut both), Some(added)) => {
                        both.merge(form, &added);
                        both.write(form, tile, &mut writer);
                    }
                    _ => {
                        from_old.or(from_new).into_iter().for_each(|slice| writer.push(form, slice))
                    }
                }
            }
            if order.is_le() {
                old = left.next()?;
            }
            if order.is_ge() {
                new = right.next()?;
            }
        }
        *out = writer.bytes;
        Ok(Sides { before, now })
    }
}
