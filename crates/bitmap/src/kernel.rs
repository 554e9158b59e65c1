//! Loops over the words of whole containers, compiled once for each width of vectors that a machine may have.
#![allow(unsafe_code)]

use crate::blob::{WORDS, Words};

/// The little-endian words of a container at any address.
pub(crate) type Bytes = [[u8; 8]; WORDS];

/// Words that stay in registers while all operands are applied to them: 512 bytes.
const BLOCK: usize = 64;

/// How wide vectors are. Made by [`Level::best`] and [`Level::all`] alone, of what this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level(Width);

#[derive(Clone, Copy, Debug)]
enum Width {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The widest.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                return Self(Width::Avx512);
            }
            if has_avx2() {
                return Self(Width::Avx2);
            }
        }
        Self(Width::Portable)
    }

    /// Every one that this machine has.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self(Width::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(has_avx2().then_some(Self(Width::Avx2)));
            all.extend(has_avx512().then_some(Self(Width::Avx512)));
        }
        all
    }

    /// `acc &= every one of keep & !drop`; of a `fresh` one, what it held does not count. How many bits are left.
    pub(crate) fn and(self, acc: &mut Words, fresh: bool, keep: &[&Bytes], drop: &[&Bytes]) -> u32 {
        self.run(And { acc, fresh, keep, drop })
    }

    /// How many bits all of `keep` have, at least one, and none of `drop`. Writes nothing.
    pub(crate) fn and_count(self, keep: &[&Bytes], drop: &[&Bytes]) -> u32 {
        self.run(AndCount { keep, drop })
    }

    /// `acc |= each of any`; of a `fresh` one, what it held does not count. How many bits there are.
    pub(crate) fn or(self, acc: &mut Words, fresh: bool, any: &[&Bytes]) -> u32 {
        self.run(Or { acc, fresh, any })
    }

    /// How many bits any of `any` has. Writes nothing.
    pub(crate) fn or_count(self, any: &[&Bytes]) -> u32 {
        self.run(OrCount(any))
    }

    /// How many of `values`, two bytes each, are set in `words`.
    pub(crate) fn hits(self, words: &Bytes, values: &[[u8; 2]]) -> u32 {
        self.run(Hits(words, values))
    }

    /// How many bits each of `rows` shares with each of `columns`.
    pub(crate) fn shared<const ROWS: usize, const COLUMNS: usize>(
        self,
        rows: [&Bytes; ROWS],
        columns: [&Bytes; COLUMNS],
    ) -> [[u32; COLUMNS]; ROWS] {
        self.run(Shared { rows, columns })
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self.0 {
            Width::Portable => kernel.run(),
            // SAFETY: a level of this width is only made where the features were detected.
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => unsafe { avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => unsafe { avx512(kernel) },
        }
    }
}

/// Words as the bytes that they are in memory.
pub(crate) fn bytes_of(words: &Words) -> &Bytes {
    // SAFETY: both are 8192 bytes without padding, any bits are valid in both, and bytes need no alignment.
    unsafe { &*std::ptr::from_ref(words).cast::<Bytes>() }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vpopcntdq")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx2,popcnt,bmi1,bmi2")]
fn avx512<K: Kernel>(kernel: K) -> K::Out {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn avx2<K: Kernel>(kernel: K) -> K::Out {
    kernel.run()
}

/// A loop. `run` and all that it calls must be `#[inline(always)]`, to be compiled as part of the functions above.
trait Kernel {
    type Out;
    fn run(self) -> Self::Out;
}

type Block = [u64; BLOCK];

#[inline(always)]
fn block_of(bytes: &Bytes, number: usize) -> &[[u8; 8]; BLOCK] {
    &bytes.as_chunks::<BLOCK>().0[number]
}

#[inline(always)]
fn apply(block: &mut Block, operand: &[[u8; 8]; BLOCK], op: impl Fn(u64, u64) -> u64) {
    for (word, bytes) in block.iter_mut().zip(operand) {
        *word = op(*word, u64::from_le_bytes(*bytes));
    }
}

#[inline(always)]
fn ones(block: &Block) -> u64 {
    block.iter().map(|word| u64::from(word.count_ones())).sum()
}

#[inline(always)]
fn and_block(block: &mut Block, number: usize, keep: &[&Bytes], drop: &[&Bytes]) {
    for operand in keep {
        apply(block, block_of(operand, number), |a, b| a & b);
    }
    for operand in drop {
        apply(block, block_of(operand, number), |a, b| a & !b);
    }
}

struct And<'k> {
    acc: &'k mut Words,
    fresh: bool,
    keep: &'k [&'k Bytes],
    drop: &'k [&'k Bytes],
}

