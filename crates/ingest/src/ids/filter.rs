//! Whether a run may have an id: a Bloom filter in blocks of a cache line (Putze, Sanders, Singler,
//! Cache-, Hash- and Space-Efficient Bloom Filters, 2007).
//!
//! An id's block is found by its upper bits, in proportion. So ids that are looked up in their order
//! touch the blocks in theirs: with thousands at once, a look costs no cache miss.

use super::entry::Key;

/// Two new ids in a thousand are looked for in vain.
const BITS_PER_ID: u64 = 14;
const BLOCK_BITS: u64 = 512;
const WORDS: usize = 8;
/// Bits that are set for an id, besides one: 9 bits of its lower 64 name each.
const PROBES: u32 = 7;

/// A filter of 512 bits for each 36 ids.
pub(super) struct Filter {
    blocks: Vec<[u64; WORDS]>,
}

/// Bytes of a block, as it is written.
pub(super) const BLOCK_BYTES: usize = WORDS * 8;

impl Filter {
    /// For so many ids.
    pub(super) fn for_ids(ids: u64) -> Self {
        let blocks = (ids * BITS_PER_ID).div_ceil(BLOCK_BITS).max(1);
        Self { blocks: vec![[0; WORDS]; blocks as usize] }
    }

    pub(super) fn add(&mut self, key: &Key) {
        let at = self.block(key);
        let block = &mut self.blocks[at];
        for bit in bits(key) {
            block[bit >> 6] |= 1 << (bit & 63);
        }
    }

    pub(super) fn may_have(&self, key: &Key) -> bool {
        let block = &self.blocks[self.block(key)];
        bits(key).all(|bit| block[bit >> 6] & 1 << (bit & 63) != 0)
    }

    fn block(&self, key: &Key) -> usize {
        let upper = key.id >> 64;
        ((upper * self.blocks.len() as u128) >> 64) as usize
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for word in self.blocks.iter().flatten() {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// What [`Filter::write`] wrote.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let blocks = bytes.as_chunks::<8>().0.as_chunks::<WORDS>().0;
        Self { blocks: blocks.iter().map(|words| words.each_ref().map(word)).collect() }
    }
}

fn bits(key: &Key) -> impl Iterator<Item = usize> {
    let hash = key.id as u64 ^ key.app;
    let last = ((key.id >> 64) as u64 ^ key.app) as usize & 511;
    let of_hash = (0..PROBES).map(move |probe| (hash >> (9 * probe)) as usize & 511);
    of_hash.chain([last])
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_128;

    fn key(number: u64) -> Key {
        Key { app: 7, id: xxh3_128(&number.to_le_bytes()) }
    }

    #[test]
    fn it_has_what_was_added_and_little_else() {
        let mut filter = Filter::for_ids(100_000);
        (0..100_000).for_each(|number| filter.add(&key(number)));
        let mut bytes = Vec::new();
        filter.write(&mut bytes);
        let filter = Filter::read(&bytes);
        assert!((0..100_000).all(|number| filter.may_have(&key(number))));
        let others = (100_000..200_000).filter(|number| filter.may_have(&key(*number))).count();
        assert!(others < 400, "{others} of 100,000 others");
    }
}
