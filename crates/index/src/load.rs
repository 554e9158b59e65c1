//! Builds segments in bulk, with bounded memory. Points are partitioned by the shard of their user,
//! what exceeds the memory spills to a folder, and at the end each shard is sorted and encoded, on
//! all threads. Where there are fewer shards than keep them busy, some tags of a shard are a part
//! of the work.
//!
//! ```text
//! feeders (one a thread) ─► per shard: blocks of packed points, in memory or spilled
//!                                      blocks of pieces: users of one value given together, encoded
//!                           per part: count by value, scatter, encode ─► a run: one shard of the part's bitmaps, in memory or spilled
//!                           per tag: the runs' parts in order (bitmap, shard) ─► a segment file
//! ```
//!
//! A piece that is all of its value in the shard is that part of the bitmap already; it is not
//! touched again but to note who has any value.
//!
//! The segments are those of [`crate::SegmentBuilder`], byte by byte, whatever the order of the
//! points, the threads or the memory.

mod blocks;
mod codes;
mod feeder;
mod join;
mod key;
mod latest;
mod numbers;
mod pack;
mod parts;
mod pieces;
mod plan;
mod points;
mod rows;
mod run;
mod spill;
mod workers;
mod write;

pub use feeder::Feeder;
pub use join::join;

use crate::MAX_VALUES;
use crate::builder::check_text;
use crate::error::{Error, Result};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use taghouse_model::ValueType;

/// Bits of a code in a packed point; [`MAX_VALUES`] fits.
const CODE_BITS: u32 = 20;
/// The most tags of one loader.
const MAX_TAGS: usize = 1 << 20;

/// Options of a [`Loader`].
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The folder that takes what memory does not. It is this loader's alone: what a killed one
    /// has left there is removed.
    pub spill: PathBuf,
    /// About how much memory to use, beside the texts of the values and 32 bytes for each shard of
    /// each value.
    pub memory_bytes: usize,
    /// The shards (of 2^20 ordinals) to build; points of others are passed over, so that each of
    /// several machines may read all of them and build its range. See [`join`]. The narrower,
    /// the larger the pieces in which points spill.
    pub shards: Range<u32>,
    /// How many threads encode in the end; about as many feeders are expected.
    pub threads: usize,
}

/// A tag of a [`Loader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId(u32);

/// A segment that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedSegment {
    /// The tag's name.
    pub name: String,
    /// Path of the file.
    pub path: PathBuf,
    /// The length in bytes.
    pub size_bytes: u64,
    /// The number of users who have a value.
    pub users: u64,
}

/// Builds the segments of many tags side by side. See the documentation of the module;
/// [`Loader::feeder`] takes the points.
pub struct Loader {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    options: LoadOptions,
    tags: Mutex<Vec<Arc<Tag>>>,
    blocks: blocks::Blocks,
    feeders: AtomicU32,
    open_feeders: AtomicUsize,
}

struct Tag {
    name: String,
    value_type: ValueType,
    texts: Mutex<Texts>,
    seen: Mutex<Seen>,
}

/// Texts and their codes, in order of appearance.
#[derive(Default)]
struct Texts {
    places: HashMap<Arc<str>, u32>,
    all: Vec<Arc<str>>,
}

/// A summary of the points of a tag.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The number of codes there must be: the greatest code plus one.
    codes: u32,
    /// The least and the greatest number.
    bounds: Option<(i64, i64)>,
}

