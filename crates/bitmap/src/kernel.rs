//! Loops over the words of whole containers, compiled once for each width of vectors that a machine
//! may have.
#![allow(unsafe_code)]

use crate::blob::{WORDS, Words};
use crate::popcount::count_bytes;
use crate::prefetch::prefetch_beyond;
#[cfg(target_arch = "x86_64")]
use crate::vector::{has_avx2, has_avx512};

/// The little-endian words of a container at any address.
pub(crate) type Bytes = [[u8; 8]; WORDS];

/// Operands to keep, or to unite, of one pass.
pub(crate) const KEEP: usize = 4;
/// Operands to drop of one pass.
pub(crate) const DROP: usize = 2;
/// Words of the widest vector.
const LANES: usize = 8;

/// How wide vectors are. Made by [`Level::best`] and [`Level::all`] alone, of what this machine
/// has.
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
    /// The widest kernel of this machine.
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

    /// `acc &= all of keep & !drop`; of a `fresh` one, what it held does not count. How many bits
    /// are left. Takes as many passes as it needs.
    pub(crate) fn and(
        self,
        acc: &mut Words,
        mut fresh: bool,
        mut keep: &[&Bytes],
        mut drop: &[&Bytes],
    ) -> u32 {
        loop {
            let (keep_now, drop_now);
            (keep_now, keep) = keep.split_at(keep.len().min(KEEP));
            (drop_now, drop) = drop.split_at(drop.len().min(DROP));
            let count = self.and_pass(Into::Words { acc, fresh }, keep_now, drop_now);
            fresh = false;
            if keep.is_empty() && drop.is_empty() {
                return count;
            }
        }
    }

    /// How many bits all of `keep` have, of `KEEP` at most, and none of `drop`, of `DROP` at most.
    /// Writes nothing.
    pub(crate) fn and_count(self, keep: &[&Bytes], drop: &[&Bytes]) -> u32 {
        debug_assert!(
            keep.len() <= KEEP && drop.len() <= DROP,
            "more operands than one pass takes"
        );
        self.and_pass(Into::Nothing, keep, drop)
    }

    /// `acc |= each of any`; of a `fresh` one, what it held does not count. How many bits there
    /// are. Takes as many passes as it needs.
    pub(crate) fn or(self, acc: &mut Words, mut fresh: bool, mut any: &[&Bytes]) -> u32 {
        loop {
            let now;
            (now, any) = any.split_at(any.len().min(KEEP));
            let count = self.or_pass(Into::Words { acc, fresh }, now);
            fresh = false;
            if any.is_empty() {
                return count;
            }
        }
    }

    /// How many bits any of `any` has, of `KEEP` at most. Writes nothing.
    pub(crate) fn or_count(self, any: &[&Bytes]) -> u32 {
        debug_assert!(any.len() <= KEEP, "more operands than one pass takes");
        self.or_pass(Into::Nothing, any)
    }

    fn and_pass(self, into: Into<'_>, keep: &[&Bytes], drop: &[&Bytes]) -> u32 {
        match (keep, drop) {
            ([], drop) => self.and_drop(into, [], drop),
            ([a], drop) => self.and_drop(into, [a], drop),
            ([a, b], drop) => self.and_drop(into, [a, b], drop),
            ([a, b, c], drop) => self.and_drop(into, [a, b, c], drop),
            ([a, b, c, d, ..], drop) => self.and_drop(into, [a, b, c, d], drop),
        }
    }

    fn and_drop<const K: usize>(self, into: Into<'_>, keep: [&Bytes; K], drop: &[&Bytes]) -> u32 {
        match drop {
            [] => self.run(And { into, keep, drop: [] }),
            [a] => self.run(And { into, keep, drop: [a] }),
            [a, b, ..] => self.run(And { into, keep, drop: [a, b] }),
        }
    }

    fn or_pass(self, into: Into<'_>, any: &[&Bytes]) -> u32 {
        match any {
            [] => self.run(Or { into, any: [] }),
            [a] => self.run(Or { into, any: [a] }),
            [a, b] => self.run(Or { into, any: [a, b] }),
            [a, b, c] => self.run(Or { into, any: [a, b, c] }),
            [a, b, c, d, ..] => self.run(Or { into, any: [a, b, c, d] }),
        }
    }

    /// How many bits each of `rows` shares with each of `columns`.
    pub(crate) fn shared(self, rows: [&Bytes; 2], columns: [&Bytes; 4]) -> [[u32; 4]; 2] {
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

/// How many of `values`, two bytes each, are set in `words`. One by one: gathering them into
/// vectors takes several times longer.
pub(crate) fn hits(words: &Bytes, values: &[[u8; 2]]) -> u32 {
    let mut count = 0;
    for value in values {
        let low = u16::from_le_bytes(*value);
        count += (u64::from_le_bytes(words[usize::from(low / 64)]) >> (low % 64)) as u32 & 1;
    }
    count
}

/// How many of the values of `runs`, start and length - 1 of each, are set in `words`: only the
/// words where they are get read.
pub(crate) fn hits_of_runs(words: &Bytes, runs: &[[u8; 4]]) -> u32 {
    let mut count = 0;
    for [a, b, c, d] in runs {
        let start = usize::from(u16::from_le_bytes([*a, *b]));
        let last = (start + usize::from(u16::from_le_bytes([*c, *d]))).min(WORDS * 64 - 1);
        let (head, tail) = (!0 << (start % 64), !0 >> (63 - last % 64));
        let of_run = &words[start / 64..=last / 64];
        count += match of_run {
            [] => 0,
            [only] => (u64::from_le_bytes(*only) & head & tail).count_ones(),
            [first, between @ .., last] => {
                let ends = (u64::from_le_bytes(*first) & head).count_ones()
                    + (u64::from_le_bytes(*last) & tail).count_ones();
                if between.is_empty() {
                    ends
                } else {
                    ends + count_bytes(between.as_flattened()) as u32
                }
            }
        };
    }
    count
}

/// Words as the bytes that they are in memory.
pub(crate) fn bytes_of(words: &Words) -> &Bytes {
    // SAFETY: both are 8192 bytes without padding, any bits are valid in both, and bytes need no
    // alignment.
    unsafe { &*std::ptr::from_ref(words).cast::<Bytes>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx2,popcnt,bmi1,bmi2"
)]
fn avx512<K: Kernel>(kernel: K) -> K::Out {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn avx2<K: Kernel>(kernel: K) -> K::Out {
    kernel.run()
}

/// A loop. `run` and all that it calls must be `#[inline(always)]`, to be compiled as part of the
/// functions above.
trait Kernel {
    type Out;
    fn run(self) -> Self::Out;
}

/// Where a result goes.
enum Into<'k> {
    /// It is only counted.
    Nothing,
    Words {
        acc: &'k mut Words,
        /// What they hold is not an operand.
        fresh: bool,
    },
}

type Lanes = [u64; LANES];

/// Containers of a dense set follow one another, so that what is read after this one is 8 KiB
/// further: it is asked for ahead, for the processor itself sees no further than its page.
#[inline(always)]
fn lanes_of(bytes: &Bytes, at: usize) -> Lanes {
    let lanes = &bytes.as_chunks::<LANES>().0[at];
    prefetch_beyond(lanes, size_of::<Bytes>());
    lanes.map(u64::from_le_bytes)
}

#[inline(always)]
fn add_ones(sums: Lanes, lanes: Lanes) -> Lanes {
    std::array::from_fn(|lane| sums[lane] + u64::from(lanes[lane].count_ones()))
}

/// Runs over a container with all operands at once; `start` is what a result begins with where
/// nothing is there yet.
#[inline(always)]
fn pass(into: Into<'_>, start: u64, apply: impl Fn(Lanes, usize) -> Lanes) -> u32 {
    let mut sums = [0; LANES];
    match into {
        Into::Nothing => {
            for at in 0..WORDS / LANES {
                sums = add_ones(sums, apply([start; LANES], at));
            }
        }
        Into::Words { acc, fresh: true } => {
            for (at, acc) in acc.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let lanes = apply([start; LANES], at);
                *acc = lanes;
                sums = add_ones(sums, lanes);
            }
        }
        Into::Words { acc, fresh: false } => {
            for (at, acc) in acc.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let lanes = apply(*acc, at);
                *acc = lanes;
                sums = add_ones(sums, lanes);
            }
        }
    }
    sums.iter().sum::<u64>() as u32
}

