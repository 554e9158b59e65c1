//! What each tag kind computes: pure, no I/O.
//!
//! A fold is `step(state, event)`, `value(state, as_of)` and `merge`. There are two doors to the
//! same partial aggregates:
//!
//! - [`Fold`], event by event, for the stream: [`AggregateFold::sliding`] keeps a ring of tiles and
//!   answers at any later time; [`AggregateFold::fixed`] keeps one tile, for one as-of time;
//! - [`BatchFold`], for batches of Arrow columns as of one time: the states of all users of a
//!   worker side by side.
//!
//! Cohorts and expressions are functions of a user's other tag values: [`DerivedFold`].
//!
//! Numbers are whole units of a power of ten from the event to the tag ([`MAX_EVENT_SCALE`] digits
//! after the point at most), or fractions where they may have more digits (a division). Both are
//! exact, so no order of the events changes a value; a tag's value is rounded once, half away from
//! zero, to the tag's scale.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod aggregate;
mod attribute;
mod batch;
mod cell;
mod column;
mod derived;
mod error;
mod event;
mod infer;
mod outcome;
mod partial;
mod quotient;
mod spec;
mod texts;
mod tile;
mod units;

pub use aggregate::{AggregateFold, AggregateState};
pub use attribute::{AttributeFold, AttributeRow, AttributeState, parse_attribute};
pub use batch::{
    AttributeBatch, AttributePlan, BatchAttributes, BatchFold, BatchPlan, EventBatch, Skipped,
    TagValues,
};
pub use column::{ColumnBuilder, ColumnReader};
pub use derived::DerivedFold;
pub use error::{Error, Result};
pub use event::{EventRow, Fold};
pub use outcome::{Outcome, SkipReason};
pub use tile::{Calendar, Span, TileUnit, Tiles};
pub use units::MAX_EVENT_SCALE;
