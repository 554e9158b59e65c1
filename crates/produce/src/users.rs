//! The users that one worker owns, numbered densely as they are first seen.

use hashbrown::HashTable;

/// User ids and their local numbers. Ids lie one behind the other in one text, so a million users
/// are a few allocations.
#[derive(Default)]
pub(crate) struct Users {
    numbers: HashTable<u32>,
    hashes: Vec<u64>,
    ends: Vec<usize>,
    text: String,
}

impl Users {
    /// The number of an id, given its hash; a new id gets the next one.
    pub(crate) fn number(&mut self, id: &str, hash: u64) -> u32 {
        let Self { numbers, hashes, ends, text } = self;
        let found = numbers.find(hash, |number| slice(text, ends, *number as usize) == id);
        if let Some(number) = found {
            return *number;
        }
        // A worker's users are a part of the app's, whose ordinals have 32 bits.
        let number = ends.len() as u32;
        text.push_str(id);
        ends.push(text.len());
        hashes.push(hash);
        numbers.insert_unique(hash, number, |number| hashes[*number as usize]);
        number
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn id(&self, number: usize) -> &str {
        slice(&self.text, &self.ends, number)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|number| self.id(number))
    }
}

fn slice<'a>(text: &'a str, ends: &[usize], number: usize) -> &'a str {
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &text[start..ends[number]]
}

/// Of a user id; its upper half chooses the worker, the whole of it the place in the worker's
/// table.
pub(crate) fn hash(id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(id.as_bytes())
}

/// Which of `workers` owns the user.
pub(crate) fn owner(hash: u64, workers: usize) -> usize {
    ((hash >> 32) as usize) % workers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_in_the_order_of_first_sight() {
        let mut users = Users::default();
        let numbers: Vec<u32> =
            ["b", "a", "", "b", "ab", "a"].iter().map(|id| users.number(id, hash(id))).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 3, 1]);
        assert_eq!(users.ids().collect::<Vec<_>>(), ["b", "a", "", "ab"]);
    }

    #[test]
    fn ids_of_one_hash_are_told_apart() {
        let mut users = Users::default();
        assert_eq!((users.number("x", 7), users.number("y", 7), users.number("x", 7)), (0, 1, 0));
    }
}
