//! Bitmaps of the tags with values: bools, enums, sets.
//!
//! A part of a shard is a counting sort of its points by value (Knuth, The Art of Computer Programming,
//! volume 3, section 5.2, "distribution counting"), in rounds:
//!
//! 1. Count the points of each value.
//! 2. Take as many values as memory allows, and scatter their ordinals to consecutive places.
//! 3. Encode the ordinals of each value as one bitmap; repeat from 2 with the next values.
//! 4. Redo the tags in which a user has several values, keeping the last one.
//!
//! With n points, v values and r rounds this takes O(n · r + v), and one round is the usual case.
//! Pieces (ordinals that arrived already encoded) take part in the same rounds.

use super::Shared;
use super::blocks::Reader;
use super::key::{code_key, of_code_key};
use super::latest::Latest;
use super::parts::{Part, parts};
use super::pieces::PieceHead;
use super::plan::LoadPlan;
use super::points::{ShardPoints, for_each_point};
use super::run::{RunWriter, ShardRun};
use super::spill::SpillFile;
use super::workers::each;
use crate::error::Result;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use taghouse_bitmap::{SHARD_SIZE, ShardEncoder};
use taghouse_model::ValueType;

/// Marks a value that is not part of the round.
const ELSEWHERE: u32 = u32::MAX;
/// The memory of a piece during its round, in points.
const PIECE_WEIGHT: usize = size_of::<ShardPiece>() / size_of::<u32>();

/// A run for each part, in parallel.
pub(super) fn runs(shared: &Shared, plan: &LoadPlan) -> Result<Vec<ShardRun>> {
    let shards = shared.options.shards.len();
    let parts = parts(shards, plan.tags.len(), shared.options.threads);
    // Each part holds its shard's points, so that they go with the last of them.
    let mut points = Vec::with_capacity(parts.len());
    for of_shard in parts.chunk_by(|a, b| a.place == b.place) {
        let shard_points = Arc::new(ShardPoints::take(shared, of_shard[0].place));
        points.extend(of_shard.iter().map(|_| Mutex::new(Some(shard_points.clone()))));
    }
    each(
        shared.options.threads,
        parts.len(),
        || Worker::new(shared, plan),
        |worker, number| {
            let shard_points = points[number].lock().take().unwrap_or_default();
            worker.part(&parts[number], &shard_points)
        },
    )
}

struct Worker<'a> {
    shared: &'a Shared,
    plan: &'a LoadPlan,
    shard: u32,
    /// The tags of the part.
    tags: Range<usize>,
    /// By value's number: points in the shard, and where the next one goes.
    counts: Vec<u32>,
    next: Vec<u32>,
    /// The scattered ordinals.
    lows: Vec<u32>,
    /// By value's number: pieces in the shard, and where the next one goes.
    piece_counts: Vec<u32>,
    next_piece: Vec<u32>,
    /// The pieces of the round's values, in the order of values.
    pieces: Vec<ShardPiece>,
    value: ShardEncoder,
    existence: ShardEncoder,
    reader: Reader,
    buffer: Vec<u8>,
    file: Option<Arc<SpillFile>>,
}

/// A piece of the shard.
#[derive(Clone, Default)]
struct ShardPiece {
    /// The index of its block.
    block: u32,
    head: PieceHead,
}

/// Where the scattered input of one value is.
struct Turn {
    lows: Range<usize>,
    pieces: Range<usize>,
}

