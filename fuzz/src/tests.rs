//! Every target on its seeds and on a few thousand changed ones, without a fuzzer: `cargo test` in
//! this folder, in seconds.

type Target = (&'static str, fn() -> Vec<Vec<u8>>, fn(&[u8]));

const TARGETS: [Target; 16] = [
    ("bitmap", crate::bitmap::seeds, crate::bitmap::read),
    ("sealed", crate::sealed::seeds, crate::sealed::read),
    ("bundle", crate::bundle::seeds, crate::bundle::read),
    ("slices", crate::slices::seeds, crate::slices::read),
    ("portable", crate::portable::seeds, crate::portable::read),
    ("portable64", crate::portable64::seeds, crate::portable64::read),
    ("segment", crate::segment::seeds, crate::segment::read),
    ("expression", crate::expression::seeds, crate::expression::read),
    ("expression_json", crate::expression_json::seeds, crate::expression_json::read),
    ("definitions", crate::definitions::seeds, crate::definitions::read),
    ("manifest", crate::manifest::seeds, crate::manifest::read),
    ("dictionary", crate::dictionary::seeds, crate::dictionary::read),
    ("live", crate::live::seeds, crate::live::read),
    ("log", crate::log::seeds, crate::log::read),
    ("feed", crate::feed::seeds, crate::feed::read),
    ("state", crate::state::seeds, crate::state::read),
];

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }
}

fn changed(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + dice.below(4) {
        // Heads and tables stand in front.
        let reach = if dice.below(2) == 0 { bytes.len().min(128) } else { bytes.len() };
        let at = dice.below(reach);
        match (dice.below(6), bytes.get_mut(at)) {
            (0, _) => bytes.truncate(at),
            (1, _) => bytes.insert(at, dice.below(256) as u8),
            (2, Some(byte)) => *byte = [0, 1, 0x7F, 0x80, 0xFF][dice.below(5)],
            (3, Some(byte)) => *byte ^= 1 << dice.below(8),
            (4, Some(byte)) => *byte = byte.wrapping_add(1),
            (_, Some(byte)) => *byte = dice.below(256) as u8,
            _ => {}
        }
    }
    bytes
}

#[test]
fn no_target_panics_on_its_seeds_or_on_changed_ones() {
    let number = |name: &str, otherwise: usize| {
        std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (runs, only) = (number("RUNS", 2_000), std::env::var("TARGET").ok());
    for (name, seeds, read) in
        TARGETS.iter().filter(|(name, ..)| only.as_ref().is_none_or(|only| only == name))
    {
        let seeds = seeds();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| read(seed));
        let mut dice = Dice(7);
        for run in 0..runs {
            let input = changed(&seeds[dice.below(seeds.len())], &mut dice);
            let done = std::panic::catch_unwind(|| read(&input));
            assert!(done.is_ok(), "{name}, run {run}: {input:?}");
        }
    }
}
