//! The candidates of a comparison, one container of 2^16 ordinals at a time, in lines of 512 bits:
//! a cache line, the unit in which a slice is read. Lines without candidates are not read again, so
//! a query for few users, or one that the high bits decide, reads little.

use crate::blob::{Container, WORDS, Words};
use crate::popcount::count;
use crate::prefetch::prefetch_beyond;
use crate::vector::{LANES, Simd, VectorLoop, fastest};

/// Words of a line.
const LINE: usize = LANES;
/// Lines of a container.
const LINES: usize = WORDS / LINE;

/// Fewer values than this are inserted one by one.
const FEW: usize = 64;

type Line = [u64; LINE];

/// The bits of one container, little-endian, by lines.
pub(super) type Bits = [[u8; LINE * 8]; LINES];

pub(super) static NONE: Bits = [[0; LINE * 8]; LINES];

/// Some ordinals of one container.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Candidates {
    /// The indexes of the lines with candidates, ascending; only the first `live` are valid.
    at: [u8; LINES],
    lines: [Line; LINES],
    live: usize,
}

impl Candidates {
    pub(super) fn none() -> Self {
        Self { at: [0; LINES], lines: [[0; LINE]; LINES], live: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.live = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Becomes all of `container`.
    pub(super) fn fill(&mut self, container: &Container<'_>, room: &mut Bits) {
        self.live = 0;
        match container {
            Container::Array(values) if values.len() < 2 * FEW => {
                for value in values.as_chunks::<2>().0 {
                    let low = usize::from(u16::from_le_bytes(*value));
                    let at = (low / (64 * LINE)) as u8;
                    if self.live == 0 || self.at[self.live - 1] != at {
                        if self.live == LINES {
                            return;
                        }
                        self.at[self.live] = at;
                        self.lines[self.live] = [0; LINE];
                        self.live += 1;
                    }
                    self.lines[self.live - 1][low / 64 % LINE] |= 1 << (low % 64);
                }
            }
            _ => fastest(Fill(self, bits_of(Some(container), room))),
        }
    }

    /// Keeps the candidates whose bit is 1 or, with `flip`, 0.
    pub(super) fn keep(&mut self, bits: &Bits, flip: bool) {
        fastest(Keep { candidates: self, bits, flip });
    }

    /// Moves out the candidates whose bit is 1 or, with `flip`, 0.
    pub(super) fn take(&mut self, bits: &Bits, flip: bool, sink: &mut impl Sink) {
        fastest(Take { candidates: self, bits, flip, sink });
    }

    /// `ones` becomes those whose bit is 1, and these become those whose bit is 0.
    pub(super) fn split(&mut self, bits: &Bits, ones: &mut Self) {
        fastest(Split { from: self, bits, ones });
    }

    /// `better` becomes those whose bit is 1 or, flipped, 0.
    pub(super) fn choose(&self, bits: &Bits, flip: bool, better: &mut Self) {
        fastest(Choose { from: self, bits, flip, into: better });
    }

    /// The number of elements.
    pub(super) fn len(&self) -> u64 {
        count(self.lines[..self.live].as_flattened())
    }

    /// How many of them have the bit.
    pub(super) fn count(&self, bits: &Bits) -> u64 {
        fastest(Count { candidates: self, bits })
    }

    /// Puts a line in place number `live`, and gives the place for the next: the same, if nobody is
    /// in this one.
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, live: usize, at: u8, line: S::Vector) -> usize {
        // There is always room: lines come from other candidates, each once.
        let to = live % LINES;
        self.at[to] = at;
        simd.store(line, &mut self.lines[to]);
        live + usize::from(simd.any(line))
    }
}

/// Where found users go.
pub(super) trait Sink {
    /// `line` of line number `at`.
    fn found<S: Simd>(&mut self, simd: S, at: u8, line: S::Vector);

    fn all(&mut self, candidates: &Candidates);
}

/// Keeps the words that pass.
impl Sink for Words {
    #[inline(always)]
    fn found<S: Simd>(&mut self, simd: S, at: u8, line: S::Vector) {
        let into = &mut self.as_chunks_mut::<LINE>().0[usize::from(at) % LINES];
        simd.store(simd.or(simd.load(into), line), into);
    }

    fn all(&mut self, candidates: &Candidates) {
        for (at, line) in candidates.at.iter().zip(&candidates.lines).take(candidates.live) {
            let into = &mut self.as_chunks_mut::<LINE>().0[usize::from(*at) % LINES];
            into.iter_mut().zip(line).for_each(|(into, word)| *into |= word);
        }
    }
}

/// Only counts, for each word of a vector separately.
#[derive(Default)]
pub(super) struct MatchCount([u64; LINE]);

impl MatchCount {
    pub(super) fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Sink for MatchCount {
    #[inline(always)]
    fn found<S: Simd>(&mut self, simd: S, _: u8, line: S::Vector) {
        simd.store(simd.add_ones(simd.load(&self.0), line), &mut self.0);
    }

    fn all(&mut self, candidates: &Candidates) {
        self.0[0] += candidates.len();
    }
}

/// Keeps those candidates whose bit is 1. Lines that become empty go.
struct Keep<'a> {
    candidates: &'a mut Candidates,
    bits: &'a Bits,
    flip: bool,
}

impl VectorLoop for Keep<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { candidates, bits, flip } = self;
        let flip = simd.splat(if flip { u64::MAX } else { 0 });
        let mut left = 0;
        for index in 0..candidates.live.min(LINES) {
            let (place, line) = (candidates.at[index], simd.load(&candidates.lines[index]));
            let bits = simd.xor(line_of(simd, bits, place), flip);
            left = candidates.put(simd, left, place, simd.and(line, bits));
        }
        candidates.live = left;
    }
}