/// The tag that is being written.
struct Current {
    tag: usize,
    /// Entries of the run before it.
    entries: usize,
    /// Bytes of the run before it.
    start: u64,
    /// Whether several of its values occur in the shard.
    several: bool,
    /// The sum over the values written. It exceeds the number of users if one has two values.
    cardinality: u64,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared, plan: &'a LoadPlan) -> Self {
        Self {
            shared,
            plan,
            shard: 0,
            tags: 0..0,
            counts: Vec::new(),
            next: Vec::new(),
            lows: Vec::new(),
            piece_counts: Vec::new(),
            next_piece: Vec::new(),
            pieces: Vec::new(),
            value: ShardEncoder::new(),
            existence: ShardEncoder::new(),
            reader: Reader::default(),
            buffer: Vec::new(),
            file: None,
        }
    }

    /// Writes the run of one part: the steps of the module's documentation.
    fn part(&mut self, part: &Part, shard_points: &ShardPoints) -> Result<ShardRun> {
        self.shard = self.shared.options.shards.start + part.place as u32;
        self.tags = part.tags.clone();
        let points = self.shared.points_at_once();
        let mut run = RunWriter::new(&self.shared.blocks.spill, points * 4);
        let any_points = shard_points.blocks_of(&self.tags).next().is_some();
        if any_points || shard_points.pieces_of(&self.tags).next().is_some() {
            // 1. Count.
            self.count(shard_points)?;

            // 2. and 3. Scatter and encode, round by round. A single value needs no scattering.
            let mut conflicts = Vec::new();
            let mut current = None;
            let places = self.plan.places_of(&self.tags);
            let mut done = places.start;
            while done < places.end {
                let round = self.round(done..places.end, points);
                if round.len() > 1 {
                    self.scatter(shard_points, round.clone())?;
                }
                self.encode(shard_points, round.clone(), &mut current, &mut run, &mut conflicts)?;
                done = round.end;
            }
            self.end_tag(current, &mut run, &mut conflicts)?;

            // 4. Redo the tags with conflicts.
            self.resolve(shard_points, &conflicts, points, &mut run)?;
        }
        run.finish(self.shard, shard_points.pieces.clone(), &mut self.file)
    }

    fn count(&mut self, shard_points: &ShardPoints) -> Result<()> {
        for counts in [&mut self.counts, &mut self.piece_counts] {
            counts.clear();
            counts.resize(self.plan.numbers.len(), 0);
        }
        for (_, block) in shard_points.pieces_of(&self.tags) {
            for piece in block.heads(&mut self.buffer)? {
                self.piece_counts[self.plan.number_of(piece.value()) as usize] += 1;
            }
        }
        for block in shard_points.blocks_of(&self.tags) {
            for key in self.reader.read(block)?.0 {
                let (tag, code, _) = of_code_key(*key);
                let count = &mut self.counts[(self.plan.firsts[tag] + code) as usize];
                *count = count.saturating_add(1);
            }
        }
        Ok(())
    }

    fn count_at(&self, place: usize) -> usize {
        self.counts[self.plan.numbers[place] as usize] as usize
    }

    fn pieces_at(&self, place: usize) -> usize {
        self.piece_counts[self.plan.numbers[place] as usize] as usize
    }

    fn occurs(&self, place: usize) -> bool {
        self.count_at(place) + self.pieces_at(place) > 0
    }

    /// The first of these places whose points and pieces fit in the memory of `points` points; at
    /// least one.
    fn round(&self, places: Range<usize>, points: usize) -> Range<usize> {
        let mut end = places.start;
        let mut sum = 0;
        while end < places.end {
            sum += self.count_at(end) + PIECE_WEIGHT * self.pieces_at(end);
            if sum > points && end > places.start {
                break;
            }
            end += 1;
        }
        places.start..end
    }

    /// Moves the ordinals of each place of the round next to each other, in the order of input, and
    /// likewise its pieces.
    fn scatter(&mut self, shard_points: &ShardPoints, round: Range<usize>) -> Result<()> {
        for next in [&mut self.next, &mut self.next_piece] {
            next.clear();
            next.resize(self.counts.len(), ELSEWHERE);
        }
        let (mut end, mut pieces_end) = (0, 0);
        for place in round.clone() {
            let number = self.plan.numbers[place] as usize;
            (self.next[number], self.next_piece[number]) = (end, pieces_end);
            end += self.counts[number];
            pieces_end += self.piece_counts[number];
        }
        self.scatter_pieces(shard_points, pieces_end as usize)?;
        if self.lows.len() < end as usize {
            self.lows.resize(end as usize, 0);
        }
        if end == 0 {
            return Ok(());
        }
        for block in shard_points.blocks_of(&self.tags) {
            for key in self.reader.read(block)?.0 {
                let (tag, code, low) = of_code_key(*key);
                let next = &mut self.next[(self.plan.firsts[tag] + code) as usize];
                if *next != ELSEWHERE {
                    self.lows[*next as usize] = low;
                    *next += 1;
                }
            }
        }
        Ok(())
    }

    fn scatter_pieces(&mut self, shard_points: &ShardPoints, count: usize) -> Result<()> {
        self.pieces.clear();
        self.pieces.resize_with(count, Default::default);
        for (block, pieces) in shard_points.pieces_of(&self.tags).filter(|_| count > 0) {
            for piece in pieces.heads(&mut self.buffer)? {
                let next = &mut self.next_piece[self.plan.number_of(piece.value()) as usize];
                if *next != ELSEWHERE {
                    self.pieces[*next as usize] = ShardPiece { block: block as u32, head: piece };
                    *next += 1;
                }
            }
        }
        Ok(())
    }

    fn encode(
        &mut self,
        shard_points: &ShardPoints,
        round: Range<usize>,
        current: &mut Option<Current>,
        run: &mut RunWriter<'_>,
        conflicts: &mut Vec<usize>,
    ) -> Result<()> {
        let alone = round.len() == 1;
        let (mut done, mut pieces_done) = (0, 0);
        for place in round {
            if !self.occurs(place) {
                continue;
            }
            let before = current.as_ref().map_or(0, |current| current.tag);
            let tag = self.plan.tag_of(place as u32, before);
            if current.as_ref().is_none_or(|current| current.tag != tag) {
                self.end_tag(current.replace(self.begin_tag(tag, run)), run, conflicts)?;
                if let Some(current) = current {
                    (current.entries, current.start) = (run.entries.len(), run.end());
                }
            }
            let Some(current) = current else { continue };
            let cardinality = if alone {
                self.encode_alone(shard_points, place, current, run)?
            } else {
                let turn = Turn {
                    lows: done..done + self.count_at(place),
                    pieces: pieces_done..pieces_done + self.pieces_at(place),
                };
                (done, pieces_done) = (turn.lows.end, turn.pieces.end);
                self.encode_value(shard_points, place, turn, current, run)?
            };
            current.cardinality += u64::from(cardinality);
            if self.plan.tags[tag].value_type == ValueType::Set {
                run.flush()?;
            }
        }
        Ok(())
    }

    /// Writes one value, or refers to its piece if that is all there is.
    fn encode_value(
        &mut self,
        shard_points: &ShardPoints,
        place: usize,
        turn: Turn,
        current: &Current,
        run: &mut RunWriter<'_>,
    ) -> Result<u32> {
        let bitmap = self.bitmap_of(place, current.tag);
        let start = run.end();
        let existence = current.several.then_some(&mut self.existence);
        let (lows, pieces) = (&self.lows[turn.lows], &self.pieces[turn.pieces]);
        let cardinality = match (lows, pieces) {
            (lows, []) => self.value.encode(self.shard, lows, existence, &mut run.bytes),
            ([], [ShardPiece { block: number, head: piece }]) => {
                let block = &shard_points.pieces[*number as usize];
                let blob = block.blob(piece, &mut self.buffer)?;
                if let Some(existence) = existence {
                    existence.absorb(blob);
                }
                if block.is_in_memory() {
                    run.note_piece(current.tag, bitmap, *number, piece);
                    return Ok(piece.cardinality);
                }
                run.bytes.extend_from_slice(blob);
                piece.cardinality
            }
            (lows, pieces) => {
                for ShardPiece { block: number, head: piece } in pieces {
                    self.value.absorb(
                        shard_points.pieces[*number as usize].blob(piece, &mut self.buffer)?,
                    );
                }
                lows.iter().for_each(|low| self.value.insert(*low));
                if let Some(existence) = existence {
                    existence.union(&self.value);
                }
                self.value.take(self.shard, &mut run.bytes)
            }
        };
        run.note(current.tag, bitmap, cardinality, start);
        Ok(cardinality)
    }

    /// Writes a value that has a round of its own. Its points may not fit in memory, so they are
    /// inserted one by one instead of scattered.
    fn encode_alone(
        &mut self,
        shard_points: &ShardPoints,
        place: usize,
        current: &Current,
        run: &mut RunWriter<'_>,
    ) -> Result<u32> {
        let (number, start) = (self.plan.numbers[place], run.end());
        for block in shard_points.blocks_of(&self.tags) {
            let points = self.reader.read(block)?.0.iter().map(|key| of_code_key(*key));
            points
                .filter(|(tag, code, _)| self.plan.number_of((*tag, *code)) == number)
                .for_each(|(_, _, low)| self.value.insert(low));
        }
        let mut blob = Vec::new();
        for (_, block) in shard_points.pieces_of(&self.tags) {
            for piece in block
                .heads(&mut self.buffer)?
                .filter(|piece| self.plan.number_of(piece.value()) == number)
            {
                self.value.absorb(block.blob(&piece, &mut blob)?);
            }
        }
        if current.several {
            self.existence.union(&self.value);
        }
        let cardinality = self.value.take(self.shard, &mut run.bytes);
        run.note(current.tag, self.bitmap_of(place, current.tag), cardinality, start);
        Ok(cardinality)
    }

    /// The bitmap's number in its segment.
    fn bitmap_of(&self, place: usize, tag: usize) -> u32 {
        place as u32 - self.plan.firsts[tag] + 1
    }

    fn begin_tag(&self, tag: usize, run: &RunWriter<'_>) -> Current {
        let places = &self.plan.tags[tag].places;
        let occur = (places.start as usize..places.end as usize)
            .filter(|place| self.occurs(*place))
            .take(2)
            .count();
        Current {
            tag,
            entries: run.entries.len(),
            start: run.end(),
            several: occur > 1,
            cardinality: 0,
        }
    }

    /// Writes the existence bitmap of the tag. If a user has two values, of which only the last
    /// counts, takes back what was written and notes the conflict.
    fn end_tag(
        &mut self,
        current: Option<Current>,
        run: &mut RunWriter<'_>,
        conflicts: &mut Vec<usize>,
    ) -> Result<()> {
        let Some(current) = current else { return Ok(()) };
        let start = run.end();
        if !current.several {
            // The only value is also the existence bitmap.
            if let Some(only) = run.entries.last().copied() {
                run.entries.push(super::run::RunEntry { bitmap: 0, ..only });
            }
            return run.flush();
        }
        let cardinality = self.existence.take(self.shard, &mut run.bytes);
        if self.plan.tags[current.tag].value_type != ValueType::Set
            && u64::from(cardinality) != current.cardinality
        {
            run.take_back(current.entries, current.start);
            conflicts.push(current.tag);
            return Ok(());
        }
        run.note(current.tag, 0, cardinality, start);
        run.flush()
    }

    /// Writes the tags in which users have several values, and only the last counts.
    fn resolve(
        &mut self,
        shard_points: &ShardPoints,
        conflicts: &[usize],
        points: usize,
        run: &mut RunWriter<'_>,
    ) -> Result<()> {
        let mut rest = conflicts;
        let mut latest = Latest::new(points / 2);
        while !rest.is_empty() {
            let mut sum = 0;
            let fit = rest.iter().position(|tag| {
                let places = &self.plan.tags[*tag].places;
                // A piece may contain every user of the shard.
                let most =
                    |place| self.count_at(place) + self.pieces_at(place) * SHARD_SIZE as usize;
                let most: usize = (places.start as usize..places.end as usize).map(most).sum();
                sum += most.min(SHARD_SIZE as usize);
                sum > points / 2
            });
            // As many conflicting tags at a time as fit in memory.
            let (now, later) = rest.split_at(fit.unwrap_or(rest.len()).max(1));
            rest = later;
            latest.clear();
            let wanted = |tag| now.binary_search(&tag).is_ok();
            for_each_point(
                &shard_points.blocks,
                &shard_points.pieces,
                &mut self.reader,
                wanted,
                |tag, code, low| {
                    latest.push(code_key(tag as u32, 0) | u64::from(low), u64::from(code));
                },
            )?;
            for of_tag in latest.sorted().chunk_by(|a, b| of_code_key(a.0).0 == of_code_key(b.0).0)
            {
                self.resolved(of_tag, run)?;
            }
        }
        Ok(())
    }

    /// Writes one tag, out of each user's key and code, ascending by user.
    fn resolved(&mut self, rows: &[(u64, u64)], run: &mut RunWriter<'_>) -> Result<()> {
        let tag = of_code_key(rows[0].0).0;
        let first = self.plan.firsts[tag];
        let mut rows: Vec<(u32, u32)> =
            rows.iter().map(|(key, code)| (first + *code as u32, of_code_key(*key).2)).collect();
        let start = run.end();
        rows.iter().for_each(|(_, low)| self.existence.insert(*low));
        let cardinality = self.existence.take(self.shard, &mut run.bytes);
        run.note(tag, 0, cardinality, start);
        rows.sort_unstable();
        let mut places: Vec<(u32, u32)> = Vec::new();
        for of_value in rows.chunk_by(|a, b| a.0 == b.0) {
            self.lows.clear();
            self.lows.extend(of_value.iter().map(|(_, low)| *low));
            let start = run.end();
            let cardinality = self.value.encode(self.shard, &self.lows, None, &mut run.bytes);
            places.push((of_value[0].0, run.entries.len() as u32));
            run.note(tag, 0, cardinality, start);
        }
        // Bitmaps are numbered by text.
        for place in self.plan.tags[tag].places.clone() {
            let number = self.plan.numbers[place as usize];
            if let Ok(at) = places.binary_search_by_key(&number, |(number, _)| *number) {
                run.entries[places[at].1 as usize].bitmap = place - first + 1;
            }
        }
        run.flush()
    }
}
