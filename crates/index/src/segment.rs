//! One version of one tag.
//!
//! ```text
//! the file form of `bitmap`, and in it: type 1, scale 1, zeros 6 | directory, bitmaps, rows: start 8 and length 8 each | zeros to 64
//! directory (enum, set): the values, sorted
//! bitmaps (bool, enum, set): a bundle: who has a value, then each value's users. Numbers: bit slices
//! rows (enum and set of many values): the values of each user in turn
//! ```

mod directory;
mod rows;

pub(crate) use directory::{Directory, encode_directory};
pub(crate) use rows::{Rows, encode_rows, rows_len};

use crate::error::{Error, Result};
use crate::number;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use taghouse_bitmap::{BitSlices, Bitmap, Bundle, Fetch, Region, Stored, UserSet};
use taghouse_model::{Ordinal, Value, ValueType};
use taghouse_rules::{like, like_prefix};

pub(crate) const MAGIC: &[u8; 8] = b"TAGHSEGM";
pub(crate) const HEAD: usize = 64;
/// From this many values on, a user's values are looked up in rows instead of in the bitmap of
/// every value. One bitmap takes some 100 ns; rows are a second copy of the data.
pub(crate) const ROWS_FROM: usize = 16_384;

/// The most bins of a histogram.
const MOST_BINS: usize = 1 << 16;

/// All users' values of one tag, read from one byte buffer. Cloning it is cheap.
#[derive(Clone)]
pub struct Segment {
    value_type: ValueType,
    existence: Stored,
    pub(crate) values: Values,
}

#[derive(Clone)]
pub(crate) enum Values {
    /// Bitmap 1 is false, 2 is true.
    Bool(Bundle),
    /// Bitmap `i + 1` is value `i` of the directory.
    Texts { directory: Directory, bitmaps: Bundle, rows: Option<Rows> },
    /// In units of the type.
    Numbers(BitSlices),
}

impl Segment {
    /// Opens a segment: reads its head and tables. What is read later is checked then. `object` is
    /// its path in the store, for errors.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not what [`crate::SegmentBuilder`] made.
    pub fn open(object: &str, file: impl Into<Bytes>) -> Result<Self> {
        Self::open_lazily(object, file.into(), None)
    }

    /// As [`Segment::open`], for a file whose bytes `fetch` brings when they are read.
    pub(crate) fn open_lazily(
        object: &str,
        file: Bytes,
        fetch: Option<Arc<dyn Fetch>>,
    ) -> Result<Self> {
        let body = Region::open(object, MAGIC, file, fetch)?;
        let bad = |what: &str| Error::corrupt(object, what);
        if body.len() < HEAD {
            return Err(bad("the head is cut short"));
        }
        let head = body.part(0..HEAD)?;
        let head = head.whole()?;
        let value_type = type_of(head[0], head[1]).ok_or_else(|| bad("unknown type"))?;
        let section = |number: usize| -> Result<Region> {
            let range =
                section(head, number, body.len()).ok_or_else(|| bad("a section lies outside"))?;
            Ok(body.part(range)?)
        };
        let (directory, bitmaps, rows) = (section(0)?, section(1)?, section(2)?);
        if value_type.is_number() {
            let slices = BitSlices::open(bitmaps)?;
            return Ok(Self {
                value_type,
                existence: slices.existence(),
                values: Values::Numbers(slices),
            });
        }
        let bitmaps = Bundle::open(bitmaps)?;
        let existence = bitmaps.get(0);
        if value_type == ValueType::Bool {
            if bitmaps.len() != 3 {
                return Err(bad("a bool needs three bitmaps"));
            }
            return Ok(Self { value_type, existence, values: Values::Bool(bitmaps) });
        }
        let directory = Directory::open(directory.whole()?.clone())
            .ok_or_else(|| bad("the directory does not fit"))?;
        if bitmaps.len() as usize != directory.len() + 1 {
            return Err(bad("the directory and the bitmaps differ"));
        }
        let rows = if rows.is_empty() {
            None
        } else {
            let opened =
                Rows::open(rows, existence.len(), value_type == ValueType::Set, directory.len())?;
            Some(opened.ok_or_else(|| bad("the rows do not fit"))?)
        };
        Ok(Self { value_type, existence, values: Values::Texts { directory, bitmaps, rows } })
    }

    /// The type of the values.
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// The users who have a value.
    pub fn existence(&self) -> &Stored {
        &self.existence
    }

    /// The number of users who have a value.
    pub fn users(&self) -> u64 {
        self.existence.len()
    }

