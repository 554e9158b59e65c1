use super::blocks::Points;
use super::key::{code_key, low_of, number_key};
use super::pieces::{PIECE_FROM, Pieces};
use super::spill::SpillFile;
use super::{CODE_BITS, Seen, Shared, Tag, TagId};
use crate::error::{Error, Result};
use crate::number::units_of;
use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use taghouse_bitmap::{SHARD_BITS, ShardEncoder, encode_ascending};
use taghouse_model::{Ordinal, Value, ValueType};

/// Takes points for a [`super::Loader`], on one thread.
///
/// A user whom a tag of one value each (all types but the set) is given again gets the later value.
/// A set's members accumulate; so an empty set says nothing, where [`crate::SegmentBuilder`] would
/// take the user's members away.
pub struct Feeder {
    shared: Arc<Shared>,
    number: u32,
    first_shard: u32,
    /// The codes of each shard.
    codes: Vec<Vec<u64>>,
    pieces: Vec<OfShard>,
    scattered: Scattered,
    encoder: ShardEncoder,
    numbers: Vec<(Vec<u64>, Vec<u64>)>,
    tags: Vec<Option<FedTag>>,
    file: Option<Arc<SpillFile>>,
}

/// What is collected for one shard beside codes one by one, and apart from them: those are looked
/// up for each point.
#[derive(Default)]
struct OfShard {
    pieces: Pieces,
    /// Codes that were handed over.
    flushed: u64,
}

/// A column's ordinals by shard; what lies beyond the loader's shards is left out.
#[derive(Default)]
struct Scattered {
    ordinals: Vec<Ordinal>,
    /// By shard, where its ordinals end.
    ends: Vec<usize>,
}

impl Scattered {
    fn fill(&mut self, ordinals: &[Ordinal], first_shard: u32, shards: usize) {
        let place_of =
            |ordinal: &Ordinal| (ordinal >> SHARD_BITS).wrapping_sub(first_shard) as usize;
        self.ends.clear();
        self.ends.resize(shards, 0);
        for ordinal in ordinals {
            if let Some(count) = self.ends.get_mut(place_of(ordinal)) {
                *count += 1;
            }
        }
        let mut end = 0;
        for of_shard in &mut self.ends {
            // Where it begins, until the ordinals are in place.
            end += std::mem::replace(of_shard, end);
        }
        self.ordinals.resize(end, 0);
        for ordinal in ordinals {
            if let Some(next) = self.ends.get_mut(place_of(ordinal)) {
                self.ordinals[*next] = *ordinal;
                *next += 1;
            }
        }
    }

    fn by_place(&self) -> impl Iterator<Item = (usize, &[Ordinal])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.ordinals[start..*end]).enumerate()
    }
}

struct FedTag {
    tag: Arc<Tag>,
    seen: Seen,
    /// Codes that were asked for before.
    places: HashMap<Arc<str>, u32>,
}

impl Feeder {
    pub(super) fn new(shared: Arc<Shared>, number: u32) -> Self {
        let shards = shared.options.shards.len();
        let first_shard = shared.options.shards.start;
        let (codes, numbers) = (
            (0..shards).map(|_| Vec::new()).collect(),
            (0..shards).map(|_| Default::default()).collect(),
        );
        Self {
            shared,
            number,
            first_shard,
            codes,
            pieces: (0..shards).map(|_| OfShard::default()).collect(),
            scattered: Scattered::default(),
            encoder: ShardEncoder::new(),
            numbers,
            tags: Vec::new(),
            file: None,
        }
    }

    /// Gives many users one value: its code, of [`super::Loader::code`]. Many at a time cost least,
    /// and least of all ascending.
    ///
    /// # Errors
    /// `Value` for a code beyond the type's, or a tag of numbers; `Store` when points cannot be
    /// spilled.
    pub fn push_codes(&mut self, tag: TagId, ordinals: &[Ordinal], code: u32) -> Result<()> {
        self.check_code(tag, code)?;
        let key = code_key(tag.0, code);
        if ascends(ordinals) {
            return self.ascending(ordinals, key);
        }
        if ordinals.len() < PIECE_FROM.max(self.codes.len()) {
            return ordinals.iter().try_for_each(|ordinal| self.point(*ordinal, key));
        }
        self.unsorted(ordinals, key)
    }

