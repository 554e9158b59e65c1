use crate::partial::AnyPartial;
use crate::spec::Spec;

/// What an aggregate keeps of one user's events: partial aggregates of the tiles that hold any,
/// oldest first.
#[derive(Debug, Clone, Default)]
pub struct AggregateState {
    tiles: Vec<(i64, AnyPartial)>,
}

impl AggregateState {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.tiles.is_empty()
    }

    pub(crate) fn tiles(&self) -> &[(i64, AnyPartial)] {
        &self.tiles
    }

    /// The partial aggregate of a tile, a new one if need be.
    pub(crate) fn tile(&mut self, tile: i64, spec: &Spec) -> &mut AnyPartial {
        let at = self.tiles.partition_point(|(held, _)| *held < tile);
        if self.tiles.get(at).is_none_or(|(held, _)| *held != tile) {
            self.tiles.insert(at, (tile, AnyPartial::new(spec.function, spec.quotients)));
        }
        &mut self.tiles[at].1
    }

    pub(crate) fn newest(&self) -> Option<i64> {
        self.tiles.last().map(|(tile, _)| *tile)
    }

    /// The oldest tile from `first` to `last` that holds events.
    pub(crate) fn oldest(&self, first: i64, last: i64) -> Option<i64> {
        self.tiles.iter().map(|(tile, _)| *tile).find(|tile| (first..=last).contains(tile))
    }

    /// Lets go of tiles that no later window holds.
    pub(crate) fn drop_before(&mut self, tile: i64) {
        let gone = self.tiles.partition_point(|(held, _)| *held < tile);
        self.tiles.drain(..gone);
    }

    /// The tiles from `first` to `last` as one.
    pub(crate) fn merged(&self, first: i64, last: i64) -> Option<AnyPartial> {
        let mut within = self
            .tiles
            .iter()
            .filter(|(tile, _)| (first..=last).contains(tile))
            .map(|(_, partial)| partial);
        let mut all = within.next()?.clone();
        within.for_each(|partial| all.merge(partial));
        Some(all)
    }
}
