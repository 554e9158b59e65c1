//! Pages on their way between memory and the object store.
//!
//! A changed page stays in memory until the next file is written: one object with all changed
//! pages, one behind the other, and a directory at its end. A page's newest copy counts. Files that
//! nothing needs any more go after the checkpoint that no longer names them; those of which little
//! is needed are written again with the next.
//!
//! ```text
//! file: pages | directory
//! directory: for each page, 41 bytes: kind 1, tag 8, number 8, offset 8, length 8, checksum (XXH3) 8
//! ```
//!
//! All numbers are little-endian.

use crate::{Error, Result};
use bytes::Bytes;
use hashbrown::HashMap;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const ENTRY_BYTES: usize = 41;

/// Files are written again when less than half of what they take is needed, and they take more
/// than this.
const LEAST_GARBAGE: u64 = 16 << 20;

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PageKind {
    /// States of users.
    States,
    /// The users of whom a tag may change at an instant.
    Timer,
    /// What rows add that are ahead of time.
    Ahead,
}

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PageKey {
    pub(crate) kind: PageKind,
    /// Which tag: [`crate::plan::LiveTag::hash`].
    pub(crate) tag: u64,
    /// Of states the page's number, else the instant.
    pub(crate) number: i64,
}

/// A file as the checkpoint names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedFile {
    number: u32,
    name: String,
    /// Where the directory begins, and where it ends.
    directory: u64,
    bytes: u64,
    checksum: u64,
}

impl SavedFile {
    /// The object's path.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

#[derive(Debug, Clone)]
struct PageFile {
    saved: SavedFile,
    /// Bytes of pages that count.
    live: u64,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    file: u32,
    offset: u64,
    len: u64,
    checksum: u64,
}

impl Place {
    fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// What it counts in its file. An empty page counts too: it hides one of an older file.
    fn weight(&self) -> u64 {
        self.len.max(1)
    }
}

#[derive(Clone)]
struct ByLength;

impl Weighter<PageKey, Bytes> for ByLength {
    fn weight(&self, _: &PageKey, page: &Bytes) -> u64 {
        page.len() as u64 + 100
    }
}

/// The pages of one app.
pub(crate) struct PageStore {
    objects: Arc<dyn ObjectStore>,
    /// The folder of its objects, and what their names begin with.
    prefix: String,
    files: BTreeMap<u32, PageFile>,
    next_file: u32,
    places: HashMap<PageKey, Place>,
    dirty: HashMap<PageKey, Bytes>,
    dirty_bytes: u64,
    clean: Cache<PageKey, Bytes, ByLength>,
    /// Objects that no page counts of any more.
    obsolete: Vec<String>,
}

impl PageStore {
    /// An empty store whose objects' names begin with `prefix`; `budget_bytes` bound the pages that
    /// are kept in memory although they are in a file.
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, prefix: String, budget_bytes: u64) -> Self {
        Self {
            objects,
            prefix,
            files: BTreeMap::new(),
            next_file: 0,
            places: HashMap::new(),
            dirty: HashMap::new(),
            dirty_bytes: 0,
            clean: Cache::with_weighter(10_000, budget_bytes, ByLength),
            obsolete: Vec::new(),
        }
    }

    /// The pages of these files, the later ones on top.
    ///
    /// # Errors
    /// Of the object store; `Damaged` for a directory that is not what was written.
    pub(crate) async fn open(&mut self, files: Vec<SavedFile>) -> Result<()> {
        for saved in files {
            let range = saved.directory..saved.bytes;
            let bytes = self.read(&saved.name, &[range]).await?.pop().unwrap_or_default();
            if xxh3_64(&bytes) != saved.checksum || bytes.len() % ENTRY_BYTES != 0 {
                return Err(Error::damaged(format!("the directory of {}", saved.name)));
            }
            let number = saved.number;
            self.next_file = self.next_file.max(number + 1);
            self.files.insert(number, PageFile { saved, live: 0 });
            for entry in bytes.chunks_exact(ENTRY_BYTES) {
                let (key, place) = read_entry(entry, number)?;
                self.place(key, place);
            }
        }
        Ok(())
    }

