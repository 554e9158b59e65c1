//! Loops over words for the widest vectors that this machine has.
#![allow(unsafe_code)]

/// Words of a vector. Where the machine's are shorter, the compiler takes several.
pub(crate) const LANES: usize = 8;

/// Bits of a word.
pub(crate) const WORD_BITS: usize = 64;

/// A loop worth compiling once for each width of vectors. `run` and all that it calls must be
/// `#[inline(always)]`: only what becomes part of one of the functions that [`fastest`] chooses
/// from is compiled for its vectors.
pub(crate) trait VectorLoop {
    type Out;
    fn run<S: Simd>(self, simd: S) -> Self::Out;
}

/// The operations on vectors of [`LANES`] words. Who has a value of such a type is on a machine
/// that can do them.
pub(crate) trait Simd: Copy {
    type Vector: Copy;
    fn splat(self, word: u64) -> Self::Vector;
    fn load(self, words: &[u64; LANES]) -> Self::Vector;
    /// From little-endian words at any address.
    fn load_bytes(self, bytes: &[u8; 8 * LANES]) -> Self::Vector;
    fn store(self, vector: Self::Vector, words: &mut [u64; LANES]);
    fn and(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Those bits of `a` that are not in `b`.
    fn and_not(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn or(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Whether any bit is set.
    fn any(self, a: Self::Vector) -> bool;
    /// `sums` and how many bits are set in `a`, each word by itself.
    fn add_ones(self, sums: Self::Vector, a: Self::Vector) -> Self::Vector;
    /// Writes `base` and the place of each bit of `word`, ascending, as little-endian numbers. What
    /// is written behind them means nothing.
    fn positions(self, word: u64, base: u16, into: &mut [[u8; 2]; WORD_BITS]);
}

/// Runs `kernel` as compiled for the widest vectors that this machine has. Choosing costs two or
/// three loads.
#[inline]
pub(crate) fn fastest<K: VectorLoop>(kernel: K) -> K::Out {
    #[cfg(target_arch = "x86_64")]
    {
        if has_avx512() {
            // SAFETY: the function needs nothing but the features just detected; `lzcnt` comes with
            // `bmi1`.
            return unsafe { x86::avx512(kernel) };
        }
        if has_avx2() {
            // SAFETY: as above.
            return unsafe { x86::avx2(kernel) };
        }
    }
    kernel.run(Plain)
}

/// Whether this machine has the wide vectors of the servers of today, with which bits are counted
/// and moved together.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("avx512vpopcntdq")
}

/// Whether this machine has the vectors of all since 2013.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
}

/// What every machine can do; the compiler makes of it what vectors there are.
#[derive(Clone, Copy)]
struct Plain;

impl Simd for Plain {
    type Vector = [u64; LANES];
    #[inline(always)]
    fn splat(self, word: u64) -> Self::Vector {
        [word; LANES]
    }
    #[inline(always)]
    fn load(self, words: &[u64; LANES]) -> Self::Vector {
        *words
    }
    #[inline(always)]
    fn load_bytes(self, bytes: &[u8; 8 * LANES]) -> Self::Vector {
        let mut words = [0; LANES];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }
    #[inline(always)]
    fn store(self, vector: Self::Vector, words: &mut [u64; LANES]) {
        *words = vector;
    }
    #[inline(always)]
    fn and(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| a[lane] & b[lane])
    }
    #[inline(always)]
    fn and_not(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| a[lane] & !b[lane])
    }
    #[inline(always)]
    fn or(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| a[lane] | b[lane])
    }
    #[inline(always)]
    fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| a[lane] ^ b[lane])
    }
    #[inline(always)]
    fn any(self, a: Self::Vector) -> bool {
        a.iter().fold(0, |all, word| all | word) != 0
    }
    #[inline(always)]
    fn add_ones(self, sums: Self::Vector, a: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| sums[lane] + u64::from(a[lane].count_ones()))
    }
    #[inline(always)]
    fn positions(self, mut word: u64, base: u16, into: &mut [[u8; 2]; WORD_BITS]) {
        let mut into = into.iter_mut();
        while word != 0
            && let Some(into) = into.next()
        {
            *into = (base + word.trailing_zeros() as u16).to_le_bytes();
            word &= word - 1;
        }
    }
}

