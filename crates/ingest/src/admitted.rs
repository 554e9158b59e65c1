//! Rows of live calls that are decided, as somebody sees them who cannot wait until they land.

use crate::log_record::HandOp;
use arrow::array::RecordBatch;
use async_trait::async_trait;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use taghouse_identities::LinkEvent;
use taghouse_model::{AppId, TimestampMs};
use taghouse_rules::Definitions;

/// A user who was deleted, or expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneUser {
    /// Of the record in the app's log.
    pub position: u64,
    /// Id of the user.
    pub user_id: String,
    /// When.
    pub at_ms: TimestampMs,
}

/// A value changed by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandChange {
    /// Of the record in the app's log.
    pub position: u64,
    /// Id of the user whose value is changed.
    pub user_id: String,
    /// Of which tag.
    pub tag: String,
    /// What is done to the value.
    pub op: HandOp,
    /// The value, as an attribute's text is read; none where it is taken away.
    pub value: Option<String>,
    /// When.
    pub at_ms: TimestampMs,
}

/// Rows of live calls that are decided and will land. They may be admitted again after a failure or
/// a restart, with the same positions.
#[derive(Debug, Clone, Copy)]
pub struct Admitted<'a> {
    /// Whose rows they are.
    pub app: &'a AppId,
    /// Under these they were built.
    pub definitions: &'a Arc<Definitions>,
    /// The log position behind which this begins. Smaller than the `through` told last: what was
    /// told behind it is void, and comes again.
    pub after: u64,
    /// Users who were deleted or expired, before any of the rows.
    pub gone: &'a [GoneUser],
    /// Values changed by hand in the same stretch, in order.
    pub changed: &'a [HandChange],
    /// Ids that became a user's in the same stretch, or their own again, in order.
    pub links: &'a [LinkEvent],
    /// Rows of the table `events`, …
    pub events: &'a RecordBatch,
    /// … and for each the log position of its record, ascending.
    pub event_positions: &'a [u64],
    /// Rows of the table `attributes`, …
    pub attributes: &'a RecordBatch,
    /// … and for each the log position of its record, ascending.
    pub attribute_positions: &'a [u64],
    /// The log position through which all of the app's records are admitted with this.
    pub through: u64,
}

/// Who is told of rows before they land. One app's calls come one after the other.
#[async_trait]
pub trait Follower: Send + Sync {
    /// Rows were admitted. What fails here is the follower's own affair.
    async fn admitted(&self, rows: Admitted<'_>);

    /// Rows up to `through` are about to land: what the follower must not lose is to be durable
    /// when this returns. The landing may fail all the same.
    async fn landing(&self, app: &AppId, through: u64);

    /// Rows of files landed.
    async fn files_landed(&self, app: &AppId);

    /// What was admitted does not land after all: a file has brought the message of a row meanwhile,
    /// or made an id known that was to be another's.
    /// It is told before what came after them lands.
    async fn taken_back(&self, app: &AppId);
}

/// The place of the follower that what lands in one data folder shares.
pub(crate) type Followed = Arc<OnceLock<Arc<dyn Follower>>>;

/// What a follower is told of a stretch.
pub(crate) struct Told {
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) after: u64,
    pub(crate) through: u64,
    /// The positions of users who went behind something else: a part begins with each.
    pub(crate) cuts: Vec<u64>,
    pub(crate) gone: Vec<GoneUser>,
    pub(crate) changed: Vec<HandChange>,
    pub(crate) links: Vec<LinkEvent>,
    pub(crate) events: RecordBatch,
    pub(crate) event_positions: Vec<u64>,
    pub(crate) attributes: RecordBatch,
    pub(crate) attribute_positions: Vec<u64>,
}

impl Told {
    /// Tells it part by part, so that the users gone in a part are gone before all its rows.
    pub(crate) async fn tell(&self, app: &AppId, follower: &dyn Follower) {
        let mut after = self.after;
        let ends = self.cuts.iter().map(|cut| cut.saturating_sub(1)).chain([self.through]);
        for through in ends {
            let of = |positions: &[u64]| within(positions, |position| *position, after, through);
            let (events, attributes) = (of(&self.event_positions), of(&self.attribute_positions));
            follower
                .admitted(Admitted {
                    app,
                    definitions: &self.definitions,
                    after,
                    gone: &self.gone[within(&self.gone, |gone| gone.position, after, through)],
                    changed: &self.changed
                        [within(&self.changed, |change| change.position, after, through)],
                    links: &self.links[within(&self.links, |link| link.position, after, through)],
                    events: &self.events.slice(events.start, events.len()),
                    event_positions: &self.event_positions[events],
                    attributes: &self.attributes.slice(attributes.start, attributes.len()),
                    attribute_positions: &self.attribute_positions[attributes],
                    through,
                })
                .await;
            after = through;
        }
    }
}

/// Where the items behind `after`, up to `through`, stand in a list that ascends.
fn within<T>(items: &[T], position: impl Fn(&T) -> u64, after: u64, through: u64) -> Range<usize> {
    let up_to = |last: u64| items.partition_point(|item| position(item) <= last);
    up_to(after)..up_to(through)
}
