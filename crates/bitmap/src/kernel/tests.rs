use super::*;

fn container(salt: u64) -> Box<Words> {
    let mut state = salt;
    Box::new(std::array::from_fn(|_| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        state ^ state >> 29
    }))
}

fn ones_of(words: impl Iterator<Item = u64>) -> u32 {
    words.map(u64::count_ones).sum()
}

#[test]
fn every_width_does_what_plain_loops_do() {
    let containers: Vec<Box<Words>> = (0..6).map(container).collect();
    let word = |index: usize, at: usize| containers[index][at];
    let bytes: Vec<&Bytes> = containers.iter().map(|words| bytes_of(words)).collect();
    for level in Level::all() {
        let anded = |at: usize| word(0, at) & word(1, at) & !word(2, at) & !word(3, at);
        let mut acc = *container(9);
        let count = level.and(&mut acc, true, &bytes[..2], &bytes[2..4]);
        assert!((0..WORDS).all(|at| acc[at] == anded(at)), "{level:?}");
        assert_eq!(count, ones_of(acc.iter().copied()));
        assert_eq!(level.and_count(&bytes[..2], &bytes[2..4]), count);
        let count = level.and(&mut acc, false, &bytes[4..5], &[]);
        assert!((0..WORDS).all(|at| acc[at] == anded(at) & word(4, at)), "{level:?}");
        assert_eq!(count, ones_of(acc.iter().copied()));
        let before = acc;
        let count = level.or(&mut acc, false, &bytes[5..6]);
        assert!((0..WORDS).all(|at| acc[at] == before[at] | word(5, at)), "{level:?}");
        assert_eq!(count, ones_of(acc.iter().copied()));
        let count = level.or(&mut acc, true, &bytes[..3]);
        assert!(
            (0..WORDS).all(|at| acc[at] == word(0, at) | word(1, at) | word(2, at)),
            "{level:?}"
        );
        assert_eq!((level.or_count(&bytes[..3]), count), (count, ones_of(acc.iter().copied())));
        let values: Vec<[u8; 2]> = (0..=u16::MAX).step_by(7).map(u16::to_le_bytes).collect();
        let hits = (0..1_usize << 16)
            .step_by(7)
            .filter(|low| word(0, low / 64) >> (low % 64) & 1 == 1)
            .count();
        assert_eq!(super::hits(bytes[0], &values) as usize, hits);
        let shared = level.shared([bytes[0], bytes[1]], [bytes[2], bytes[3], bytes[4], bytes[5]]);
        for (row, counts) in shared.iter().enumerate() {
            for (column, count) in counts.iter().enumerate() {
                assert_eq!(
                    *count,
                    ones_of((0..WORDS).map(|at| word(row, at) & word(column + 2, at))),
                    "{level:?}"
                );
            }
        }
    }
}

#[test]
fn runs_hit_what_lies_in_them() {
    let words = container(5);
    let runs =
        [(0, 0), (1, 63), (64, 127), (130, 131), (200, 5_000), (6_000, 6_063), (65_000, 65_535)];
    for take in 0..=runs.len() {
        let of = |(start, last): (u16, u16)| {
            let ([a, b], [c, d]) = (start.to_le_bytes(), (last - start).to_le_bytes());
            [a, b, c, d]
        };
        let bytes: Vec<[u8; 4]> = runs.into_iter().take(take).map(of).collect();
        let ordinals = runs.into_iter().take(take).flat_map(|(start, last)| start..=last);
        let hits =
            ordinals.filter(|low| words[usize::from(low / 64)] >> (low % 64) & 1 == 1).count();
        assert_eq!(hits_of_runs(bytes_of(&words), &bytes) as usize, hits);
    }
}