impl Kernel for And<'_> {
    type Out = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        let mut count = 0;
        for (number, acc) in self.acc.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut block = if self.fresh { [!0; BLOCK] } else { *acc };
            and_block(&mut block, number, self.keep, self.drop);
            *acc = block;
            count += ones(&block);
        }
        count as u32
    }
}

struct AndCount<'k> {
    keep: &'k [&'k Bytes],
    drop: &'k [&'k Bytes],
}

impl Kernel for AndCount<'_> {
    type Out = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        let mut count = 0;
        for number in 0..WORDS / BLOCK {
            let mut block = [!0; BLOCK];
            and_block(&mut block, number, self.keep, self.drop);
            count += ones(&block);
        }
        count as u32
    }
}

struct Or<'k> {
    acc: &'k mut Words,
    fresh: bool,
    any: &'k [&'k Bytes],
}

impl Kernel for Or<'_> {
    type Out = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        let mut count = 0;
        for (number, acc) in self.acc.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut block = if self.fresh { [0; BLOCK] } else { *acc };
            for operand in self.any {
                apply(&mut block, block_of(operand, number), |a, b| a | b);
            }
            *acc = block;
            count += ones(&block);
        }
        count as u32
    }
}

struct OrCount<'k>(&'k [&'k Bytes]);

impl Kernel for OrCount<'_> {
    type Out = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        let mut count = 0;
        for number in 0..WORDS / BLOCK {
            let mut block = [0; BLOCK];
            for operand in self.0 {
                apply(&mut block, block_of(operand, number), |a, b| a | b);
            }
            count += ones(&block);
        }
        count as u32
    }
}

struct Hits<'k>(&'k Bytes, &'k [[u8; 2]]);

impl Kernel for Hits<'_> {
    type Out = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        let mut count = 0;
        for value in self.1 {
            let low = u16::from_le_bytes(*value);
            count += (u64::from_le_bytes(self.0[usize::from(low / 64)]) >> (low % 64)) as u32 & 1;
        }
        count
    }
}

struct Shared<'k, const ROWS: usize, const COLUMNS: usize> {
    rows: [&'k Bytes; ROWS],
    columns: [&'k Bytes; COLUMNS],
}

/// Words that are counted before the sums are added up: one vector.
const LANES: usize = 8;

impl<const ROWS: usize, const COLUMNS: usize> Kernel for Shared<'_, ROWS, COLUMNS> {
    type Out = [[u32; COLUMNS]; ROWS];
    #[inline(always)]
    fn run(self) -> Self::Out {
        let rows = self.rows.map(|row| row.as_chunks::<LANES>().0);
        let columns = self.columns.map(|column| column.as_chunks::<LANES>().0);
        let mut sums = [[[0_u64; LANES]; COLUMNS]; ROWS];
        for at in 0..WORDS / LANES {
            for (row, sums) in rows.iter().zip(&mut sums) {
                for (column, sums) in columns.iter().zip(sums) {
                    for ((a, b), sum) in row[at].iter().zip(&column[at]).zip(sums) {
                        *sum += u64::from((u64::from_le_bytes(*a) & u64::from_le_bytes(*b)).count_ones());
                    }
                }
            }
        }
        sums.map(|row| row.map(|lanes| lanes.iter().sum::<u64>() as u32))
    }
}

#[cfg(test)]
mod tests;