    /// The files, as a checkpoint is to name them. All pages must be in one.
    pub(crate) fn files(&self) -> Vec<SavedFile> {
        debug_assert!(self.dirty.is_empty());
        self.files.values().map(|file| file.saved.clone()).collect()
    }

    /// Bytes of pages that count, in files.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.files.values().map(|file| file.live).sum()
    }

    /// Bytes of changed pages in memory.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes
    }

    /// Bytes of all pages in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.dirty_bytes + self.clean.weight()
    }

    /// The keys of all tags' pages of a kind, ascending: those of one tag are side by side.
    pub(crate) fn keys(&self, kind: PageKind) -> Vec<PageKey> {
        let stored = self.places.iter().filter(|(_, place)| place.len > 0).map(|(key, _)| key);
        let of_kind = |key: &&PageKey| key.kind == kind;
        let mut keys: Vec<PageKey> =
            stored.chain(self.dirty.keys()).filter(of_kind).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Empties the pages of the tags that are not to be kept.
    pub(crate) fn retain_tags(&mut self, keep: impl Fn(u64) -> bool) {
        let stored = self.places.iter().filter(|(_, place)| place.len > 0).map(|(key, _)| key);
        let goes: Vec<PageKey> =
            stored.chain(self.dirty.keys()).filter(|key| !keep(key.tag)).copied().collect();
        goes.into_iter().for_each(|key| self.put(key, Vec::new()));
    }

    /// Takes over the pages of another store, on top of its own. None of that may be in memory
    /// alone: [`PageStore::flush`] it first.
    pub(crate) fn absorb(&mut self, other: Self) {
        debug_assert!(other.dirty.is_empty());
        let mut numbers = BTreeMap::new();
        for (number, PageFile { mut saved, .. }) in other.files {
            numbers.insert(number, self.next_file);
            saved.number = self.next_file;
            self.files.insert(self.next_file, PageFile { saved, live: 0 });
            self.next_file += 1;
        }
        for (key, place) in other.places {
            let Some(file) = numbers.get(&place.file) else { continue };
            self.place(key, Place { file: *file, ..place });
        }
        self.obsolete.extend(other.obsolete);
    }

    /// The names of the objects that pages are in.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.values().map(|file| file.saved.name())
    }

    /// Pages, each as it is now; empty where there is none.
    ///
    /// # Errors
    /// Of the object store; `Damaged` for a page that is not what was written.
    pub(crate) async fn load(&mut self, keys: &[PageKey]) -> Result<HashMap<PageKey, Bytes>> {
        let mut found = HashMap::with_capacity(keys.len());
        let mut missing: BTreeMap<u32, Vec<(PageKey, Place)>> = BTreeMap::new();
        for key in keys {
            if let Some(page) = self.dirty.get(key).or_else(|| self.clean.get(key)) {
                found.insert(*key, page.clone());
            } else if let Some(place) = self.places.get(key).filter(|place| place.len > 0) {
                missing.entry(place.file).or_default().push((*key, *place));
            } else {
                found.insert(*key, Bytes::new());
            }
        }
        for (file, mut pages) in missing {
            pages.sort_unstable_by_key(|(_, place)| place.offset);
            let ranges: Vec<Range<u64>> = pages.iter().map(|(_, place)| place.range()).collect();
            let name = self.files[&file].saved.name.clone();
            for ((key, place), page) in pages.into_iter().zip(self.read(&name, &ranges).await?) {
                if xxh3_64(&page) != place.checksum {
                    return Err(Error::damaged(format!("a page in {name}")));
                }
                self.clean.insert(key, page.clone());
                found.insert(key, page);
            }
        }
        Ok(found)
    }

    /// Changes a page; an empty one is none.
    pub(crate) fn put(&mut self, key: PageKey, page: Vec<u8>) {
        self.clean.remove(&key);
        self.dirty_bytes += page.len() as u64;
        if let Some(before) = self.dirty.insert(key, page.into()) {
            self.dirty_bytes -= before.len() as u64;
        }
    }

    /// Writes all changed pages as one file, with pages of files of which little counts.
    ///
    /// # Errors
    /// Of the object store; nothing has changed then.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.gather_garbage().await?;
        if self.dirty.is_empty() {
            return Ok(());
        }
        let hides = |key: &PageKey, page: &Bytes| !page.is_empty() || self.places.contains_key(key);
        let mut pages: Vec<(PageKey, Bytes)> = self
            .dirty
            .iter()
            .filter(|(key, page)| hides(key, page))
            .map(|(key, page)| (*key, page.clone()))
            .collect();
        pages.sort_unstable_by_key(|(key, _)| *key);
        let number = self.next_file;
        let (content, places, directory) = encode(&pages, number);
        let name = format!("{}{number:08}.pages", self.prefix);
        let saved = SavedFile {
            number,
            directory,
            bytes: content.len() as u64,
            checksum: xxh3_64(&content[directory as usize..]),
            name: name.clone(),
        };
        let failed = |detail: String| Error::Store { object: name.clone(), detail };
        let path = ObjectPath::parse(&name).map_err(|e| failed(e.to_string()))?;
        self.objects.put(&path, content.into()).await.map_err(|e| failed(e.to_string()))?;
        self.next_file += 1;
        self.files.insert(number, PageFile { saved, live: 0 });
        for ((key, page), place) in pages.into_iter().zip(places) {
            self.place(key, place);
            if !page.is_empty() {
                self.clean.insert(key, page);
            }
        }
        self.dirty.clear();
        self.dirty_bytes = 0;
        Ok(())
    }

    /// Removes objects that no checkpoint names any more. What cannot be removed stays behind, and
    /// goes when the app's states are computed the next time.
    pub(crate) async fn remove_obsolete(&mut self) {
        for name in std::mem::take(&mut self.obsolete) {
            remove(&self.objects, &name).await;
        }
    }

    /// Marks the pages of a file of which less than half counts as changed, so that they are
    /// written again.
    async fn gather_garbage(&mut self) -> Result<()> {
        let (mut live, mut all) = (0, 0);
        for file in self.files.values() {
            live += file.live;
            all += file.saved.directory;
        }
        if all < 2 * live + LEAST_GARBAGE {
            return Ok(());
        }
        let wasteful = |(_, file): &(&u32, &PageFile)| 2 * file.live < file.saved.directory;
        let Some(file) = self.files.iter().find(wasteful).map(|(number, _)| *number) else {
            return Ok(());
        };
        let in_file = |(key, place): (&PageKey, &Place)| {
            (place.file == file && !self.dirty.contains_key(key)).then_some(*key)
        };
        let keys: Vec<PageKey> = self.places.iter().filter_map(in_file).collect();
        let oldest = self.files.first_key_value().is_some_and(|(first, _)| *first == file);
        for (key, page) in self.load(&keys).await? {
            if page.is_empty() && oldest {
                self.forget(key);
            } else {
                self.put(key, page.to_vec());
            }
        }
        Ok(())
    }

    /// From now on the page is there.
    fn place(&mut self, key: PageKey, place: Place) {
        if let Some(file) = self.files.get_mut(&place.file) {
            file.live += place.weight();
        }
        if let Some(before) = self.places.insert(key, place) {
            self.release(before);
        }
    }

    /// Of an empty page that hides nothing any more.
    fn forget(&mut self, key: PageKey) {
        if let Some(place) = self.places.remove(&key) {
            self.release(place);
        }
    }

    /// A page counts no more; nor does its file if it was the last.
    fn release(&mut self, place: Place) {
        let Some(file) = self.files.get_mut(&place.file) else { return };
        file.live -= place.weight();
        if file.live == 0 {
            let file = self.files.remove(&place.file);
            self.obsolete.extend(file.map(|file| file.saved.name));
        }
    }

    async fn read(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let failed = |detail: String| Error::Store { object: name.to_owned(), detail };
        let path = ObjectPath::parse(name).map_err(|e| failed(e.to_string()))?;
        let read = self.objects.get_ranges(&path, ranges).await;
        read.map_err(|e| match e {
            object_store::Error::NotFound { .. } => Error::damaged(format!("{name} is missing")),
            e => failed(e.to_string()),
        })
    }
}

