//! Columns into segments, by the index's bulk loader. What its memory does not hold spills to a
//! folder, and its segments are files there.

use crate::Result;
#[cfg(test)]
mod tests;

use crate::pass::goes_on;
use crate::scratch::ScratchFolder;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StringArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use hashbrown::HashMap;
use std::path::PathBuf;
use taghouse_fold::ColumnReader;
use taghouse_index::{
    Feeder, LoadOptions, Loader, SHARD_BITS, SegmentBuilder, SegmentSource, TagId,
};
use taghouse_model::{Name, Ordinal, ValueType};
use tokio_util::sync::CancellationToken;

/// About what the loader of one production holds in memory; what is more spills. The columns it is
/// fed take more than this from some millions of users on, so a larger budget would let a
/// production grow while answers are given, and a smaller one would write without need.
const LOADER_BYTES: usize = 256 << 20;

/// Values that are sorted by code at a time: a shard's, of tags of one value a user.
const SORTED_AT_ONCE: usize = 1 << SHARD_BITS;

/// Numbers that are converted at a time.
const NUMBERS_AT_ONCE: usize = 1 << 16;

/// A segment that is to be published.
pub(crate) struct NewSegment {
    pub(crate) name: Name,
    pub(crate) value_type: ValueType,
    pub(crate) source: SegmentSource,
}

/// Builds the segments of one production.
pub(crate) struct Segments {
    // Before the folder, for it removes its own files in there.
    loader: Loader,
    folder: ScratchFolder,
}

/// What became of a column.
pub(crate) enum Fed {
    /// The loader has it.
    Loaded,
    /// The loader takes no numbers of more than 64 bits.
    Built(Vec<u8>),
}

/// The values of one tag.
pub(crate) struct FedColumn<'a> {
    pub(crate) name: &'a Name,
    pub(crate) value_type: ValueType,
    /// Without nulls.
    pub(crate) values: &'a ArrayRef,
    /// Whose they are, ascending.
    pub(crate) ordinals: &'a [Ordinal],
}

impl Segments {
    /// For users up to `last`, built by so many threads.
    pub(crate) fn new(folder: ScratchFolder, last: Ordinal, threads: usize) -> Result<Self> {
        let loader = Loader::new(LoadOptions {
            spill: folder.part("spill"),
            memory_bytes: LOADER_BYTES,
            shards: 0..(last >> SHARD_BITS) + 1,
            threads,
        })?;
        Ok(Self { loader, folder })
    }

    /// For one thread.
    pub(crate) fn feeder<'a>(&'a self, stop: &'a CancellationToken) -> ColumnFeeder<'a> {
        ColumnFeeder {
            loader: &self.loader,
            feeder: self.loader.feeder(),
            sorter: CodeSorter::default(),
            stop,
        }
    }

    /// Writes the files of what was loaded. They are in the folder, which is given back.
    pub(crate) fn finish(self) -> Result<LoadedFiles> {
        let loaded = self.loader.finish(&self.folder.part("segments"))?;
        let by_name = loaded.into_iter().map(|segment| (segment.name, segment.path)).collect();
        Ok(LoadedFiles { by_name, folder: self.folder })
    }
}

/// The files that a loader wrote.
pub(crate) struct LoadedFiles {
    pub(crate) by_name: HashMap<String, PathBuf>,
    pub(crate) folder: ScratchFolder,
}

/// Feeds columns to the loader.
pub(crate) struct ColumnFeeder<'a> {
    loader: &'a Loader,
    feeder: Feeder,
    sorter: CodeSorter,
    stop: &'a CancellationToken,
}

