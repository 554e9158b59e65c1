//! Comparing: from the highest slice down, for those only who are asked for, until nobody is undecided.

use super::BitSlices;
use super::candidates::{Candidates, Tally};
use super::column::Column;
use crate::blob::{BlobWriter, WORDS};
use crate::part::{Part, Scope};
use crate::view::Held;
use croaring::Bitmap as Roaring;

impl BitSlices {
    /// Those of one shard whose offset is `low` to `high`; of those in `within` only, if that is given.
    pub(crate) fn range<'a>(&self, scope: &Scope<'a>, low: u64, high: u64, within: Option<&Roaring>) -> Part<'a> {
        let mut buffer = scope.pool.take();
        let mut writer = BlobWriter::new(&mut buffer);
        let mut found = [0; WORDS];
        self.for_each_asked(scope.number, low, within, |key, column, candidates| {
            found.fill(0);
            column.between(candidates, self.slices, low, high, &mut found);
            writer.push(key, &found);
        });
        match writer.finish() {
            0 => {
                scope.pool.give(buffer);
                Part::Empty
            }
            len if len == scope.users_len => {
                scope.pool.give(buffer);
                Part::Full
            }
            _ => Part::Held(Held::new(buffer, scope.pool)),
        }
    }

    /// How many there are in [`BitSlices::range`]; nothing is written out.
    pub(crate) fn range_len(&self, shard: u32, low: u64, high: u64, within: Option<&Roaring>) -> u64 {
        let mut tally = Tally::default();
        self.for_each_asked(shard, low, within, |_, column, candidates| column.between(candidates, self.slices, low, high, &mut tally));
        tally.total()
    }

    fn for_each_asked(&self, shard: u32, low: u64, within: Option<&Roaring>, each: impl FnMut(u16, &mut Column<'_, '_>, &mut Candidates)) {
        if let Some(shard) = self.shard(shard) {
            // Somebody without a number has offset 0, which only a range from 0 on takes for one.
            shard.for_each_column(within, low == 0, each);
        }
    }
}