impl Seen {
    fn number(&mut self, low: i64, high: i64) {
        self.bounds = Some(self.bounds.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
    }

    fn add(&mut self, other: &Self) {
        self.codes = self.codes.max(other.codes);
        if let Some((low, high)) = other.bounds {
            self.number(low, high);
        }
    }
}

impl Loader {
    /// Starts a load; creates the folder if it is missing.
    ///
    /// # Errors
    /// `Store` naming the folder; `Internal` for no shards or more than 2^12.
    pub fn new(options: LoadOptions) -> Result<Self> {
        if options.shards.is_empty()
            || options.shards.end > 1 << (u32::BITS - taghouse_bitmap::SHARD_BITS)
        {
            return Err(Error::Internal(format!(
                "a loader of the shards {:?}, of which there are 4096",
                options.shards
            )));
        }
        let blocks = blocks::Blocks::new(&options)?;
        let shared = Shared {
            options,
            tags: Mutex::default(),
            blocks,
            feeders: AtomicU32::new(0),
            open_feeders: AtomicUsize::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Adds a tag. Its name is only handed back.
    ///
    /// # Errors
    /// `Internal` for more than 2^20 tags.
    pub fn tag(&self, name: impl Into<String>, value_type: ValueType) -> Result<TagId> {
        let mut tags = self.shared.tags.lock();
        if tags.len() >= MAX_TAGS {
            return Err(Error::Internal(format!(
                "more than {MAX_TAGS} tags in one loader: load them in turn"
            )));
        }
        tags.push(Arc::new(Tag {
            name: name.into(),
            value_type,
            texts: Mutex::default(),
            seen: Mutex::default(),
        }));
        Ok(TagId(tags.len() as u32 - 1))
    }

    /// The code of one text (a member, of a set) of a tag; a new one the first time. A bool's codes
    /// are 0 and 1.
    ///
    /// # Errors
    /// `Value` for a text over 1024 bytes, more than [`MAX_VALUES`] of them, or a tag that has no
    /// texts.
    pub fn code(&self, tag: TagId, text: &str) -> Result<u32> {
        self.shared.tag(tag)?.code(&Arc::from(text))
    }

    /// Takes points; make one for each thread that has some. Of two values of one user, in a tag
    /// that holds one a user, the one of the feeder that was made later counts.
    pub fn feeder(&self) -> Feeder {
        let number = self.shared.feeders.fetch_add(1, Ordering::Relaxed);
        self.shared.open_feeders.fetch_add(1, Ordering::AcqRel);
        Feeder::new(self.shared.clone(), number)
    }

    /// Writes the segment of each tag, in their order, into `folder`, which is made if there is
    /// none: `000000.segment` and so on. The files are not synced to the disk; they are
    /// derived, and on their way to the object store.
    ///
    /// # Errors
    /// `Store` naming the file; `Value` for a code that stands for no text; `Internal` when a
    /// feeder was not finished.
    pub fn finish(self, folder: &Path) -> Result<Vec<LoadedSegment>> {
        let open = self.shared.open_feeders.load(Ordering::Acquire);
        if open > 0 {
            return Err(Error::Internal(format!("{open} feeders of a loader are not finished")));
        }
        std::fs::create_dir_all(folder).map_err(|e| store_error(folder, &e))?;
        let tags = self.shared.tags.lock().clone();
        let plan = plan::LoadPlan::new(&tags)?;
        let (numbers, bounds) = numbers::runs(&self.shared, &plan)?;
        let codes = codes::runs(&self.shared, &plan)?;
        write::segments(&self.shared, &plan, &codes, &numbers, &bounds, folder)
    }
}

impl Shared {
    fn tag(&self, tag: TagId) -> Result<Arc<Tag>> {
        let tags = self.tags.lock();
        tags.get(tag.0 as usize)
            .cloned()
            .ok_or_else(|| Error::Internal(format!("a loader has no tag {}", tag.0)))
    }

    /// How many points one worker may hold at a time, of 16 bytes or fewer.
    fn points_at_once(&self) -> usize {
        (self.options.memory_bytes / 4 / 16 / self.options.threads.max(1)).max(64)
    }
}

impl Tag {
    fn code(&self, text: &Arc<str>) -> Result<u32> {
        let refuse = |problem: String| Error::Value { value_type: self.value_type, problem };
        if !matches!(self.value_type, ValueType::Text | ValueType::Set) {
            return Err(refuse(format!("{text} is a text")));
        }
        let mut texts = self.texts.lock();
        if let Some(code) = texts.places.get(text.as_ref()) {
            return Ok(*code);
        }
        check_text(text).map_err(refuse)?;
        if texts.all.len() >= MAX_VALUES {
            return Err(refuse(format!("it has more than {MAX_VALUES} different values")));
        }
        let code = texts.all.len() as u32;
        texts.places.insert(text.clone(), code);
        texts.all.push(text.clone());
        Ok(code)
    }
}

fn store_error(path: &Path, error: &std::io::Error) -> Error {
    Error::Store { object: path.display().to_string(), detail: error.to_string() }
}