impl ColumnFeeder<'_> {
    /// Hands over what is still collected.
    pub(crate) fn finish(self) -> Result<()> {
        Ok(self.feeder.finish()?)
    }

    /// Feeds all values of a tag.
    pub(crate) fn feed(&mut self, of_tag: &FedColumn<'_>) -> Result<Fed> {
        let FedColumn { name, value_type, values, ordinals } = *of_tag;
        if values.data_type() == &DataType::Null {
            self.loader.tag(name.as_str(), value_type)?;
            return Ok(Fed::Loaded);
        }
        let wrong = || taghouse_fold::Error::Column {
            column: name.to_string(),
            found: values.data_type().to_string(),
            expected: value_type.to_string(),
        };
        if let ValueType::Decimal { .. } = value_type {
            let units = values.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?.values();
            if units.iter().any(|units| i64::try_from(*units).is_err()) {
                return Ok(Fed::Built(built(of_tag)?));
            }
        }
        let tag = self.loader.tag(name.as_str(), value_type)?;
        match value_type {
            ValueType::Int => {
                let numbers = values.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
                self.feeder.push_numbers(tag, ordinals, numbers.values())?;
            }
            ValueType::Decimal { .. } => {
                let units = values.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?;
                // All of them fit, as was seen above.
                self.numbers(tag, ordinals, units.values(), |units| *units as i64)?;
            }
            ValueType::Date => {
                let days = values.as_primitive_opt::<Date32Type>().ok_or_else(wrong)?;
                self.numbers(tag, ordinals, days.values(), |days| i64::from(*days))?;
            }
            ValueType::Time => {
                let times = values.as_primitive_opt::<TimestampMicrosecondType>();
                let times = times.ok_or_else(wrong)?;
                self.numbers(tag, ordinals, times.values(), |micros| micros.div_euclid(1000))?;
            }
            ValueType::Bool => {
                self.bools(tag, ordinals, values.as_boolean_opt().ok_or_else(wrong)?)?;
            }
            ValueType::Text => {
                self.texts(tag, ordinals, values.as_string_opt().ok_or_else(wrong)?)?;
            }
            ValueType::Set => {
                let lists: &ListArray = values.as_list_opt().ok_or_else(wrong)?;
                let members = lists.values().as_string_opt().ok_or_else(wrong)?;
                self.members(tag, ordinals, lists.value_offsets(), members)?;
            }
        }
        Ok(Fed::Loaded)
    }

    fn numbers<N>(
        &mut self,
        tag: TagId,
        ordinals: &[Ordinal],
        numbers: &[N],
        units_of: impl Fn(&N) -> i64,
    ) -> Result<()> {
        let mut units = Vec::with_capacity(NUMBERS_AT_ONCE.min(numbers.len()));
        for (ordinals, numbers) in
            ordinals.chunks(NUMBERS_AT_ONCE).zip(numbers.chunks(NUMBERS_AT_ONCE))
        {
            goes_on(self.stop)?;
            units.clear();
            units.extend(numbers.iter().map(&units_of));
            self.feeder.push_numbers(tag, ordinals, &units)?;
        }
        Ok(())
    }

    fn bools(&mut self, tag: TagId, ordinals: &[Ordinal], values: &BooleanArray) -> Result<()> {
        for (row, ordinal) in ordinals.iter().enumerate() {
            self.code(tag, *ordinal, u32::from(values.value(row)))?;
        }
        self.hand_over(tag)
    }

    fn texts(&mut self, tag: TagId, ordinals: &[Ordinal], texts: &StringArray) -> Result<()> {
        let mut codes = Codes::of(self.loader, tag);
        for (row, ordinal) in ordinals.iter().enumerate() {
            self.code(tag, *ordinal, codes.code(texts.value(row))?)?;
        }
        self.hand_over(tag)
    }

    /// `offsets` has where each user's members begin, and the end.
    fn members(
        &mut self,
        tag: TagId,
        ordinals: &[Ordinal],
        offsets: &[i32],
        members: &StringArray,
    ) -> Result<()> {
        let mut codes = Codes::of(self.loader, tag);
        for (ordinal, range) in ordinals.iter().zip(offsets.windows(2)) {
            for at in range[0] as usize..range[1] as usize {
                if members.is_valid(at) {
                    self.code(tag, *ordinal, codes.code(members.value(at))?)?;
                }
            }
        }
        self.hand_over(tag)
    }

    #[inline]
    fn code(&mut self, tag: TagId, ordinal: Ordinal, code: u32) -> Result<()> {
        if self.sorter.is_full_for(ordinal) {
            self.hand_over(tag)?;
        }
        self.sorter.push(ordinal, code);
        Ok(())
    }

    /// Hands over what is collected, value by value: the loader then encodes each value's users of a
    /// shard at once, on this thread.
    fn hand_over(&mut self, tag: TagId) -> Result<()> {
        goes_on(self.stop)?;
        let feeder = &mut self.feeder;
        self.sorter.drain(|code, ordinals| Ok(feeder.push_codes(tag, ordinals, code)?))
    }
}