/// The numbers from 0 on.
#[cfg(target_arch = "x86_64")]
static PLACES: [u8; WORD_BITS] = {
    let mut places = [0; WORD_BITS];
    let mut at = 0;
    while at < WORD_BITS {
        places[at] = at as u8;
        at += 1;
    }
    places
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, PLACES, Plain, Simd, VectorLoop, WORD_BITS};
    use std::arch::x86_64 as arch;

    #[target_feature(
        enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vbmi2,avx512vpopcntdq,avx2,popcnt,bmi1,bmi2,lzcnt"
    )]
    pub(super) fn avx512<K: VectorLoop>(kernel: K) -> K::Out {
        kernel.run(Avx512(()))
    }

    #[target_feature(enable = "avx2,popcnt,bmi1,bmi2,lzcnt")]
    pub(super) fn avx2<K: VectorLoop>(kernel: K) -> K::Out {
        kernel.run(Plain)
    }

    /// Only made in a function that needs AVX-512, so that who has one is on a machine that has it.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512(());

    // Left to the compiler, arrays of eight words become sixteen scalar registers as soon as a loop
    // uses them twice.
    impl Simd for Avx512 {
        type Vector = arch::__m512i;
        #[inline(always)]
        fn splat(self, word: u64) -> Self::Vector {
            // SAFETY: the machine has AVX-512F, see the type.
            unsafe { arch::_mm512_set1_epi64(word as i64) }
        }
        #[inline(always)]
        fn load(self, words: &[u64; LANES]) -> Self::Vector {
            // SAFETY: as above; 64 bytes are read, which the array has, at any address.
            unsafe { arch::_mm512_loadu_si512(words.as_ptr().cast()) }
        }
        #[inline(always)]
        fn load_bytes(self, bytes: &[u8; 8 * LANES]) -> Self::Vector {
            // SAFETY: as for `load`.
            unsafe { arch::_mm512_loadu_si512(bytes.as_ptr().cast()) }
        }
        #[inline(always)]
        fn store(self, vector: Self::Vector, words: &mut [u64; LANES]) {
            // SAFETY: as for `load`, written instead of read.
            unsafe { arch::_mm512_storeu_si512(words.as_mut_ptr().cast(), vector) }
        }
        #[inline(always)]
        fn and(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: as for `splat`.
            unsafe { arch::_mm512_and_si512(a, b) }
        }
        #[inline(always)]
        fn and_not(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: as for `splat`.
            unsafe { arch::_mm512_andnot_si512(b, a) }
        }
        #[inline(always)]
        fn or(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: as for `splat`.
            unsafe { arch::_mm512_or_si512(a, b) }
        }
        #[inline(always)]
        fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: as for `splat`.
            unsafe { arch::_mm512_xor_si512(a, b) }
        }
        #[inline(always)]
        fn any(self, a: Self::Vector) -> bool {
            // SAFETY: as for `splat`.
            unsafe { arch::_mm512_test_epi64_mask(a, a) != 0 }
        }
        #[inline(always)]
        fn add_ones(self, sums: Self::Vector, a: Self::Vector) -> Self::Vector {
            // SAFETY: the machine has AVX-512F and VPOPCNTDQ, see the type.
            unsafe { arch::_mm512_add_epi64(sums, arch::_mm512_popcnt_epi64(a)) }
        }
        #[inline(always)]
        fn positions(self, word: u64, base: u16, into: &mut [[u8; 2]; WORD_BITS]) {
            // SAFETY: the machine has AVX-512F, BW and VBMI2, see the type; 64 bytes are read, and
            // 128 written, which the arrays have.
            unsafe {
                let places = arch::_mm512_maskz_compress_epi8(
                    word,
                    arch::_mm512_loadu_si512(PLACES.as_ptr().cast()),
                );
                let base = arch::_mm512_set1_epi16(base as i16);
                let low = arch::_mm512_cvtepu8_epi16(arch::_mm512_castsi512_si256(places));
                arch::_mm512_storeu_si512(
                    into.as_mut_ptr().cast(),
                    arch::_mm512_add_epi16(low, base),
                );
                if word.count_ones() as usize > WORD_BITS / 2 {
                    let high =
                        arch::_mm512_cvtepu8_epi16(arch::_mm512_extracti64x4_epi64::<1>(places));
                    arch::_mm512_storeu_si512(
                        into.as_mut_ptr().add(WORD_BITS / 2).cast(),
                        arch::_mm512_add_epi16(high, base),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All operations on one pair of vectors.
    struct All([u64; LANES], [u64; LANES], u64);

    impl VectorLoop for All {
        type Out = (Vec<[u64; LANES]>, [bool; 2], Vec<u16>);
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Out {
            let Self(a, b, word) = self;
            let mut bytes = [0; 8 * LANES];
            bytes
                .as_chunks_mut::<8>()
                .0
                .iter_mut()
                .zip(b)
                .for_each(|(to, word)| *to = word.to_le_bytes());
            let (x, y) = (simd.load(&a), simd.load_bytes(&bytes));
            let mut into = [[0; 2]; WORD_BITS];
            let sparse = a[0] & b[0];
            let mut places = Vec::new();
            for word in [a[0], sparse, a[0] | b[0], 0, u64::MAX] {
                simd.positions(word, 640, &mut into);
                places.extend(
                    into.iter()
                        .take(word.count_ones() as usize)
                        .map(|place| u16::from_le_bytes(*place)),
                );
            }
            let made = [
                simd.splat(word),
                simd.and(x, y),
                simd.and_not(x, y),
                simd.or(x, y),
                simd.xor(x, y),
                simd.add_ones(x, y),
            ];
            let stored = made.map(|vector| {
                let mut words = [0; LANES];
                simd.store(vector, &mut words);
                words
            });
            (stored.to_vec(), [simd.any(x), simd.any(simd.and_not(x, x))], places)
        }
    }

    #[test]
    fn the_machines_vectors_do_what_plain_words_do() {
        let words = |salt: u64| {
            std::array::from_fn(|lane| {
                (lane as u64 + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> lane
            })
        };
        for salt in 0..50 {
            let all = || All(words(salt), words(salt + 77), salt);
            assert_eq!(fastest(all()), all().run(Plain));
        }
        let (a, b) = (words(1), words(2));
        let (made, _, places) = All(a, b, 5).run(Plain);
        let ones = [a[0], a[0] & b[0], a[0] | b[0], 0, u64::MAX]
            .map(|word| (0..64).filter(move |bit| word >> bit & 1 == 1).map(|bit| 640 + bit));
        assert!(places.into_iter().eq(ones.into_iter().flatten()));
        assert_eq!((made[0][3], made[1][3], made[2][3]), (5, a[3] & b[3], a[3] & !b[3]));
        assert_eq!(
            (made[3][3], made[4][3], made[5][3]),
            (a[3] | b[3], a[3] ^ b[3], a[3] + u64::from(b[3].count_ones()))
        );
    }
}