    /// The value of one user.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn value_of(&self, ordinal: Ordinal) -> Result<Option<Value>> {
        match &self.values {
            Values::Bool(bitmaps) => {
                for (bitmap, value) in [(1, false), (2, true)] {
                    if bitmaps.contains(bitmap, ordinal)? {
                        return Ok(Some(Value::Bool(value)));
                    }
                }
                Ok(None)
            }
            Values::Numbers(slices) => Ok(slices
                .value_of(ordinal)?
                .and_then(|units| number::value_of_units(units, self.value_type))),
            Values::Texts { directory, bitmaps, rows } => {
                let mut codes = Vec::new();
                if let Some(rows) = rows {
                    match self.existence.position(ordinal)? {
                        Some(position) => rows.codes(position, &mut codes)?,
                        None => return Ok(None),
                    }
                } else {
                    let most = if self.value_type == ValueType::Text { 1 } else { usize::MAX };
                    let holders = bitmaps.holders(1..bitmaps.len(), ordinal, most)?;
                    codes.extend(holders.into_iter().map(|bitmap| bitmap - 1));
                }
                let mut texts =
                    codes.into_iter().filter_map(|code| directory.get(code)).map(Into::into);
                if self.value_type == ValueType::Text {
                    return Ok(texts.next().map(Value::Text));
                }
                Ok(Some(Value::Set(texts.collect()))
                    .filter(|value| !matches!(value, Value::Set(set) if set.is_empty())))
            }
        }
    }

    /// All values and how many users have each, in order of the values; for a set its members one
    /// by one. Of numbers it reads all users.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn values(&self) -> Result<Vec<(Value, u64)>> {
        Ok(match &self.values {
            Values::Bool(bitmaps) => {
                let counts = [
                    (Value::Bool(false), bitmaps.cardinality(1)),
                    (Value::Bool(true), bitmaps.cardinality(2)),
                ];
                counts.into_iter().filter(|(_, count)| *count > 0).collect()
            }
            Values::Texts { directory, bitmaps, .. } => directory
                .iter()
                .enumerate()
                .map(|(code, text)| (Value::text(text), bitmaps.cardinality(code as u32 + 1)))
                .collect(),
            Values::Numbers(slices) => {
                let mut units: Vec<i128> = slices.iter()?.map(|(_, units)| units).collect();
                units.sort_unstable();
                let counts = units.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64));
                counts
                    .filter_map(|(units, count)| {
                        Some((number::value_of_units(units, self.value_type)?, count))
                    })
                    .collect()
            }
        })
    }

    /// All values and their users, in order of the values; for a set its members one by one. None
    /// for numbers.
    pub fn sets(&self) -> Vec<(Value, UserSet)> {
        let stored = |bitmaps: &Bundle, number: u32| UserSet::Stored(bitmaps.get(number));
        match &self.values {
            Values::Bool(bitmaps) => {
                let both = [
                    (Value::Bool(false), stored(bitmaps, 1)),
                    (Value::Bool(true), stored(bitmaps, 2)),
                ];
                both.into_iter().filter(|(_, users)| !users.is_empty()).collect()
            }
            Values::Texts { directory, bitmaps, .. } => directory
                .iter()
                .enumerate()
                .map(|(code, text)| (Value::text(text), stored(bitmaps, code as u32 + 1)))
                .collect(),
            Values::Numbers(_) => Vec::new(),
        }
    }

    /// The numbers of an int, decimal, date or time tag, in units of the type.
    pub fn numbers(&self) -> Option<&BitSlices> {
        match &self.values {
            Values::Numbers(slices) => Some(slices),
            _ => None,
        }
    }

    /// The users of one value; for a set those who have `value` among theirs (a text).
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn users_of(&self, value: &Value) -> Result<Option<Bitmap>> {
        let number = match (&self.values, value) {
            (Values::Bool(bitmaps), Value::Bool(value)) => Some((bitmaps, 1 + u32::from(*value))),
            (Values::Texts { directory, bitmaps, .. }, Value::Text(text)) => {
                directory.find(text).ok().map(|code| (bitmaps, code + 1))
            }
            _ => None,
        };
        Ok(number.map(|(bitmaps, number)| bitmaps.get(number).to_bitmap()).transpose()?)
    }

    /// The users of one text of an enum, or member of a set.
    pub(crate) fn stored_of(&self, text: &str) -> Option<Stored> {
        match &self.values {
            Values::Texts { directory, bitmaps, .. } => {
                directory.find(text).ok().map(|code| bitmaps.get(code + 1))
            }
            _ => None,
        }
    }

    /// The texts that are like `pattern`, and their users.
    pub(crate) fn stored_like(&self, pattern: &str) -> Vec<(&str, Stored)> {
        let Values::Texts { directory, bitmaps, .. } = &self.values else {
            return Vec::new();
        };
        let codes = directory.with_prefix(&like_prefix(pattern));
        let fitting = codes.filter_map(|code| {
            directory
                .get(code)
                .filter(|text| like(pattern, text))
                .map(|text| (text, bitmaps.get(code + 1)))
        });
        fitting.collect()
    }

    /// The exact sum over all users, or those in `within`, in units of 10^-scale (scale 0 for an
    /// int). `None` where there is nothing to sum: nobody has a value, or the type is neither
    /// int nor decimal.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn sum(&self, within: Option<&Bitmap>) -> Result<Option<i128>> {
        match (&self.values, self.value_type) {
            (Values::Numbers(slices), ValueType::Int | ValueType::Decimal { .. }) => {
                Ok(slices.sum(within)?.map(|sum| sum.sum))
            }
            _ => Ok(None),
        }
    }

    /// The least and the greatest number, day or instant of all users, or of those in `within`.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn bounds(&self, within: Option<&Bitmap>) -> Result<Option<(Value, Value)>> {
        let Values::Numbers(slices) = &self.values else {
            return Ok(None);
        };
        let bounds = match within {
            None => slices.bounds(),
            Some(within) => slices.bounds_within(within)?,
        };
        let value = |units| number::value_of_units(units, self.value_type);
        Ok(bounds.and_then(|(low, high)| value(low).zip(value(high))))
    }

    /// The quantiles (0 to 1 each, by nearest rank) of the numbers, days or instants of all users,
    /// or of those in `within`; none where nobody has one.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn quantiles(&self, within: Option<&Bitmap>, quantiles: &[f64]) -> Result<Vec<Value>> {
        let Values::Numbers(slices) = &self.values else {
            return Ok(Vec::new());
        };
        let units = slices.quantiles(within, quantiles)?;
        Ok(units
            .into_iter()
            .filter_map(|units| number::value_of_units(units, self.value_type))
            .collect())
    }

    /// The numbers, days or instants of all users, or of those in `within`, in `bins` parts of the
    /// way from the least to the greatest, of the same width but for one unit, at most 65,536
    /// of them: the least and the greatest value of a bin, both included, and how many lie there.
    /// Fewer bins where there are fewer values than that; none where nobody has one.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub fn histogram(
        &self,
        within: Option<&Bitmap>,
        bins: usize,
    ) -> Result<Vec<(Value, Value, u64)>> {
        let Values::Numbers(slices) = &self.values else {
            return Ok(Vec::new());
        };
        let bounds = within.map_or(Ok(slices.bounds()), |within| slices.bounds_within(within))?;
        let Some((low, high)) = bounds else {
            return Ok(Vec::new());
        };
        let width = high - low + 1;
        let bins = (bins.min(MOST_BINS) as i128).min(width);
        let edges: Vec<i128> = (0..=bins).map(|bin| low + width * bin / bins.max(1)).collect();
        let (_, below) = slices.counts_below(within, &edges)?;
        let value = |units: i128| number::value_of_units(units, self.value_type);
        let bin = |(edges, below): (&[i128], &[u64])| {
            Some((value(edges[0])?, value(edges[1] - 1)?, below[1] - below[0]))
        };
        Ok(edges.windows(2).zip(below.windows(2)).filter_map(bin).collect())
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("value_type", &self.value_type)
            .field("users", &self.users())
            .finish()
    }
}

