//! How large a user's state of a tag can become, by the definition alone.
//!
//! ```text
//! tiles in the window × (the tile's number + its partial aggregate at its largest)
//! ```
//!
//! It holds for states from which what time has gone past is trimmed.

use crate::AttributeFold;
use crate::partial::{CellKind, MAX_MARKS, PartialForm, REGISTERS};
use crate::plan::{PlannedKind, PlannedTag};
use crate::spec::Spec;
use crate::tag_state::TagFold;
use crate::tile::Span;
use taghouse_model::{MAX_TEXT_BYTES, ValueType};
use taghouse_rules::{AggregateFunction, MAX_SET_VALUES};

/// The most that is kept of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateBound {
    /// So many bytes.
    Bytes(u64),
    /// It has none.
    Unbounded(Unbounded),
}

/// Why a state has no bound, and what gives it one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbounded {
    /// With what it grows.
    pub grows: &'static str,
    /// What to change in the definition.
    pub fix: &'static str,
}

const VALUES: Unbounded = Unbounded {
    grows: "with each different value",
    fix: "`exact_up_to: N` keeps N values, and estimates the number beyond",
};

const MEMBERS: Unbounded = Unbounded {
    grows: "with each different value",
    fix: "a `where` or a `value` of few different values keeps it small",
};

const FRACTIONS: Unbounded = Unbounded {
    grows: "with each different divisor",
    fix: "rounding the value, as in `round(a / b, 2)`, keeps it small",
};

const SESSIONS: Unbounded =
    Unbounded { grows: "with each session", fix: "a `window` bounds how many are kept" };

/// LEB128 of so many bits.
const fn leb(bits: u64) -> u64 {
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Bytes of a number of 64 bits with its sign, such as a time.
const TIME: u64 = leb(64);

/// Bytes of a text with its length.
const TEXT: u64 = leb(11) + MAX_TEXT_BYTES as u64;

/// Milliseconds of the longest tile: a local day on which a clock is put back by another.
const DAY_MS: u64 = 2 * 86_400_000;

fn bits(number: u64) -> u64 {
    u64::from(u64::BITS - number.leading_zeros())
}

impl TagFold<'_> {
    /// The most that is kept of one user.
    pub fn bound(&self) -> StateBound {
        let PlannedTag { span, kind, .. } = self.planned();
        let tiles = span.tiles();
        let of_tile = match self.planned().form() {
            PartialForm::Aggregate { function, .. } => match kind {
                PlannedKind::Aggregate(spec) => aggregate(function, spec),
                _ => return StateBound::Unbounded(VALUES),
            },
            PartialForm::Distinct { cells, bound } => {
                let cell = match kind {
                    PlannedKind::Aggregate(spec) => cell_bytes(spec),
                    _ => return StateBound::Unbounded(VALUES),
                };
                debug_assert!(cells != CellKind::Quotient || cell > TIME);
                let exact = leb(bits(bound as u64)) + bound as u64 * cell;
                Ok(exact.max(1 + REGISTERS as u64))
            }
            PartialForm::Sessions { gap_ms } => sessions(span, gap_ms),
            PartialForm::Trace { keyed } => Ok(trace(keyed)),
        };
        match of_tile {
            Ok(bytes) => {
                // The first tile has its number, each further one its distance. (A distance that
                // takes a byte more, beside a lead, leaves out far more than that.)
                let numbers = TIME + (tiles - 1) * leb(bits(tiles));
                StateBound::Bytes(numbers.saturating_add(tiles.saturating_mul(bytes)))
            }
            Err(unbounded) => StateBound::Unbounded(unbounded),
        }
    }
}

impl AttributeFold {
    /// The most that is kept of one user.
    pub fn bound(&self) -> StateBound {
        StateBound::Bytes(TIME + TEXT + 1 + TEXT)
    }
}

impl Span {
    fn tiles(&self) -> u64 {
        self.count().map_or(1, |count| u64::try_from(count).unwrap_or(1).max(1))
    }
}

/// The largest cell of the tag's values.
fn cell_bytes(spec: &Spec) -> u64 {
    match (spec.form_cells(), spec.value_type) {
        // A set as one text, of which each byte may be escaped.
        (CellKind::Text, ValueType::Set) if !spec.opens_sets() => {
            leb(32) + 2 + MAX_SET_VALUES as u64 * (6 * MAX_TEXT_BYTES as u64 + 3)
        }
        (CellKind::Text, _) => TEXT,
        (CellKind::Quotient, _) => 2 * leb(128),
        (CellKind::Number, ValueType::Bool) => 1,
        (CellKind::Number, ValueType::Date) => leb(33),
        (CellKind::Number, ValueType::Time) => TIME,
        // Units up to 10^30, with their sign.
        (CellKind::Number, _) => leb(101),
    }
}

fn aggregate(function: AggregateFunction, spec: &Spec) -> Result<u64, Unbounded> {
    use AggregateFunction as F;
    let cell = cell_bytes(spec);
    // Of truths there are two.
    let few = (spec.value_type == ValueType::Bool).then_some(2);
    match function {
        F::Count => Ok(leb(64)),
        F::Sum | F::Avg if spec.quotients => Err(FRACTIONS),
        F::Sum | F::Avg => Ok(leb(65) + leb(128)),
        F::Min | F::Max => Ok(cell),
        F::First | F::Last => Ok(TIME + TEXT + cell),
        F::CountDistinct => few.map(|values| 1 + values * cell).ok_or(VALUES),
        F::Set => few.map(|values| 1 + values * cell).ok_or(MEMBERS),
        F::MostFrequent => few.map(|values| 1 + values * (cell + leb(32))).ok_or(MEMBERS),
    }
}

/// Sessions of a tile lie further apart than the gap.
fn sessions(span: &Span, gap_ms: i64) -> Result<u64, Unbounded> {
    let Some(tile_ms) = span.unit_ms() else { return Err(SESSIONS) };
    let tile_ms = u64::try_from(tile_ms).unwrap_or(DAY_MS).saturating_mul(2).min(DAY_MS);
    let most = tile_ms / u64::try_from(gap_ms).unwrap_or(1).max(1) + 1;
    // The first by its time, the others by their distance; then its length, and how many events.
    let within = leb(bits(tile_ms) + 1);
    Ok(leb(bits(most)) + TIME + most * (2 * within + leb(64)))
}

/// The newest marks, each with the distance in time from the one before, an id and a condition.
fn trace(keyed: bool) -> u64 {
    let marks = MAX_MARKS as u64;
    // All distances come to 64 bits: no more than 2^8 of them have more than 56.
    let distances = 8 * marks + 2 * (1 << 8);
    leb(bits(marks)) + distances + marks * (4 + 1 + if keyed { 8 } else { 0 })
}
