//! How numbers are distributed over a crowd: how many lie below given bounds, and what follows from
//! it.

use super::BitSlices;
use super::candidates::Candidates;
use super::reader::{Asked, Reader, Shard};
use crate::{Bitmap, Result};
use croaring::Bitmap as Roaring;

/// A pass over the slices settles this many bits of a number of some rank.
const BITS_A_PASS: u32 = 4;

impl BitSlices {
    /// How many numbers of all, or of those in `within`, there are, and how many lie below each of
    /// `bounds`, in any order.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn counts_below(
        &self,
        within: Option<&Bitmap>,
        bounds: &[i128],
    ) -> Result<(u64, Vec<u64>)> {
        let offset = |bound: i128| bound.saturating_sub(self.min);
        let inner = |bound: i128| (1..=self.span() as i128).contains(&offset(bound));
        let mut edges: Vec<u128> = bounds
            .iter()
            .filter(|bound| inner(**bound))
            .map(|bound| offset(*bound) as u128)
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let (total, below) = self.below(within, &edges)?;
        let of = |bound: &i128| match offset(*bound) {
            bound if bound <= 0 => 0,
            bound if bound > self.span() as i128 => total,
            bound => below[edges.partition_point(|edge| (*edge as i128) < bound)],
        };
        Ok((total, bounds.iter().map(of).collect()))
    }

    /// How many numbers of all, or of those in `within`, lie from each of `edges`, ascending, to
    /// below the next: one count less than edges. Numbers below the first edge or from the last
    /// one on are in none.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn histogram(&self, within: Option<&Bitmap>, edges: &[i128]) -> Result<Vec<u64>> {
        let (_, below) = self.counts_below(within, edges)?;
        Ok(below.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect())
    }

    /// The quantiles of all numbers, or of those in `within`, by nearest rank: of `n` numbers in
    /// order the one at position ⌈q × n⌉, counted from 1, and the first one for q = 0. One for
    /// each of `quantiles`, which are 0 to 1 (others count as the nearer of both); none at all
    /// when nobody has a number.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn quantiles(&self, within: Option<&Bitmap>, quantiles: &[f64]) -> Result<Vec<i128>> {
        let (total, _) = self.below(within, &[])?;
        // Exact up to 2^53, which is more than there are users.
        let rank = |q: &f64| ((q * total as f64).ceil() as u64).max(1) - 1;
        Self::select(&[(self, within)], &quantiles.iter().map(rank).collect::<Vec<_>>())
    }

    /// The numbers at these ranks, counted from 0, when the numbers of all parts are put in one
    /// order; of each part those of all, or of those in its bitmap. One for each of `ranks`, in
    /// their order; a rank beyond the last counts as the last. None at all when nobody has a
    /// number. Takes a pass over each part for four bits of the numbers; a pass for a hundred ranks
    /// takes some ten times as long as for one.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn select(parts: &[(&Self, Option<&Bitmap>)], ranks: &[u64]) -> Result<Vec<i128>> {
        if ranks.is_empty() {
            return Ok(Vec::new());
        }
        let (total, _) = Self::all_below(parts, &[])?;
        let most = parts.iter().max_by_key(|(slices, _)| slices.existence().len());
        let Some(((most, _), last)) = most.zip(total.checked_sub(1)) else { return Ok(Vec::new()) };
        // Edges that are multiples of 2^bits away from where the largest part begins are settled by
        // its higher slices alone.
        let (low, mut bits) =
            bracket(parts.iter().filter_map(|(slices, _)| slices.bounds()), most.min);
        let mut found = vec![low; ranks.len()];
        while bits > 0 {
            // The number of each rank is among the 2^bits from `found`: which part of them?
            let mut different = found.clone();
            different.sort_unstable();
            different.dedup();
            let step = BITS_A_PASS.min(bits);
            bits -= step;
            let inner = (1_usize << step) - 1;
            let edges: Vec<i128> = different
                .iter()
                .flat_map(|low| (1..=inner as i128).map(move |part| low + (part << bits)))
                .collect();
            let (_, below) = Self::all_below(parts, &edges)?;
            for (low, rank) in found.iter_mut().zip(ranks) {
                let first = edges.partition_point(|edge| edge <= low);
                let passed =
                    below[first..first + inner].partition_point(|below| below <= rank.min(&last));
                *low += (passed as i128) << bits;
            }
        }
        Ok(found)
    }

    /// [`BitSlices::counts_below`] of all parts together.
    fn all_below(parts: &[(&Self, Option<&Bitmap>)], bounds: &[i128]) -> Result<(u64, Vec<u64>)> {
        let mut all = (0, vec![0; bounds.len()]);
        for (slices, within) in parts {
            let (total, below) = slices.counts_below(*within, bounds)?;
            all.0 += total;
            all.1.iter_mut().zip(below).for_each(|(all, below)| *all += below);
        }
        Ok(all)
    }

    /// How many there are, and how many offsets lie below each of `edges`, ascending, each once and
    /// none of them 0.
    fn below(&self, within: Option<&Bitmap>, edges: &[u128]) -> Result<(u64, Vec<u64>)> {
        if within.is_none() && edges.is_empty() {
            return Ok((self.existence().len(), Vec::new()));
        }
        let shards = self.shards(within, |shard, within| self.bins(shard, within, edges))?;
        let mut bins = vec![0; edges.len() + 1];
        for shard in shards {
            bins.iter_mut().zip(shard).for_each(|(all, shard)| *all += shard);
        }
        let mut total = 0;
        for bin in &mut bins {
            total += *bin;
            *bin = total;
        }
        bins.pop();
        Ok((total, bins))
    }

    /// How many offsets of one shard lie between the edges: one bin more than edges.
    fn bins(&self, shard: &Shard<'_>, within: Option<&Roaring>, edges: &[u128]) -> Vec<u64> {
        let mut bins = vec![0; edges.len() + 1];
        let mut uppers = vec![Candidates::none(); self.slices as usize];
        shard.ask(within, true, |asked, slices| {
            for Asked { key, candidates, .. } in asked {
                Descent { slices, key: *key, bins: &mut bins }.descend(
                    candidates,
                    &mut uppers,
                    0,
                    edges,
                    0,
                );
            }
        });
        bins
    }
}

