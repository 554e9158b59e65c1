//! The bytes of a stored set: of a large object the file's own pages, where the store has files.
//!
//! What is mapped takes memory only while it is read, and the system takes it back when memory is
//! short. A mapping costs the system a table entry, of which a process has 65,530 (Linux), so small
//! objects are copied instead, and there is a bound.

use crate::Result;
use crate::loaded_sets::LoadedSets;
use bytes::Bytes;
use object_store::{GetResult, GetResultPayload};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Objects of fewer bytes are copied.
const MAPPED_FROM: u64 = 64 << 10;
/// So many objects are mapped at one time; segments of the index need mappings, too.
const MAX_MAPPED: usize = 16_384;
/// What a mapped object counts for in the budget: its tables of pages.
const MAPPED_BYTES: u64 = 4 << 10;

/// How many objects are mapped.
#[derive(Clone, Default)]
pub(crate) struct Mappings(Arc<AtomicUsize>);

/// A place among them, until it is dropped.
struct Mapping(Mappings);

/// The bytes of an object.
pub(crate) struct SetBytes {
    pub(crate) bytes: Bytes,
    mapping: Option<Mapping>,
}

/// Keeps the place of what is mapped.
pub(crate) struct Mapped(#[allow(dead_code, reason = "dropped with the set")] Option<Mapping>);

impl Mappings {
    fn place(&self) -> Option<Mapping> {
        let taken = self.0.fetch_add(1, Ordering::Relaxed);
        let place = Mapping(self.clone());
        (taken < MAX_MAPPED).then_some(place)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SetBytes {
    /// What they count for in the budget of memory.
    pub(crate) fn kept_bytes(&self) -> u64 {
        if self.mapping.is_some() { MAPPED_BYTES } else { self.bytes.len() as u64 }
    }

    pub(crate) fn into_parts(self) -> (Bytes, Mapped) {
        (self.bytes, Mapped(self.mapping))
    }
}

impl From<Bytes> for SetBytes {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, mapping: None }
    }
}

impl LoadedSets {
    /// The bytes of what a store has found.
    pub(crate) async fn bytes_of(&self, found: GetResult) -> Result<SetBytes> {
        let is_large = found.meta.size >= MAPPED_FROM;
        if let (true, GetResultPayload::File(file, _)) = (is_large, &found.payload)
            && let Some(mapping) = self.mappings.place()
            // Reads nothing yet. A system that maps no more leaves the way of copies.
            && let Ok(bytes) = taghouse_bitmap::map(file)
        {
            return Ok(SetBytes { bytes, mapping: Some(mapping) });
        }
        Ok(found.bytes().await?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;
    use object_store::{ObjectStore, ObjectStoreExt, path::Path};

    #[tokio::test]
    async fn large_files_are_mapped_and_all_else_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let sets = LoadedSets::new(0);
        let (small, large) = (vec![7_u8; 100], vec![8_u8; MAPPED_FROM as usize]);
        let stores: [(&dyn ObjectStore, u64); 2] =
            [(&local, MAPPED_BYTES), (&InMemory::new(), MAPPED_FROM)];
        for (store, kept) in stores {
            let (a, b) = (Path::from("a"), Path::from("b"));
            store.put(&a, small.clone().into()).await.unwrap();
            store.put(&b, large.clone().into()).await.unwrap();
            let read = sets.bytes_of(store.get(&a).await.unwrap()).await.unwrap();
            assert_eq!((&read.bytes[..], read.kept_bytes()), (&small[..], 100));
            let read = sets.bytes_of(store.get(&b).await.unwrap()).await.unwrap();
            assert_eq!((&read.bytes[..], read.kept_bytes()), (&large[..], kept));
            // Unlinked, and another object in its place: readers keep what they have.
            store.put(&b, small.clone().into()).await.unwrap();
            store.delete(&b).await.unwrap();
            assert_eq!(&read.bytes[..], &large[..]);
        }
        assert_eq!(sets.mappings.0.load(Ordering::Relaxed), 0, "each gave its place back");
    }

    #[test]
    fn mappings_are_bounded() {
        let mappings = Mappings::default();
        let held: Vec<_> = (0..MAX_MAPPED).map(|_| mappings.place()).collect();
        assert!(held.iter().all(Option::is_some) && mappings.place().is_none());
        drop(held);
        assert!(mappings.place().is_some(), "places that were given back");
    }
}