/// The slow path, value by value.
fn built(of_tag: &FedColumn<'_>) -> Result<Vec<u8>> {
    let FedColumn { name, value_type, values, ordinals } = *of_tag;
    let reader = ColumnReader::new(name.as_str(), values, value_type)?;
    let mut builder = SegmentBuilder::new(value_type);
    for (row, ordinal) in ordinals.iter().enumerate() {
        if let Some(value) = reader.value(row) {
            builder.add(*ordinal, &value)?;
        }
    }
    Ok(builder.finish()?)
}

/// A column's texts and their codes, so that the loader is asked once for each text.
struct Codes<'a> {
    loader: &'a Loader,
    tag: TagId,
    codes: HashMap<&'a str, u32>,
}

impl<'a> Codes<'a> {
    fn of(loader: &'a Loader, tag: TagId) -> Self {
        Self { loader, tag, codes: HashMap::new() }
    }

    #[inline]
    fn code(&mut self, text: &'a str) -> Result<u32> {
        if let Some(code) = self.codes.get(text) {
            return Ok(*code);
        }
        let code = self.loader.code(self.tag, text)?;
        self.codes.insert(text, code);
        Ok(code)
    }
}

/// Sorts some users of one shard by their codes: by counting, for codes are dense.
#[derive(Default)]
struct CodeSorter {
    ordinals: Vec<Ordinal>,
    codes: Vec<u32>,
    /// By code: how many ordinals it has, then where its next one goes.
    next: Vec<u32>,
    sorted: Vec<Ordinal>,
}

impl CodeSorter {
    fn is_full_for(&self, ordinal: Ordinal) -> bool {
        self.ordinals.len() >= SORTED_AT_ONCE
            || self.ordinals.last().is_some_and(|last| last >> SHARD_BITS != ordinal >> SHARD_BITS)
    }

    fn push(&mut self, ordinal: Ordinal, code: u32) {
        self.ordinals.push(ordinal);
        self.codes.push(code);
    }

    /// Gives `each` code with its ordinals, in the order in which they were pushed, and forgets
    /// them.
    fn drain(&mut self, mut each: impl FnMut(u32, &[Ordinal]) -> Result<()>) -> Result<()> {
        let Self { ordinals, codes, next, sorted } = self;
        let count = codes.iter().max().map_or(0, |greatest| *greatest as usize + 1);
        next.clear();
        next.resize(count, 0);
        codes.iter().for_each(|code| next[*code as usize] += 1);
        let mut end = 0;
        for of_code in next.iter_mut() {
            // Where it begins, until the ordinals are in place.
            end += std::mem::replace(of_code, end);
        }
        sorted.clear();
        sorted.resize(ordinals.len(), 0);
        for (ordinal, code) in ordinals.iter().zip(codes.iter()) {
            let place = &mut next[*code as usize];
            sorted[*place as usize] = *ordinal;
            *place += 1;
        }
        ordinals.clear();
        codes.clear();
        let mut start = 0;
        for (code, end) in next.iter().enumerate() {
            let of_code = &sorted[start..*end as usize];
            start = *end as usize;
            if !of_code.is_empty() {
                each(code as u32, of_code)?;
            }
        }
        Ok(())
    }
}
