//! How numbers are distributed over a crowd: how many lie below given bounds, and what follows from it.

use super::BitSlices;
use super::candidates::Candidates;
use super::reader::{Asked, Reader, Shard};
use crate::{Bitmap, Result};
use croaring::Bitmap as Roaring;

/// A pass over the slices settles this many bits of a quantile.
const BITS_A_PASS: u32 = 4;

/// Numbers among which that of a rank is: those whose offset is `low` to `low + 2^bits - 1`.
#[derive(Clone, Copy)]
struct Bracket {
    low: u64,
    bits: u32,
    /// The rank among them, from 0.
    rank: u64,
}

impl BitSlices {
    /// How many numbers of all, or of those in `within`, there are, and how many lie below each of `bounds`, in any order.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn counts_below(&self, within: Option<&Bitmap>, bounds: &[i128]) -> Result<(u64, Vec<u64>)> {
        let offset = |bound: i128| bound.saturating_sub(i128::from(self.min));
        let inner = |bound: i128| (1..=i128::from(self.span())).contains(&offset(bound));
        let mut edges: Vec<u64> = bounds.iter().filter(|bound| inner(**bound)).map(|bound| offset(*bound) as u64).collect();
        edges.sort_unstable();
        edges.dedup();
        let (total, below) = self.below(within, &edges)?;
        let of = |bound: &i128| match offset(*bound) {
            bound if bound <= 0 => 0,
            bound if bound > i128::from(self.span()) => total,
            bound => below[edges.partition_point(|edge| i128::from(*edge) < bound)],
        };
        Ok((total, bounds.iter().map(of).collect()))
    }

    /// How many numbers of all, or of those in `within`, lie from each of `edges`, ascending, to below the next: one count less than
    /// edges. Numbers below the first edge or from the last one on are in none.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn histogram(&self, within: Option<&Bitmap>, edges: &[i64]) -> Result<Vec<u64>> {
        let bounds: Vec<i128> = edges.iter().map(|edge| i128::from(*edge)).collect();
        let (_, below) = self.counts_below(within, &bounds)?;
        Ok(below.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect())
    }

    /// The quantiles of all numbers, or of those in `within`, by nearest rank: of `n` numbers in order the one at position ⌈q × n⌉, counted
    /// from 1, and the first one for q = 0. One for each of `quantiles`, which are 0 to 1 (others count as the nearer of both); none at all
    /// when nobody has a number.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn quantiles(&self, within: Option<&Bitmap>, quantiles: &[f64]) -> Result<Vec<i64>> {
        let (total, _) = self.below(within, &[])?;
        if total == 0 {
            return Ok(Vec::new());
        }
        // Exact up to 2^53, which is more than there are users.
        let rank = |q: &f64| ((q * total as f64).ceil() as u64).clamp(1, total) - 1;
        let bracket = |q: &f64| Bracket { low: 0, bits: self.slices, rank: rank(q) };
        let mut brackets: Vec<Bracket> = quantiles.iter().map(bracket).collect();
        while brackets.iter().any(|bracket| bracket.bits > 0) {
            self.narrow(within, &mut brackets)?;
        }
        Ok(brackets.into_iter().map(|bracket| self.number(bracket.low)).collect())
    }

    /// Makes all brackets narrower by [`BITS_A_PASS`].
    fn narrow(&self, within: Option<&Bitmap>, brackets: &mut [Bracket]) -> Result<()> {
        let parts = |bracket: &Bracket| {
            let (low, bits) = (bracket.low, bracket.bits.saturating_sub(BITS_A_PASS));
            (0..1_u64 << (bracket.bits - bits)).map(move |part| low + (part << bits))
        };
        let mut edges: Vec<u64> = brackets.iter().flat_map(parts).filter(|edge| *edge > 0).collect();
        edges.sort_unstable();
        edges.dedup();
        let (_, counts) = self.below(within, &edges)?;
        let below = |edge: u64| if edge == 0 { 0 } else { counts[edges.partition_point(|other| *other < edge)] };
        for bracket in brackets.iter_mut() {
            let rank = bracket.rank + below(bracket.low);
            let low = parts(bracket).take_while(|part| below(*part) <= rank).last().unwrap_or(bracket.low);
            *bracket = Bracket { low, bits: bracket.bits.saturating_sub(BITS_A_PASS), rank: rank - below(low) };
        }
        Ok(())
    }

    /// How many there are, and how many offsets lie below each of `edges`, ascending, each once and none of them 0.
    fn below(&self, within: Option<&Bitmap>, edges: &[u64]) -> Result<(u64, Vec<u64>)> {
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
    fn bins(&self, shard: &Shard<'_>, within: Option<&Roaring>, edges: &[u64]) -> Vec<u64> {
        let mut bins = vec![0; edges.len() + 1];
        let mut uppers = vec![Candidates::none(); self.slices as usize];
        shard.ask(within, true, |asked, slices| {
            for Asked { key, candidates, .. } in asked {
                Descent { slices, key: *key, bins: &mut bins }.descend(candidates, &mut uppers, 0, edges, 0);
            }
        });
        bins
    }
}

/// Parts candidates by one bit after another, but only where an edge parts them.
struct Descent<'d, 'a, 'r> {
    slices: &'d mut Reader<'a, 'r>,
    key: u16,
    bins: &'d mut [u64],
}

impl Descent<'_, '_, '_> {
    /// Counts `candidates`, whose offsets are `from` to `from + 2^bits - 1`; `edges` lie there and above `from`. The first bin is `bin`.
    /// There are `bits` places in `uppers`, for those who have a bit.
    fn descend(&mut self, candidates: &mut Candidates, uppers: &mut [Candidates], from: u64, edges: &[u64], bin: usize) {
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
