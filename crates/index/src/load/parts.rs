use std::ops::Range;

/// What one worker builds at a time: some tags of one shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The shard's place among the loader's.
    pub(super) place: usize,
    pub(super) tags: Range<usize>,
}

/// Parts for each thread, where there are so many: their work is not the same.
const PARTS_A_THREAD: usize = 4;

/// Divides the work by shards and, where there are few shards, their tags too. By shard and tag.
pub(super) fn parts(shards: usize, tags: usize, threads: usize) -> Vec<Part> {
    let of_shard = (PARTS_A_THREAD * threads).div_ceil(shards.max(1)).max(1);
    let len = tags.div_ceil(of_shard).max(1);
    (0..shards)
        .flat_map(|place| {
            let starts = (0..tags).step_by(len);
            starts.map(move |start| Part { place, tags: start..(start + len).min(tags) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shards: usize, tags: usize, threads: usize, expected: &[(usize, Range<usize>)]) {
        let found = parts(shards, tags, threads);
        let found: Vec<_> = found.into_iter().map(|Part { place, tags }| (place, tags)).collect();
        assert_eq!(found, expected, "{shards} shards, {tags} tags, {threads} threads");
    }

    #[test]
    fn few_shards_are_divided_by_tags() {
        check(1, 3, 2, &[(0, 0..1), (0, 1..2), (0, 2..3)]);
        check(2, 10, 1, &[(0, 0..5), (0, 5..10), (1, 0..5), (1, 5..10)]);
        check(4, 10, 1, &[(0, 0..10), (1, 0..10), (2, 0..10), (3, 0..10)]);
        check(5, 10, 1, &[(0, 0..10), (1, 0..10), (2, 0..10), (3, 0..10), (4, 0..10)]);
        check(2, 0, 1, &[]);
        check(1, 2, 0, &[(0, 0..2)]);
    }
}
