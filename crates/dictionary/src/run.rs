//! Sorted runs: hashes of ids with their ordinals, by which an id is found.
//!
//! An entry has eight bytes, the hash in the high half, so that entries sort as numbers. The
//! directory follows: hashes are spread evenly, so the highest bits of one select a bucket of some
//! eight entries, and four bytes a bucket give its beginning.
//!
//! A run covers the ordinals of adjacent ids files. It is derived from them: a missing run is
//! rebuilt.

use crate::block_file::{BLOCK_BYTES, BlockFile, BlockWriter, FileKind};
use crate::deleted::Deleted;
use crate::{Error, Result};
use std::path::PathBuf;
use taghouse_model::Ordinal;

const ENTRY_BYTES: usize = 8;
const BUCKET_ENTRIES: u64 = 8;
/// A merge holds about this many entries at a time.
const MERGE_ENTRIES: u64 = 1 << 16;

/// An opened run.
pub(crate) struct SortedRun {
    file: BlockFile,
    /// The ordinals it covers; deleted ones may have no entry.
    pub(crate) first: Ordinal,
    pub(crate) end: Ordinal,
    entries: usize,
    bits: u32,
}

impl SortedRun {
    pub(crate) fn open(path: PathBuf, first: Ordinal, end: Ordinal) -> Result<Self> {
        let file = BlockFile::open(path, FileKind::Run)?;
        let [covers, entries, bits] = file.numbers;
        if covers != u64::from(first) << 32 | u64::from(end) {
            return Err(file.damaged("it covers other ordinals than its manifest says"));
        }
        let sizes = (
            usize::try_from(entries),
            u32::try_from(bits).ok().filter(|bits| (1..=32).contains(bits)),
        );
        let (Ok(entries), Some(bits)) = sizes else {
            return Err(file.damaged("its directory's size"));
        };
        let covered = usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX);
        // Before the product, which must not overflow.
        if entries > covered
            || entries * ENTRY_BYTES + 4 * ((1_usize << bits) + 1) > file.bytes().len()
        {
            return Err(file.damaged("its entries do not fit into it"));
        }
        Ok(Self { file, first, end, entries, bits })
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// The bytes of the directory that `bucket` reads, verified.
    #[inline]
    pub(crate) fn bucket_bytes(&self, hash: u32) -> Result<&[u8]> {
        let at = self.bucket_at(hash);
        self.file.verify(at..at + 8)?;
        Ok(&self.file.bytes()[at..at + 8])
    }

    /// The range of entries that may have this hash. Call `bucket_bytes` first.
    #[inline]
    pub(crate) fn bucket(&self, hash: u32) -> (u32, u32) {
        let at = self.bucket_at(hash);
        (self.file.u32_at(at), self.file.u32_at(at + 4))
    }

    #[inline]
    fn bucket_at(&self, hash: u32) -> usize {
        self.entries * ENTRY_BYTES + (hash >> (32 - self.bits)) as usize * 4
    }

    #[inline]
    pub(crate) fn entry_bytes(&self, index: u32) -> &[u8] {
        let at = index as usize * ENTRY_BYTES;
        self.file.bytes().get(at..at + ENTRY_BYTES).unwrap_or_default()
    }

    /// Verifies a range of entries. Call it before reading them.
    #[inline]
    pub(crate) fn verify(&self, (start, end): (u32, u32)) -> Result<()> {
        self.file.verify(start as usize * ENTRY_BYTES..end as usize * ENTRY_BYTES)
    }

    #[inline]
    pub(crate) fn entry(&self, index: u32) -> u64 {
        self.file.u64_at(index as usize * ENTRY_BYTES)
    }

    pub(crate) fn damaged(&self, detail: &str) -> Error {
        self.file.damaged(detail)
    }
}

/// Inputs of a merge: each sorted, no ordinal in two of them.
pub(crate) enum Source<'a> {
    SortedRun(&'a SortedRun),
    Sorted(&'a [u64]),
}

impl Source<'_> {
    fn len(&self) -> usize {
        match self {
            Self::SortedRun(run) => run.entries,
            Self::Sorted(entries) => entries.len(),
        }
    }

    /// Appends the entries from `at` on that are of this part of the hashes, and gives where the
    /// next ones begin.
    fn take_part(
        &self,
        mut at: usize,
        is_in: impl Fn(u64) -> bool,
        out: &mut Vec<u64>,
    ) -> Result<usize> {
        match self {
            Self::Sorted(entries) => {
                let part = entries[at..].partition_point(|entry| is_in(*entry));
                out.extend_from_slice(&entries[at..at + part]);
                Ok(at + part)
            }
            Self::SortedRun(run) => {
                while at < run.entries {
                    let start = at * ENTRY_BYTES;
                    if start.is_multiple_of(BLOCK_BYTES) {
                        run.file
                            .verify(start..(start + BLOCK_BYTES).min(run.entries * ENTRY_BYTES))?;
                    }
                    let entry = run.file.u64_at(start);
                    if !is_in(entry) {
                        break;
                    }
                    out.push(entry);
                    at += 1;
                }
                Ok(at)
            }
        }
    }
}

