//! What each tag kind computes: pure, no I/O.
//!
//! A [`FoldPlan`] is what a set of aggregate tags computes from events. One columnar step takes in
//! batches of events, for the batch and for the stream:
//!
//! - [`BatchFold`]: as of one time; the states of all users of a worker side by side;
//! - [`TileFold`]: at any time; what a batch adds to the states of its users, which are bytes
//!   ([`TagFold`]): `merge`, `trim`, and `outcome` as of an instant.
//!
//! Sessions, state machines and sequences are such tags too. What is kept of them are sets, and
//! their order is made when they are evaluated ([`Look`]).
//!
//! Cohorts and expressions are functions of a user's other tag values: [`DerivedFold`].
//!
//! Numbers are whole units of a power of ten from the event to the tag ([`MAX_EVENT_SCALE`] digits
//! after the point at most), or fractions where they may have more digits (a division). Both are
//! exact, so no order of the events changes a value; a tag's value is rounded once, half away from
//! zero, to the tag's scale.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod absorb;
mod attribute;
mod attribute_fold;
mod batch;
mod bound;
mod cell;
mod closed;
mod column;
mod derived;
mod error;
mod gather;
mod infer;
mod input;
mod journey;
mod outcome;
mod partial;
mod plan;
mod quotient;
mod spec;
mod step;
mod store;
mod tag_state;
mod texts;
mod tile;
mod tile_fold;
mod units;

pub use absorb::{Absorb, Absorbed};
pub use attribute::parse_attribute;
pub use attribute_fold::{AttributeFold, AttributeRow};
pub use batch::{
    AttributeBatch, AttributePlan, BatchAttributes, BatchFold, BatchPlan, Skipped, TagValues,
};
pub use bound::{StateBound, Unbounded};
pub use closed::ClosedTiles;
pub use column::{ColumnBuilder, ColumnReader};
pub use derived::DerivedFold;
pub use error::{Error, Result};
pub use input::EventBatch;
pub use journey::Look;
pub use outcome::{Outcome, SkipReason};
pub use plan::FoldPlan;
pub use tag_state::{STATE_VERSION, TagFold};
pub use tile::{Calendar, Span, TileUnit, Tiles};
pub use tile_fold::{TagDeltas, TileFold};
pub use units::MAX_EVENT_SCALE;
