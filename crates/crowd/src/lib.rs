//! Crowds: from a checked definition to a set of users, its versions, and the answers that
//! applications wait for.
//!
//! - [`Crowds::compute`] evaluates a definition on one snapshot of the index and publishes the
//!   result as a new **version**: an immutable object, reached by a pointer that moves by
//!   compare-and-swap. The newest are kept, five unless its definition says otherwise.
//! - A version answers once it is computed, unless it [waits](Waits). [`Crowds::publish_version`],
//!   [`Crowds::roll_back`] and [`Crowds::roll_out`] say which one answers.
//! - [`Crowds::count`] and [`Crowds::sample`] answer a [`Question`] on the newest snapshot, and
//!   keep nothing.
//! - [`Crowds::estimate`] and [`Crowds::counting`] give bounds of a count before it is known;
//!   [`Crowds::page`] lists users in a stable order.
//! - [`Crowds::top`], [`Crowds::cross`], [`Crowds::distribution`], [`Crowds::overlaps`] and
//!   [`Crowds::compare`] describe a crowd: exact counts, each call on one snapshot.
//! - [`Crowds::members`] is the set of a version, to export and to count. [`Crowds::judge`] asks
//!   the same set. So the size shown, the rows exported and the members admitted are always the
//!   same users.
//!
//! A live crowd ([`Crowds::define`]) has no versions: its rule is evaluated on the newest snapshot, by
//! whatever asks for it.
//!
//! What no bitmap can answer, such as `a / b > 1`, is evaluated user by user when it is asked, for
//! the users that the rest of the expression leaves.
//!
//! `crowd("other")` in an expression is the other crowd's current version at the time of asking.
//!
//! A judgment costs a dictionary look-up and a membership test: pointers and sets stay in memory,
//! and it takes no lock. Versions that this process publishes take effect at once; those of another
//! process, at the next [`Crowds::refresh`]. While the catalog does not answer, known crowds are
//! still judged, and each answer tells its age.
//!
//! Deleted users are subtracted from every version when it is read; [`Crowds::clean`] rewrites the
//! objects without them later.
//!
//! The object of a version is derived: if it is lost, the crowd is computed again.
//!
//! ```
//! use taghouse_crowd::Question;
//!
//! let question = Question::parse("orders_30d>=2 && !crowd('big_spenders')")?;
//! assert_eq!(question.to_string(), r#"orders_30d >= 2 && !crowd("big_spenders")"#);
//!
//! let error = Question::parse("orders_30d >=").unwrap_err();
//! assert!(error.to_string().contains('^'), "the message points at the place");
//! # Ok::<(), taghouse_crowd::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod adjust;
mod anonymous;
mod bucket;
mod clean;
mod comparison;
mod compute;
mod crosstab;
mod crowds;
mod difference;
mod distribution;
mod effect;
mod error;
mod estimate;
mod gate;
mod gathered;
mod given;
mod groups;
mod holding;
mod ids;
mod import;
mod judge;
mod kept_set;
mod known;
mod leaves;
mod live;
mod loaded_set;
mod loaded_sets;
mod lookalike;
mod made;
mod mark;
mod matching;
mod member_values;
mod members;
mod moments;
mod numbers;
mod overlaps;
mod page;
mod parts;
mod permitted;
mod population;
mod profile;
mod publishing;
mod question;
mod ratio;
mod reach;
mod refresh;
mod rewrite;
mod rollout;
mod roster;
mod sample;
mod set_bytes;
mod split;
mod sticky;
mod tag_column;
mod top;
mod value_counts;
mod version;
mod why;

pub use adjust::Exception;
pub use comparison::{
    CompareOrder, CompareRequest, Comparison, Contrast, MAX_COMPARED_TAGS, MAX_CONTRASTS,
};
pub use crosstab::{Cross, Heading};
pub use crowds::Crowds;
pub use difference::{Difference, Moved};
pub use distribution::{
    Bin, Bins, DEFAULT_QUANTILES, Distribution, DistributionRequest, MAX_BINS, MAX_QUANTILES,
};
pub use effect::{ArmEffect, Effect, EffectRequest, MeanDifference};
pub use error::{Error, Result};
pub use estimate::{Estimate, SLOW_MS};
pub use gate::Waits;
pub use given::{GivenId, GivenUsers, IdCounts};
pub use groups::{Axis, Buckets, Group, MAX_GROUPS};
pub use holding::{Holding, Holds, MAX_UNANSWERED, Unanswered};
pub use import::{Import, ImportMode, Imported, MAX_BATCH_NAME_CHARS};
pub use judge::{Judgment, Judgments, MAX_JUDGED_CROWDS, MAX_JUDGED_USERS};
pub use kept_set::Numbering;
pub use lookalike::Affinity;
pub use mark::VersionsMark;
pub use matching::{MAX_JUDGED_EXPRESSIONS, Matches};
pub use member_values::MemberValues;
pub use members::{CrowdMembers, Piece};
pub use overlaps::{MAX_OVERLAP_ITEMS, Overlaps};
pub use page::{MAX_PAGE, Page};
pub use parts::PartChange;
pub use permitted::{MemberPage, Permission, Permitted};
pub use profile::TagValue;
pub use publishing::{RolloutRequest, StageEnd};
pub use question::{Count, NamedQuestion, Question};
pub use ratio::Interval;
pub use reach::{Lookalikes, MAX_LOOKALIKE_TAGS, Reach};
pub use refresh::REFRESH_EVERY;
pub use rewrite::{ComputationsPaused, Renumbered};
pub use sample::{MAX_SAMPLE, Sample};
pub use taghouse_bitmap::PortablePieces;
pub use top::{MAX_TOP, Top, ValueUsers};
pub use version::{Blend, CrowdSummary, CrowdVersion, CrowdVersions, Rollout, Turn};
pub use why::{AskedCrowd, AskedTag, Part, Reason, Why};