/// Where 2^bits numbers begin that hold all between these bounds, and bits: at `origin` or, for
/// numbers beneath it, half of them before it.
fn bracket(bounds: impl Iterator<Item = (i128, i128)>, origin: i128) -> (i128, u32) {
    let beyond = |(beneath, above): (i128, i128), (low, high): (i128, i128)| {
        (beneath.max(origin - low), above.max(high - origin))
    };
    let (beneath, above) = bounds.fold((0, 0), beyond);
    let reach = i128::BITS - above.max(beneath - 1).leading_zeros();
    if beneath > 0 { (origin - (1 << reach), reach + 1) } else { (origin, reach) }
}

/// Parts candidates by one bit after another, but only where an edge parts them.
struct Descent<'d, 'a, 'r> {
    slices: &'d mut Reader<'a, 'r>,
    key: u16,
    bins: &'d mut [u64],
}

impl Descent<'_, '_, '_> {
    /// Counts `candidates`, whose offsets are `from` to `from + 2^bits - 1`; `edges` lie there and
    /// above `from`. The first bin is `bin`. There are `bits` places in `uppers`, for those who
    /// have a bit.
    fn descend(
        &mut self,
        candidates: &mut Candidates,
        uppers: &mut [Candidates],
        from: u128,
        edges: &[u128],
        bin: usize,
    ) {
        if candidates.is_empty() {
            return;
        }
        let (false, Some((ones, uppers))) = (edges.is_empty(), uppers.split_last_mut()) else {
            self.bins[bin] += candidates.len();
            return;
        };
        let middle = from | 1 << uppers.len();
        let (lower, upper) = edges.split_at(edges.partition_point(|edge| *edge < middle));
        let upper = if upper.first() == Some(&middle) { &upper[1..] } else { upper };
        candidates.split(self.slices.bits(uppers.len() as u32, self.key), ones);
        self.descend(candidates, uppers, from, lower, bin);
        self.descend(ones, uppers, middle, upper, bin + edges.len() - upper.len());
    }
}