struct And<'k, const K: usize, const D: usize> {
    into: Into<'k>,
    keep: [&'k Bytes; K],
    drop: [&'k Bytes; D],
}

impl<const K: usize, const D: usize> Kernel for And<'_, K, D> {
    type Out = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        let Self { into, keep, drop } = self;
        pass(
            into,
            !0,
            #[inline(always)]
            |mut lanes, at| {
                for operand in &keep {
                    lanes.iter_mut().zip(lanes_of(operand, at)).for_each(|(a, b)| *a &= b);
                }
                for operand in &drop {
                    lanes.iter_mut().zip(lanes_of(operand, at)).for_each(|(a, b)| *a &= !b);
                }
                lanes
            },
        )
    }
}

struct Or<'k, const K: usize> {
    into: Into<'k>,
    any: [&'k Bytes; K],
}

impl<const K: usize> Kernel for Or<'_, K> {
    type Out = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        let Self { into, any } = self;
        pass(
            into,
            0,
            #[inline(always)]
            |mut lanes, at| {
                for operand in &any {
                    lanes.iter_mut().zip(lanes_of(operand, at)).for_each(|(a, b)| *a |= b);
                }
                lanes
            },
        )
    }
}

struct Shared<'k> {
    rows: [&'k Bytes; 2],
    columns: [&'k Bytes; 4],
}

impl Kernel for Shared<'_> {
    type Out = [[u32; 4]; 2];
    #[inline(always)]
    fn run(self) -> Self::Out {
        let [first, second] = self.rows;
        let b = second.as_chunks::<LANES>().0;
        let [k, l, m, n] = self.columns.map(|bytes| bytes.as_chunks::<LANES>().0);
        // By name, for then they stay in registers.
        let (mut ak, mut al, mut am, mut an) = ([0; LANES], [0; LANES], [0; LANES], [0; LANES]);
        let (mut bk, mut bl, mut bm, mut bn) = ([0; LANES], [0; LANES], [0; LANES], [0; LANES]);
        for at in 0..WORDS / LANES {
            // Asking ahead keeps the compiler from gathering words of eight turns into one vector,
            // too.
            let (a, b) = (lanes_of(first, at), b[at].map(u64::from_le_bytes));
            (ak, bk) = (add_shared(ak, &a, &k[at]), add_shared(bk, &b, &k[at]));
            (al, bl) = (add_shared(al, &a, &l[at]), add_shared(bl, &b, &l[at]));
            (am, bm) = (add_shared(am, &a, &m[at]), add_shared(bm, &b, &m[at]));
            (an, bn) = (add_shared(an, &a, &n[at]), add_shared(bn, &b, &n[at]));
        }
        [[ak, al, am, an], [bk, bl, bm, bn]]
            .map(|row| row.map(|lanes| lanes.iter().sum::<u64>() as u32))
    }
}

#[inline(always)]
fn add_shared(sums: Lanes, a: &Lanes, b: &[[u8; 8]; LANES]) -> Lanes {
    add_ones(sums, std::array::from_fn(|lane| a[lane] & u64::from_le_bytes(b[lane])))
}

#[cfg(test)]
mod tests;