/// Writes one run of all the entries but those of deleted users. Streams: the hashes are taken part
/// by part, each part sorted in memory, where the sort finds that it is made of sorted stretches.
pub(crate) fn merge(
    path: PathBuf,
    sources: &[Source<'_>],
    deleted: &Deleted,
    first: Ordinal,
    end: Ordinal,
) -> Result<()> {
    merge_unless(path, sources, deleted, first, end, || false).map(drop)
}

/// As `merge`, but ends early, without a run, when it is told to stop; whether the run is there.
pub(crate) fn merge_unless(
    path: PathBuf,
    sources: &[Source<'_>],
    deleted: &Deleted,
    first: Ordinal,
    end: Ordinal,
    stop: impl Fn() -> bool,
) -> Result<bool> {
    let total = sources.iter().map(|source| source.len() as u64).sum::<u64>();
    let mut writer = RunWriter::create(path, total)?;
    let part_bits = (total / MERGE_ENTRIES).max(1).ilog2().min(24);
    let mut cursors = vec![0; sources.len()];
    let mut buffer = Vec::new();
    for part in 0..1u64 << part_bits {
        if stop() {
            return Ok(false);
        }
        buffer.clear();
        for (source, cursor) in sources.iter().zip(&mut cursors) {
            *cursor = source.take_part(
                *cursor,
                |entry| (entry >> 32) >> (32 - part_bits) == part,
                &mut buffer,
            )?;
        }
        if !deleted.is_empty() {
            buffer.retain(|entry| !deleted.contains(*entry as Ordinal));
        }
        buffer.sort();
        writer.push(&buffer)?;
    }
    writer.finish(first, end)?;
    Ok(true)
}

struct RunWriter {
    file: BlockWriter,
    entries: u32,
    bits: u32,
    directory: Vec<u32>,
    bytes: Vec<u8>,
}

impl RunWriter {
    fn create(path: PathBuf, expected: u64) -> Result<Self> {
        let bits = expected.div_ceil(BUCKET_ENTRIES).max(2).next_power_of_two().ilog2();
        let directory = Vec::with_capacity((1 << bits) + 1);
        Ok(Self {
            file: BlockWriter::create(path)?,
            entries: 0,
            bits,
            directory,
            bytes: Vec::new(),
        })
    }

    /// Later calls have later entries.
    fn push(&mut self, sorted: &[u64]) -> Result<()> {
        self.bytes.clear();
        for entry in sorted {
            let bucket = (entry >> (64 - self.bits)) as usize;
            while self.directory.len() <= bucket {
                self.directory.push(self.entries);
            }
            self.entries += 1;
            self.bytes.extend_from_slice(&entry.to_le_bytes());
        }
        self.file.write(&self.bytes)
    }

    fn finish(mut self, first: Ordinal, end: Ordinal) -> Result<()> {
        self.directory.resize((1 << self.bits) + 1, self.entries);
        for chunk in self.directory.chunks(BLOCK_BYTES / 4) {
            self.bytes.clear();
            self.bytes.extend(chunk.iter().flat_map(|start| start.to_le_bytes()));
            self.file.write(&self.bytes)?;
        }
        self.file.finish(
            FileKind::Run,
            [
                u64::from(first) << 32 | u64::from(end),
                u64::from(self.entries),
                u64::from(self.bits),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn merged_runs_hold_what_their_sources_hold(
            hashes in proptest::collection::vec(prop_oneof![any::<u32>(), 0u32..4, Just(u32::MAX)], 0..300),
            cuts in proptest::collection::vec(0usize..300, 0..4),
            gone in proptest::collection::btree_set(0u32..300, 0..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let all: Vec<u64> = (0u32..).zip(&hashes).map(|(ordinal, hash)| crate::packed::entry(*hash, ordinal)).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < all.len()).chain([0, all.len()]).collect();
            cuts.sort_unstable();
            let deleted = Deleted::default().with(gone.iter().copied());
            let mut runs = Vec::new();
            for (number, cut) in cuts.windows(2).enumerate() {
                let mut part = all[cut[0]..cut[1]].to_vec();
                part.sort_unstable();
                let (path, ends) = (folder.path().join(number.to_string()), (cut[0] as u32, cut[1] as u32));
                merge(path.clone(), &[Source::Sorted(&part)], &Deleted::default(), ends.0, ends.1).unwrap();
                runs.push(SortedRun::open(path, ends.0, ends.1).unwrap());
            }
            let sources: Vec<Source<'_>> = runs.iter().map(Source::SortedRun).collect();
            let path = folder.path().join("merged");
            merge(path.clone(), &sources, &deleted, 0, all.len() as u32).unwrap();
            let merged = SortedRun::open(path, 0, all.len() as u32).unwrap();
            let mut expected: Vec<u64> = all.iter().copied().filter(|entry| !gone.contains(&(*entry as u32))).collect();
            expected.sort_unstable();
            let held: Vec<u64> = (0..merged.entries() as u32).map(|at| merged.entry(at)).collect();
            prop_assert_eq!(&held, &expected);
            for hash in hashes {
                merged.bucket_bytes(hash).unwrap();
                let (start, end) = merged.bucket(hash);
                let inside = (start..end).filter(|at| merged.entry(*at) >> 32 == u64::from(hash)).count();
                prop_assert_eq!(inside, expected.iter().filter(|entry| **entry >> 32 == u64::from(hash)).count());
            }
        }
    }
}