    /// Gives the value of `key` to strictly ascending ordinals.
    fn ascending(&mut self, ordinals: &[Ordinal], key: u64) -> Result<()> {
        let mut rest = ordinals;
        while let (Some(first), Some(last)) = (rest.first(), rest.last()) {
            let shard = first >> SHARD_BITS;
            let len = if last >> SHARD_BITS == shard {
                rest.len()
            } else {
                rest.partition_point(|ordinal| ordinal >> SHARD_BITS == shard)
            };
            let (of_shard, after) = rest.split_at(len);
            rest = after;
            if len < PIECE_FROM {
                of_shard.iter().try_for_each(|ordinal| self.point(*ordinal, key))?;
            } else {
                self.piece(shard, key, |bytes, _| encode_ascending(shard, of_shard, bytes))?;
            }
        }
        Ok(())
    }

    /// Gives the value of `key` to ordinals in any order, which means nothing as they all get the
    /// same.
    fn unsorted(&mut self, ordinals: &[Ordinal], key: u64) -> Result<()> {
        let mut scattered = std::mem::take(&mut self.scattered);
        scattered.fill(ordinals, self.first_shard, self.codes.len());
        let pushed = scattered.by_place().try_for_each(|(place, of_shard)| {
            if of_shard.len() < PIECE_FROM {
                return of_shard.iter().try_for_each(|ordinal| self.point(*ordinal, key));
            }
            let shard = self.first_shard + place as u32;
            self.piece(shard, key, |bytes, encoder| encoder.encode(shard, of_shard, None, bytes))
        });
        self.scattered = scattered;
        pushed
    }

    /// Gives each of these users a value by its code.
    ///
    /// # Errors
    /// As [`Feeder::push_codes`].
    pub fn push_pairs(&mut self, tag: TagId, pairs: &[(Ordinal, u32)]) -> Result<()> {
        let Some(greatest) = pairs.iter().map(|(_, code)| *code).max() else { return Ok(()) };
        self.check_code(tag, greatest)?;
        let key = code_key(tag.0, 0);
        pairs.iter().try_for_each(|(ordinal, code)| {
            self.point(*ordinal, key | u64::from(*code) << SHARD_BITS)
        })
    }

    /// Gives each user a number, in units of the tag's type: an int is its own unit, a decimal
    /// 10^-scale, a date a day, a time a millisecond.
    ///
    /// # Errors
    /// `Value` for a tag of another type, or not one number an ordinal; `Store` when points cannot
    /// be spilled.
    pub fn push_numbers(&mut self, tag: TagId, ordinals: &[Ordinal], units: &[i64]) -> Result<()> {
        let fed = self.fed(tag)?;
        let value_type = fed.tag.value_type;
        if !value_type.is_number() || ordinals.len() != units.len() {
            let problem = format!("{} numbers of {} users", units.len(), ordinals.len());
            return Err(Error::Value { value_type, problem });
        }
        let (Some(low), Some(high)) = (units.iter().min(), units.iter().max()) else {
            return Ok(());
        };
        fed.seen.number(*low, *high);
        for (ordinal, units) in ordinals.iter().zip(units) {
            let place = (ordinal >> SHARD_BITS).wrapping_sub(self.first_shard) as usize;
            let Some((keys, numbers)) = self.numbers.get_mut(place) else { continue };
            keys.push(number_key(tag.0, low_of(u64::from(*ordinal))));
            numbers.push(ordered(*units));
            if keys.len() >= self.shared.blocks.block_points {
                self.flush_numbers(place)?;
            }
        }
        Ok(())
    }

    /// Gives one user a value: comfortable, and slower than the columns.
    ///
    /// # Errors
    /// As [`crate::SegmentBuilder::add`], and `Store` when points cannot be spilled.
    pub fn push(&mut self, tag: TagId, ordinal: Ordinal, value: &Value) -> Result<()> {
        let fed = self.fed(tag)?;
        let value_type = fed.tag.value_type;
        match (value, value_type) {
            (Value::Bool(value), ValueType::Bool) => {
                self.push_codes(tag, &[ordinal], u32::from(*value))
            }
            (Value::Text(text), ValueType::Text) => {
                let code = fed.code(text)?;
                self.push_codes(tag, &[ordinal], code)
            }
            (Value::Set(texts), ValueType::Set) => texts.iter().try_for_each(|text| {
                let code = self.fed(tag)?.code(text)?;
                self.push_codes(tag, &[ordinal], code)
            }),
            _ => match units_of(value, value_type).and_then(|units| i64::try_from(units).ok()) {
                Some(units) => self.push_numbers(tag, &[ordinal], &[units]),
                None => Err(Error::Value {
                    value_type,
                    problem: format!("{value} is of another type or beyond its range"),
                }),
            },
        }
    }

    /// Hands over what is still collected. What a feeder took counts only with this.
    ///
    /// # Errors
    /// `Store` when points cannot be spilled.
    pub fn finish(mut self) -> Result<()> {
        for place in 0..self.codes.len() {
            self.flush_codes(place)?;
            self.flush_pieces(place)?;
            self.flush_numbers(place)?;
        }
        for fed in self.tags.iter().flatten() {
            fed.tag.seen.lock().add(&fed.seen);
        }
        self.shared.open_feeders.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }

    fn fed(&mut self, tag: TagId) -> Result<&mut FedTag> {
        let place = tag.0 as usize;
        if self.tags.get(place).is_none_or(Option::is_none) {
            let tag = self.shared.tag(tag)?;
            self.tags.resize_with(self.tags.len().max(place + 1), || None);
            self.tags[place] = Some(FedTag { tag, seen: Seen::default(), places: HashMap::new() });
        }
        self.tags[place]
            .as_mut()
            .ok_or_else(|| Error::Internal(format!("a loader has no tag {place}")))
    }

    fn check_code(&mut self, tag: TagId, code: u32) -> Result<()> {
        let fed = self.fed(tag)?;
        let value_type = fed.tag.value_type;
        let limit = match value_type {
            ValueType::Bool => 2,
            ValueType::Text | ValueType::Set => 1 << CODE_BITS,
            _ => 0,
        };
        if code >= limit {
            return Err(Error::Value { value_type, problem: format!("it has no code {code}") });
        }
        fed.seen.codes = fed.seen.codes.max(code + 1);
        Ok(())
    }

    #[inline]
    fn point(&mut self, ordinal: Ordinal, key: u64) -> Result<()> {
        let place = (ordinal >> SHARD_BITS).wrapping_sub(self.first_shard) as usize;
        let Some(keys) = self.codes.get_mut(place) else { return Ok(()) };
        keys.push(key | u64::from(low_of(u64::from(ordinal))));
        if keys.len() >= self.shared.blocks.block_points { self.flush_codes(place) } else { Ok(()) }
    }

    /// `encode` appends the portable form, and gives its cardinality.
    fn piece(
        &mut self,
        shard: u32,
        key: u64,
        encode: impl FnOnce(&mut Vec<u8>, &mut ShardEncoder) -> u32,
    ) -> Result<()> {
        let place = shard.wrapping_sub(self.first_shard) as usize;
        let (Some(keys), Some(OfShard { pieces, flushed })) =
            (self.codes.get(place), self.pieces.get_mut(place))
        else {
            return Ok(());
        };
        pieces.push(key, *flushed + keys.len() as u64, |bytes| encode(bytes, &mut self.encoder));
        if pieces.len() >= self.shared.blocks.block_bytes() {
            self.flush_pieces(place)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn flush_codes(&mut self, place: usize) -> Result<()> {
        let keys = &mut self.codes[place];
        if !keys.is_empty() {
            self.shared.blocks.add(
                place,
                self.number,
                Points { keys, numbers: None },
                &mut self.file,
            )?;
            self.pieces[place].flushed += keys.len() as u64;
            keys.clear();
        }
        Ok(())
    }

    #[cold]
    fn flush_pieces(&mut self, place: usize) -> Result<()> {
        let pieces = &mut self.pieces[place].pieces;
        if !pieces.is_empty() {
            self.shared.blocks.add_pieces(place, self.number, pieces, &mut self.file)?;
        }
        Ok(())
    }

    #[cold]
    fn flush_numbers(&mut self, place: usize) -> Result<()> {
        let (keys, numbers) = &mut self.numbers[place];
        if !keys.is_empty() {
            self.shared.blocks.add(
                place,
                self.number,
                Points { keys, numbers: Some(numbers) },
                &mut self.file,
            )?;
            keys.clear();
            numbers.clear();
        }
        Ok(())
    }
}

impl FedTag {
    fn code(&mut self, text: &Arc<str>) -> Result<u32> {
        if let Some(code) = self.places.get(text.as_ref()) {
            return Ok(*code);
        }
        let code = self.tag.code(text)?;
        self.places.insert(text.clone(), code);
        Ok(code)
    }
}

fn ascends(ordinals: &[Ordinal]) -> bool {
    // In stretches: without a way out at each step the comparison runs in wide registers.
    const STRETCH: usize = 256;
    let after = ordinals.get(1..).unwrap_or_default();
    let mut stretches = ordinals.chunks(STRETCH).zip(after.chunks(STRETCH));
    stretches
        .all(|(lows, next)| lows.iter().zip(next).fold(true, |all, (low, next)| all & (low < next)))
}

/// The number as one without sign, of the same order: so that blocks of near numbers pack well.
fn ordered(number: i64) -> u64 {
    number as u64 ^ 1 << 63
}

/// Back from [`ordered`].
pub(super) fn of_ordered(number: u64) -> i64 {
    (number ^ 1 << 63) as i64
}