fn section(head: &[u8], number: usize, body_len: usize) -> Option<Range<usize>> {
    let at = 8 + 16 * number;
    let read = |at: usize| {
        usize::try_from(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?)).ok()
    };
    let (start, len) = (read(at)?, read(at + 8)?);
    let end = start.checked_add(len)?;
    (end <= body_len).then_some(start..end)
}

/// Assembles the parts of a segment, in the file form.
pub(crate) fn assemble(ty: ValueType, directory: &[u8], bitmaps: &[u8], rows: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(directory.len() + bitmaps.len() + rows.len() + 4 * HEAD);
    let (code, scale) = code_of(ty);
    body.extend_from_slice(&[code, scale, 0, 0, 0, 0, 0, 0]);
    body.resize(HEAD, 0);
    for (number, section) in [directory, bitmaps, rows].into_iter().enumerate() {
        // Aligned as the bundle's own alignment expects.
        body.resize(body.len().next_multiple_of(HEAD), 0);
        let at = 8 + 16 * number;
        let start = body.len() as u64;
        body[at..at + 8].copy_from_slice(&start.to_le_bytes());
        body[at + 8..at + 16].copy_from_slice(&(section.len() as u64).to_le_bytes());
        body.extend_from_slice(section);
    }
    taghouse_bitmap::seal(MAGIC, &body)
}

pub(crate) fn code_of(ty: ValueType) -> (u8, u8) {
    match ty {
        ValueType::Bool => (0, 0),
        ValueType::Text => (1, 0),
        ValueType::Set => (2, 0),
        ValueType::Int => (3, 0),
        ValueType::Decimal { scale } => (4, scale),
        ValueType::Date => (5, 0),
        ValueType::Time => (6, 0),
    }
}

pub(crate) fn type_of(code: u8, scale: u8) -> Option<ValueType> {
    Some(match code {
        0 => ValueType::Bool,
        1 => ValueType::Text,
        2 => ValueType::Set,
        3 => ValueType::Int,
        4 => ValueType::Decimal { scale },
        5 => ValueType::Date,
        6 => ValueType::Time,
        _ => return None,
    })
}
