//! The values of some users' live tags as a production would compute them, for whoever holds them
//! against the stream's. Nothing is written.

use crate::by_hand::Outline;
use crate::changed::ByHand;
use crate::chosen::Chosen;
use crate::columns::{self, Column};
use crate::pass::{self, Owned, Plan};
use crate::pinned::Pinned;
use crate::producer::{Enlisted, complete};
use crate::roster::Roster;
use crate::selection::Selection;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_fold::{Calendar, ColumnReader};
use taghouse_identities::mapping_of;
use taghouse_model::{Name, TimestampMs, Value};
use taghouse_rules::{Definitions, TagDefinition};
use tokio_util::sync::CancellationToken;

/// What to compute.
pub struct Sample<'a> {
    /// From these.
    pub tables: &'a Pinned,
    /// Whose values.
    pub users: Chosen,
    /// Of this tag alone; `None`: of all live ones.
    pub tag: Option<&'a Name>,
    /// Events before it count.
    pub as_of_ms: TimestampMs,
}

/// Values as of a time, without what was changed by hand.
#[derive(Debug, Default)]
pub struct Sampled {
    /// By user who exists, and tag.
    pub values: BTreeMap<String, BTreeMap<Name, Value>>,
    /// Whose value of which tag was ever changed by hand, and was not deleted since.
    pub by_hand: BTreeSet<(String, Name)>,
    /// Events that were read, of everybody.
    pub events_read: u64,
}

/// Computes live tags of some users. `report` is told of rows read, and of how many there are.
///
/// # Errors
/// Those of a production, but for an empty lake: nobody has a value then.
pub async fn sample(
    definitions: &Arc<Definitions>,
    sample: Sample<'_>,
    report: &(dyn Fn(u64, u64) + Sync),
) -> Result<Sampled> {
    let Sample { tables, users, tag, as_of_ms } = sample;
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    let selection = Selection::of_live(definitions, tag);
    let outline = Outline::of(tables.changes.as_ref()).await?.map(Arc::new);
    let mapping = Arc::new(mapping_of(tables.identities.as_ref()).await?);
    let plan = Plan::new(definitions, &selection, outline, mapping, as_of_ms)?.of(users);
    let (found, events_read) = match pass::run(tables, Arc::new(plan), report, &stop).await {
        Err(Error::NothingIngested(_)) => return Ok(Sampled::default()),
        read => read?,
    };
    let (calendar, heard) = (Calendar::new(&definitions.app.time_zone), stop.clone());
    let (enlisted, by_hand) = blocking(move || enlisted(found, calendar, as_of_ms, &heard)).await?;
    let roster = enlisted.roster.clone();
    let columns = complete(definitions, &selection, Vec::new(), enlisted, &stop).await?;
    let tags: Vec<TagDefinition> = selection.computed.iter().map(|tag| (*tag).clone()).collect();
    let values = blocking(move || values(&tags, &columns, &roster)).await?;
    Ok(Sampled { values, by_hand, events_read })
}

type ByHandPairs = BTreeSet<(String, Name)>;

/// The values of the pass by id, and who was changed by hand: the changes are not put on top.
fn enlisted(
    mut found: Vec<Owned>,
    calendar: Calendar,
    as_of_ms: TimestampMs,
    stop: &CancellationToken,
) -> Result<(Enlisted, ByHandPairs)> {
    let mut changed = BTreeSet::new();
    for owned in &mut found {
        for (tag, changes) in std::mem::take(&mut owned.hands.changes) {
            let Ok(tag) = Name::new(&tag) else { continue };
            let user = |user: u32| owned.users.id(user as usize).to_owned();
            changed.extend(changes.iter().map(|change| (user(change.user), tag.clone())));
        }
    }
    let roster = Roster::unlisted(&found);
    let by_hand = ByHand::gather(&mut found, &roster, calendar, as_of_ms);
    let columns = columns::align(&roster, found, stop)?;
    Ok((Enlisted { roster: Arc::new(roster), by_hand, columns, as_of_ms }, changed))
}

fn values(
    tags: &[TagDefinition],
    columns: &BTreeMap<Name, Column>,
    roster: &Roster,
) -> Result<BTreeMap<String, BTreeMap<Name, Value>>> {
    let ids = || roster.ids.iter().flatten();
    let mut all: BTreeMap<String, BTreeMap<Name, Value>> =
        ids().map(|id| (id.to_owned(), BTreeMap::new())).collect();
    for tag in tags {
        let Some(column) = columns.get(&tag.name) else { continue };
        let reader = ColumnReader::new(tag.name.as_str(), &column.values, tag.value_type)?;
        for (row, id) in ids().enumerate() {
            if let (Some(value), Some(of_user)) = (reader.value(row), all.get_mut(id)) {
                of_user.insert(tag.name.clone(), value);
            }
        }
    }
    Ok(all)
}