/// Takes those out whose bit is 1.
struct Take<'a, T> {
    candidates: &'a mut Candidates,
    bits: &'a Bits,
    flip: bool,
    sink: &'a mut T,
}

impl<T: Sink> VectorLoop for Take<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { candidates, bits, flip, sink } = self;
        let flip = simd.splat(if flip { u64::MAX } else { 0 });
        let mut left = 0;
        for index in 0..candidates.live.min(LINES) {
            let (place, line) = (candidates.at[index], simd.load(&candidates.lines[index]));
            let bits = simd.xor(line_of(simd, bits, place), flip);
            sink.found(simd, place, simd.and(line, bits));
            left = candidates.put(simd, left, place, simd.and_not(line, bits));
        }
        candidates.live = left;
    }
}

/// `into` becomes those of `from` whose bit is 1.
struct Choose<'a> {
    from: &'a Candidates,
    bits: &'a Bits,
    flip: bool,
    into: &'a mut Candidates,
}

impl VectorLoop for Choose<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let flip = simd.splat(if self.flip { u64::MAX } else { 0 });
        let mut live = 0;
        for (place, line) in self.from.at.iter().zip(&self.from.lines).take(self.from.live) {
            let bits = simd.xor(line_of(simd, self.bits, *place), flip);
            live = self.into.put(simd, live, *place, simd.and(simd.load(line), bits));
        }
        self.into.live = live;
    }
}

/// Parts `from` by the bit.
struct Split<'a> {
    from: &'a mut Candidates,
    bits: &'a Bits,
    ones: &'a mut Candidates,
}

impl VectorLoop for Split<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { from, bits, ones } = self;
        let (mut zero, mut one) = (0, 0);
        for index in 0..from.live.min(LINES) {
            let (place, line) = (from.at[index], simd.load(&from.lines[index]));
            let bits = line_of(simd, bits, place);
            one = ones.put(simd, one, place, simd.and(line, bits));
            zero = from.put(simd, zero, place, simd.and_not(line, bits));
        }
        (from.live, ones.live) = (zero, one);
    }
}

struct Count<'a> {
    candidates: &'a Candidates,
    bits: &'a Bits,
}

impl VectorLoop for Count<'_> {
    type Out = u64;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        let mut sums = simd.splat(0);
        for (place, line) in
            self.candidates.at.iter().zip(&self.candidates.lines).take(self.candidates.live)
        {
            let bits = line_of(simd, self.bits, *place);
            sums = simd.add_ones(sums, simd.and(simd.load(line), bits));
        }
        let mut words = [0; LINE];
        simd.store(sums, &mut words);
        words.iter().sum()
    }
}

/// Becomes all of a container's words.
struct Fill<'a>(&'a mut Candidates, &'a Bits);

impl VectorLoop for Fill<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self(candidates, bits) = self;
        let mut live = 0;
        for (place, line) in (0..LINES as u8).zip(bits) {
            live = candidates.put(simd, live, place, simd.load_bytes(line));
        }
        candidates.live = live;
    }
}

/// Containers of a dense slice follow one another, so that what is read after this one is 8 KiB
/// further: it is asked for ahead, for the processor itself sees no further than its page.
#[inline(always)]
fn line_of<S: Simd>(simd: S, bits: &Bits, place: u8) -> S::Vector {
    let line = &bits[usize::from(place) % LINES];
    prefetch_beyond(line, size_of::<Bits>());
    simd.load_bytes(line)
}

/// A container's bits where they lie or, if they do not, written out in `room`.
pub(super) fn bits_of<'b>(container: Option<&Container<'b>>, room: &'b mut Bits) -> &'b Bits {
    match container {
        None => &NONE,
        Some(Container::Bits(bits)) => bits.as_chunks().0.first_chunk().unwrap_or(&NONE),
        Some(Container::Array(values)) => {
            let bytes = room.as_flattened_mut();
            bytes.fill(0);
            for value in values.as_chunks::<2>().0 {
                let low = u16::from_le_bytes(*value);
                bytes[usize::from(low / 8)] |= 1 << (low % 8);
            }
            room
        }
        Some(other) => {
            let words = other.words();
            for (to, word) in room.as_flattened_mut().as_chunks_mut::<8>().0.iter_mut().zip(&words)
            {
                *to = word.to_le_bytes();
            }
            room
        }
    }
}
