use taghouse_model::Ordinal;

const WORDS: usize = 8;

/// Which ordinals a re-packing kept, and the new ordinal of each: its rank among them. Takes a bit
/// and a sixteenth an old ordinal.
#[derive(Default)]
pub struct Renumbering {
    words: Vec<u64>,
    /// How many are kept before each eight words.
    ranks: Vec<u32>,
    len: u32,
}

impl Renumbering {
    /// The new ordinal of an old one; `None` if it was not kept.
    pub fn new_ordinal(&self, old: Ordinal) -> Option<Ordinal> {
        let (word, bit) = ((old / 64) as usize, old % 64);
        let bits = *self.words.get(word)?;
        if bits >> bit & 1 == 0 {
            return None;
        }
        let before =
            self.words[word - word % WORDS..word].iter().map(|bits| bits.count_ones()).sum::<u32>();
        Some(self.ranks[word / WORDS] + before + (bits & ((1 << bit) - 1)).count_ones())
    }

    /// How many are kept.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps one that is higher than all before.
    pub(crate) fn push(&mut self, old: Ordinal) {
        let word = (old / 64) as usize;
        while self.words.len() <= word {
            if self.words.len().is_multiple_of(WORDS) {
                self.ranks.push(self.len);
            }
            self.words.push(0);
        }
        self.words[word] |= 1 << (old % 64);
        self.len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_are_counted(kept in proptest::collection::btree_set(0u32..3000, 0..400)) {
            let mut renumbering = Renumbering::default();
            kept.iter().for_each(|old| renumbering.push(*old));
            for old in 0..3100 {
                let expected = kept.contains(&old).then(|| kept.range(..old).count() as u32);
                prop_assert_eq!(renumbering.new_ordinal(old), expected);
            }
            prop_assert_eq!(renumbering.len() as usize, kept.len());
        }
    }
}
