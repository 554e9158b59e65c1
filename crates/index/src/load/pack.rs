//! Integers in as many bytes as their block needs.

/// How a column of a block is packed: the least number, and bytes of each beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Packing {
    base: u64,
    width: u8,
}

impl Packing {
    pub(super) fn len(self, count: usize) -> usize {
        usize::from(self.width) * count
    }
}

/// Appends `numbers` to `into`.
pub(super) fn pack(numbers: &[u64], into: &mut Vec<u8>) -> Packing {
    let base = numbers.iter().copied().min().unwrap_or(0);
    let span = numbers.iter().copied().max().unwrap_or(0) - base;
    let width = (u64::BITS - span.leading_zeros()).div_ceil(8) as u8;
    let start = into.len();
    into.resize(start + usize::from(width) * numbers.len(), 0);
    let to = &mut into[start..];
    match width {
        0 => {}
        1 => write::<1>(numbers, base, to),
        2 => write::<2>(numbers, base, to),
        3 => write::<3>(numbers, base, to),
        4 => write::<4>(numbers, base, to),
        5 => write::<5>(numbers, base, to),
        6 => write::<6>(numbers, base, to),
        7 => write::<7>(numbers, base, to),
        _ => write::<8>(numbers, base, to),
    }
    Packing { base, width }
}

/// Replaces what `into` holds by `count` numbers that [`pack`] wrote as `bytes`.
pub(super) fn unpack(packing: Packing, bytes: &[u8], count: usize, into: &mut Vec<u64>) {
    into.clear();
    let base = packing.base;
    match packing.width {
        0 => into.resize(count, base),
        1 => read::<1>(bytes, base, into),
        2 => read::<2>(bytes, base, into),
        3 => read::<3>(bytes, base, into),
        4 => read::<4>(bytes, base, into),
        5 => read::<5>(bytes, base, into),
        6 => read::<6>(bytes, base, into),
        7 => read::<7>(bytes, base, into),
        _ => read::<8>(bytes, base, into),
    }
    debug_assert_eq!(into.len(), count);
}

fn write<const WIDTH: usize>(numbers: &[u64], base: u64, to: &mut [u8]) {
    for (place, number) in to.as_chunks_mut::<WIDTH>().0.iter_mut().zip(numbers) {
        place.copy_from_slice(&(number - base).to_le_bytes()[..WIDTH]);
    }
}

fn read<const WIDTH: usize>(bytes: &[u8], base: u64, into: &mut Vec<u64>) {
    into.extend(bytes.as_chunks::<WIDTH>().0.iter().map(|place| {
        let mut whole = [0; 8];
        whole[..WIDTH].copy_from_slice(place);
        base + u64::from_le_bytes(whole)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(base in any::<u64>(), bits in 0..64_u32, numbers in prop::collection::vec(any::<u64>(), 0..50)) {
            let numbers: Vec<u64> = numbers.iter().map(|n| base.saturating_add(n & ((1 << bits) - 1))).collect();
            let mut bytes = Vec::new();
            let packing = pack(&numbers, &mut bytes);
            prop_assert!(bytes.len() <= numbers.len() * bits.div_ceil(8) as usize);
            prop_assert_eq!(bytes.len(), packing.len(numbers.len()));
            let mut back = vec![1];
            unpack(packing, &bytes, numbers.len(), &mut back);
            prop_assert_eq!(back, numbers);
        }
    }
}
