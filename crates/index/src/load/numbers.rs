//! The tags of numbers: of each user the last number counts, and each shard is turned into bit
//! slices.

use super::Shared;
use super::blocks::{Block, PointKind, Reader};
use super::feeder::of_ordered;
use super::key::{low_of, tag_of_number};
use super::latest::Latest;
use super::parts::{Part, parts};
use super::plan::LoadPlan;
use super::run::{RunWriter, ShardRun};
use super::spill::SpillFile;
use super::workers::each;
use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::Arc;
use taghouse_bitmap::{SHARD_SIZE, SliceEncoder};

/// The least and the greatest number of each tag that has any.
pub(super) type Bounds = Vec<Option<(i64, i64)>>;

/// A run for each part, and the bounds of what is in them.
pub(super) fn runs(shared: &Shared, plan: &LoadPlan) -> Result<(Vec<ShardRun>, Bounds)> {
    let shards = shared.options.shards.len();
    let blocks: Vec<Vec<Block>> =
        (0..shards).map(|place| shared.blocks.take(place, PointKind::Numbers)).collect();
    let parts = parts(shards, plan.tags.len(), shared.options.threads);
    let mut bounds: Bounds = plan.tags.iter().map(|tag| tag.bounds).collect();
    loop {
        let done = each(
            shared.options.threads,
            parts.len(),
            || Worker::new(shared, &bounds),
            |worker, number| worker.part(&parts[number], &blocks[parts[number].place]),
        )?;
        let (runs, found): (Vec<ShardRun>, Vec<Bounds>) = done.into_iter().unzip();
        let found = found.into_iter().fold(vec![None; bounds.len()], |all, one| {
            all.into_iter().zip(one).map(|(a, b)| join(a, b)).collect()
        });
        // What was given may reach further than what counted in the end, or than the shards that
        // are built.
        if found == bounds {
            return Ok((runs, bounds));
        }
        bounds = found;
    }
}

fn join(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

struct Worker<'a> {
    shared: &'a Shared,
    bounds: &'a Bounds,
    encoder: SliceEncoder,
    reader: Reader,
    lows: Vec<u32>,
    numbers: Vec<i64>,
    file: Option<Arc<SpillFile>>,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared, bounds: &'a Bounds) -> Self {
        let (encoder, reader) = (SliceEncoder::new(0, 0), Reader::default());
        Self { shared, bounds, encoder, reader, lows: Vec::new(), numbers: Vec::new(), file: None }
    }

    fn part(&mut self, part: &Part, blocks: &[Block]) -> Result<(ShardRun, Bounds)> {
        let shard = self.shared.options.shards.start + part.place as u32;
        let points = self.shared.points_at_once();
        let mut run = RunWriter::new(&self.shared.blocks.spill, points * 4);
        let mut found: Bounds = vec![None; self.bounds.len()];
        let counts = self.count(&part.tags, blocks)?;
        let mut latest = Latest::new(points);
        let mut first = part.tags.start;
        while first < part.tags.end {
            let mut sum = 0;
            let fit = counts[first..part.tags.end].iter().position(|count| {
                sum += (*count).min(SHARD_SIZE as usize);
                sum > points
            });
            let end = fit.map_or(part.tags.end, |fit| first + fit.max(1));
            if counts[first..end].iter().any(|count| *count > 0) {
                latest.clear();
                for block in blocks.iter().filter(|block| block.meets(&(first..end))) {
                    let (keys, numbers) = self.reader.read(block)?;
                    for (key, number) in keys.iter().zip(numbers) {
                        if (first..end).contains(&tag_of_number(*key)) {
                            latest.push(*key, *number);
                        }
                    }
                }
                for of_tag in
                    latest.sorted().chunk_by(|a, b| tag_of_number(a.0) == tag_of_number(b.0))
                {
                    let tag = tag_of_number(of_tag[0].0);
                    found[tag] = self.encode(tag, shard, of_tag, &mut run)?;
                }
            }
            first = end;
        }
        Ok((run.finish(shard, Arc::default(), &mut self.file)?, found))
    }

    fn count(&mut self, tags: &Range<usize>, blocks: &[Block]) -> Result<Vec<usize>> {
        let mut counts = vec![0; self.bounds.len()];
        for block in blocks.iter().filter(|block| block.meets(tags)) {
            self.reader.read(block)?.0.iter().for_each(|key| counts[tag_of_number(*key)] += 1);
        }
        Ok(counts)
    }

    /// Gives the bounds of the rows.
    fn encode(
        &mut self,
        tag: usize,
        shard: u32,
        rows: &[(u64, u64)],
        run: &mut RunWriter<'_>,
    ) -> Result<Option<(i64, i64)>> {
        self.lows.clear();
        self.numbers.clear();
        self.lows.extend(rows.iter().map(|row| low_of(row.0)));
        self.numbers.extend(rows.iter().map(|row| of_ordered(row.1)));
        let (Some((low, high)), Some(min), Some(max)) =
            (self.bounds[tag], self.numbers.iter().min(), self.numbers.iter().max())
        else {
            return Ok(None);
        };
        self.encoder.reset(low, high);
        self.encoder.encode(shard, &self.lows, &self.numbers, |bitmap, cardinality, bytes| {
            let start = run.end();
            run.bytes.extend_from_slice(bytes);
            run.note(tag, bitmap, cardinality, start);
            Ok::<(), Error>(())
        })?;
        run.flush()?;
        Ok(Some((*min, *max)))
    }
}
