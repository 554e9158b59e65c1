//! Those for whom slices are asked, one container of 2^16 ordinals at a time, in lines of 512: a cache line, which is what is read of a slice
//! at once. A line where nobody is left is not read again, so that a question about few, or one that the high bits settle, reads little.

use crate::blob::{Container, WORDS, Words};
use crate::popcount::{Word, count};
use crate::vector::{Kernel, fastest};

/// Words of a line.
const LINE: usize = 8;
/// Lines of a container.
const LINES: usize = WORDS / LINE;

type Line = [u64; LINE];

/// The bits of one container, little-endian, by lines.
pub(super) type Bits = [[u8; LINE * 8]; LINES];

/// Some ordinals of one container.
#[derive(Clone)]
pub(super) struct Candidates {
    /// Which lines hold any, ascending; the first `live` count.
    at: [u8; LINES],
    lines: [Line; LINES],
    live: usize,
}

impl Candidates {
    pub(super) fn none() -> Self {
        Self { at: [0; LINES], lines: [[0; LINE]; LINES], live: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Becomes all of `container`.
    pub(super) fn fill(&mut self, container: &Container<'_>) {
        self.live = 0;
        match container {
            Container::Array(values) => {
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
            Container::Bits(bits) => fastest(Fill { candidates: self, words: bits.as_chunks::<8>().0 }),
            Container::Runs(_) => fastest(Fill { candidates: self, words: &container.words() }),
        }
    }

    /// Keeps those whose bit is 1 or, flipped, 0.
    pub(super) fn keep(&mut self, bits: &Bits, flip: bool) {
        let each = |_: u8, here: &Line, bits: &Line| zip(here, bits, |a, b| a & b);
        fastest(Step { candidates: self, bits, flip, each });
    }

    /// Takes those out whose bit is 1 or, flipped, 0.
    pub(super) fn take(&mut self, bits: &Bits, flip: bool, sink: &mut impl Sink) {
        let each = |at: u8, here: &Line, bits: &Line| {
            sink.found(at, &zip(here, bits, |a, b| a & b));
            zip(here, bits, |a, b| a & !b)
        };
        fastest(Step { candidates: self, bits, flip, each });
    }

    /// `ones` becomes those whose bit is 1, and these become those whose bit is 0.
    pub(super) fn split(&mut self, bits: &Bits, ones: &mut Self) {
        ones.live = 0;
        self.take(bits, false, ones);
    }

    /// `better` becomes those whose bit is 1 or, flipped, 0.
    pub(super) fn choose(&self, bits: &Bits, flip: bool, better: &mut Self) {
        better.live = 0;
        fastest(Choose { from: self, bits, flip, into: better });
    }

    /// How many.
    pub(super) fn len(&self) -> u64 {
        count(self.lines[..self.live].as_flattened())
    }

    /// How many of them have the bit.
    pub(super) fn count(&self, bits: &Bits) -> u64 {
        fastest(Count { candidates: self, bits })
    }

    #[inline(always)]
    fn push(&mut self, at: u8, line: &Line) {
        // There is always room: lines come from other candidates, each once.
        let to = self.live % LINES;
        self.at[to] = at;
        self.lines[to] = *line;
        self.live += usize::from(any(line));
    }
}

/// Where found ones go.
pub(super) trait Sink {
    /// `line` of line number `at`.
    fn found(&mut self, at: u8, line: &Line);

    fn all(&mut self, candidates: &Candidates) {
        for (at, line) in candidates.at.iter().zip(&candidates.lines).take(candidates.live) {
            self.found(*at, line);
        }
    }
}

impl Sink for Candidates {
    #[inline(always)]
    fn found(&mut self, at: u8, line: &Line) {
        self.push(at, line);
    }
}

/// Keeps them.
impl Sink for Words {
    #[inline(always)]
    fn found(&mut self, at: u8, line: &Line) {
        let into = &mut self.as_chunks_mut::<LINE>().0[usize::from(at) % LINES];
        *into = zip(into, line, |a, b| a | b);
    }
}

/// Only counts them.
impl Sink for u64 {
    #[inline(always)]
    fn found(&mut self, _: u8, line: &Line) {
        *self += ones(line);
    }

    fn all(&mut self, candidates: &Candidates) {
        *self += candidates.len();
    }
}

/// Goes through the lines of `candidates` and what is there in `bits`. What `each` makes of a line stays; lines that become empty go.
struct Step<'a, F> {
    candidates: &'a mut Candidates,
    bits: &'a Bits,
    flip: bool,
    each: F,
}

impl<F: FnMut(u8, &Line, &Line) -> Line> Kernel for Step<'_, F> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        let Self { candidates: Candidates { at, lines, live }, bits, flip, mut each } = self;
        let flip = if flip { u64::MAX } else { 0 };
        let mut left = 0;
        for index in 0..(*live).min(LINES) {
            let place = at[index];
            let rest = each(place, &lines[index], &line_of(bits, place, flip));
            at[left] = place;
            lines[left] = rest;
            left += usize::from(any(&rest));
        }
        *live = left;
    }
}

/// The same, leaving the candidates as they are.
struct Choose<'a> {
    from: &'a Candidates,
    bits: &'a Bits,
    flip: bool,
    into: &'a mut Candidates,
}

impl Kernel for Choose<'_> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        let flip = if self.flip { u64::MAX } else { 0 };
        for (place, line) in self.from.at.iter().zip(&self.from.lines).take(self.from.live) {
            self.into.push(*place, &zip(line, &line_of(self.bits, *place, flip), |a, b| a & b));
        }
    }
}

struct Count<'a> {
    candidates: &'a Candidates,
    bits: &'a Bits,
}

impl Kernel for Count<'_> {
    type Out = u64;
    #[inline(always)]
    fn run(self) -> u64 {
        let mut sums = [0; LINE];
        for (place, line) in self.candidates.at.iter().zip(&self.candidates.lines).take(self.candidates.live) {
            let both = zip(line, &line_of(self.bits, *place, 0), |a, b| a & b);
            sums = zip(&sums, &both, |sum, word| sum + u64::from(word.count_ones()));
        }
        sums.iter().sum()
    }
}

struct Fill<'a, W> {
    candidates: &'a mut Candidates,
    words: &'a [W],
}

impl<W: Word> Kernel for Fill<'_, W> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        let lines = self.words.as_chunks::<LINE>().0;
        for (at, words) in (0..LINES as u8).zip(lines) {
            let mut line = [0; LINE];
            for (to, word) in line.iter_mut().zip(words) {
                *to = word.word();
            }
            self.candidates.push(at, &line);
        }
    }
}

#[inline(always)]
fn line_of(bits: &Bits, place: u8, flip: u64) -> Line {
    let mut line = [0; LINE];
    for (to, word) in line.iter_mut().zip(bits[usize::from(place) % LINES].as_chunks::<8>().0) {
        *to = u64::from_le_bytes(*word) ^ flip;
    }
    line
}

#[inline(always)]
fn zip(a: &Line, b: &Line, op: impl Fn(u64, u64) -> u64) -> Line {
    let mut out = [0; LINE];
    for index in 0..LINE {
        out[index] = op(a[index], b[index]);
    }
    out
}

#[inline(always)]
fn any(line: &Line) -> bool {
    line.iter().fold(0, |all, word| all | word) != 0
}

#[inline(always)]
fn ones(line: &Line) -> u64 {
    line.iter().map(|word| u64::from(word.count_ones())).sum()
}