pub(crate) async fn remove(objects: &Arc<dyn ObjectStore>, name: &str) {
    let Ok(path) = ObjectPath::parse(name) else { return };
    match objects.delete(&path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => tracing::warn!(name, %error, "an object of the stream could not be removed"),
    }
}

/// The bytes of a file, the pages' places, and where the directory begins.
fn encode(pages: &[(PageKey, Bytes)], file: u32) -> (Vec<u8>, Vec<Place>, u64) {
    let bytes = pages.iter().map(|(_, page)| page.len() + ENTRY_BYTES).sum();
    let mut content = Vec::with_capacity(bytes);
    let mut places = Vec::with_capacity(pages.len());
    for (_, page) in pages {
        let (offset, len) = (content.len() as u64, page.len() as u64);
        places.push(Place { file, offset, len, checksum: xxh3_64(page) });
        content.extend_from_slice(page);
    }
    let directory = content.len() as u64;
    for ((key, _), place) in pages.iter().zip(&places) {
        content.push(match key.kind {
            PageKind::States => 0,
            PageKind::Timer => 1,
            PageKind::Ahead => 2,
        });
        content.extend_from_slice(&key.tag.to_le_bytes());
        content.extend_from_slice(&key.number.to_le_bytes());
        content.extend_from_slice(&place.offset.to_le_bytes());
        content.extend_from_slice(&place.len.to_le_bytes());
        content.extend_from_slice(&place.checksum.to_le_bytes());
    }
    (content, places, directory)
}

