//! What the tiles of a large state come to that are over: a merge that is kept beside the state, so
//! that an event merges the open tile with it, not all tiles with each other.

use crate::absorb::{Absorb, Absorbed, InWindow, Sides, Step};
use crate::journey::Look;
use crate::partial::AnyPartial;
use crate::tag_state::{StateWriter, TagFold, TileBytes};
use crate::{Outcome, Result};
use taghouse_model::TimestampMs;
use xxhash_rust::xxh3::xxh3_64;

/// The merge of a state's tiles but the newest. It is kept by whoever keeps the state, and is made
/// again where it is not of the state.
#[derive(Debug, Clone)]
pub struct ClosedTiles {
    /// The first tile of the window that it is of.
    first: i64,
    /// The newest of the tiles.
    last: i64,
    /// How many bytes of the state they are, from its beginning.
    bytes: usize,
    /// The hash of those.
    hash: u64,
    merged: AnyPartial,
}

impl ClosedTiles {
    /// About how many bytes of memory it takes.
    pub fn memory_bytes(&self) -> u64 {
        // A cell takes several times what its bytes do.
        (4 * self.bytes + size_of::<Self>()) as u64
    }

    /// Of a state whose tiles are all in the window, or in times to come.
    fn of(tag: TagFold<'_>, state: &[u8], as_of_ms: TimestampMs) -> Result<Option<Self>> {
        let planned = tag.planned();
        let (form, (first, until)) = (planned.form(), planned.span.range(as_of_ms));
        let mut tiles = TileBytes::new(form, state);
        let mut closed: Option<(i64, usize, AnyPartial)> = None;
        let mut newest = tiles.next()?;
        while let Some(tile) = newest {
            if tile.tile < first || tile.tile > until {
                return Ok(None);
            }
            let bytes = state.len() - tiles.rest().len();
            newest = tiles.next()?;
            if newest.is_none() {
                break;
            }
            let partial = tile.partial(form)?;
            closed = Some(match closed {
                Some((_, _, mut merged)) => {
                    merged.merge(form, &partial);
                    (tile.tile, bytes, merged)
                }
                None => (tile.tile, bytes, partial),
            });
        }
        Ok(closed.map(|(last, bytes, merged)| {
            let hash = xxh3_64(&state[..bytes]);
            Self { first, last, bytes, hash, merged }
        }))
    }

    /// Whether it is of this state, and of the window as of then.
    fn fits(&self, tag: TagFold<'_>, state: &[u8], as_of_ms: TimestampMs) -> bool {
        let (first, until) = tag.planned().span.range(as_of_ms);
        self.first == first
            && self.last <= until
            && self.bytes < state.len()
            && xxh3_64(&state[..self.bytes]) == self.hash
    }

    /// What it comes to with tiles behind it.
    fn with(&self, tag: TagFold<'_>, open: InWindow<AnyPartial>, as_of_ms: TimestampMs) -> Look {
        let planned = tag.planned();
        let form = planned.form();
        let Some(open) = open.0 else { return planned.look(self.merged.clone(), as_of_ms) };
        match self.merged.count_with(form, &open) {
            Some(count) => planned.look_count(count),
            None => {
                let mut all = self.merged.clone();
                all.merge(form, &open);
                planned.look(all, as_of_ms)
            }
        }
    }
}

impl TagFold<'_> {
    /// As [`TagFold::absorb`], with what is kept of the state's closed tiles: where that is of
    /// another state it is made again, or goes. For states of a kilobyte and more: small ones are
    /// merged faster.
    ///
    /// # Errors
    /// As [`TagFold::absorb`].
    pub fn absorb_beside(
        &self,
        state: &[u8],
        more: &[u8],
        how: Absorb,
        out: &mut Vec<u8>,
        closed: &mut Option<ClosedTiles>,
        see: impl FnMut(TimestampMs),
    ) -> Result<Absorbed> {
        if self.planned().span.unit_ms().is_none() {
            // Its one tile is never over.
            return self.absorb(state, more, how, out, see);
        }
        let form = self.planned().form();
        let first_new = TileBytes::new(form, more).next()?;
        if !closed.as_ref().is_some_and(|closed| closed.fits(*self, state, how.as_of_ms)) {
            *closed = ClosedTiles::of(*self, state, how.as_of_ms)?;
        }
        // What is late changes tiles that are over.
        let in_order = |closed: &&ClosedTiles| first_new.is_some_and(|new| new.tile > closed.last);
        let Some(of_state) = closed.as_ref().filter(in_order) else {
            return self.absorb(state, more, how, out, see);
        };
        let (over, rest) = state.split_at(of_state.bytes);
        let mut begun = std::mem::take(out);
        begun.extend_from_slice(over);
        let step = Step {
            old: TileBytes::behind(form, rest, of_state.last),
            new: TileBytes::new(form, more),
            how,
        };
        let writer = StateWriter::behind_tile(begun, of_state.last);
        let Sides { before, now } = self.step::<AnyPartial>(step, writer, out, see)?;
        let before = match how.compares {
            true => of_state.with(*self, before, how.as_of_ms).outcome,
            false => Outcome::Nothing,
        };
        Ok(Absorbed { before, now: of_state.with(*self, now, how.as_of_ms) })
    }
}