fn read_entry(entry: &[u8], file: u32) -> Result<(PageKey, Place)> {
    let number = |from: usize| {
        entry[from..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let kind = match entry[0] {
        0 => PageKind::States,
        1 => PageKind::Timer,
        2 => PageKind::Ahead,
        other => return Err(Error::damaged(format!("a page of kind {other}"))),
    };
    let key = PageKey { kind, tag: number(1), number: number(9).cast_signed() };
    Ok((key, Place { file, offset: number(17), len: number(25), checksum: number(33) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    fn key(number: i64) -> PageKey {
        PageKey { kind: PageKind::States, tag: 3, number }
    }

    fn store(objects: &Arc<dyn ObjectStore>) -> PageStore {
        PageStore::new(objects.clone(), "stream/shop/a-".to_owned(), 1 << 20)
    }

    async fn page(store: &mut PageStore, number: i64) -> Vec<u8> {
        store.load(&[key(number)]).await.unwrap()[&key(number)].to_vec()
    }

    #[tokio::test]
    async fn pages_come_back_from_their_newest_file() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut first = store(&objects);
        first.put(key(1), b"one".to_vec());
        first.put(key(2), b"two".to_vec());
        first.flush().await.unwrap();
        first.put(key(2), b"deux".to_vec());
        first.put(key(1), Vec::new());
        first.put(key(3), b"trois".to_vec());
        assert_eq!(page(&mut first, 2).await, b"deux", "in memory");
        first.flush().await.unwrap();
        assert_eq!(first.files().len(), 1, "nothing of the first file counts");
        first.put(key(3), b"drei".to_vec());
        first.flush().await.unwrap();
        assert_eq!(first.files().len(), 2, "the second file still says that page 1 is empty");

        let mut again = store(&objects);
        again.open(first.files()).await.unwrap();
        assert_eq!(page(&mut again, 1).await, b"");
        assert_eq!(page(&mut again, 2).await, b"deux");
        assert_eq!(again.keys(PageKind::States), [key(2), key(3)]);
        assert_eq!(page(&mut again, 3).await, b"drei");
        assert_eq!(again.live_bytes(), 9);
        first.remove_obsolete().await;
        let left: Vec<_> = futures::StreamExt::collect::<Vec<_>>(objects.list(None)).await;
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[tokio::test]
    async fn a_changed_byte_is_noticed() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut first = store(&objects);
        first.put(key(1), vec![5; 100]);
        first.flush().await.unwrap();
        let path = ObjectPath::parse("stream/shop/a-00000000.pages").unwrap();
        let content = objects.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        for at in 0..content.len() {
            let mut wrong = content.clone();
            wrong[at] ^= 1;
            objects.put(&path, wrong.into()).await.unwrap();
            let mut again = store(&objects);
            let opened = again.open(first.files()).await;
            let loaded = again.load(&[key(1)]).await.map(drop);
            assert!(opened.is_err() || loaded.is_err(), "byte {at}");
        }
    }
}
