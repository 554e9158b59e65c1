//! Changes by hand of live tags that hold, for states computed from the lake: those know rows only,
//! and would show what was changed as it was before.

use crate::by_hand::{self, Outline};
use crate::changed::ByHand;
use crate::chosen::Chosen;
use crate::columns::{self, Column};
use crate::pass::{self, Owned, Plan};
use crate::pinned::Pinned;
use crate::producer::{Enlisted, complete};
use crate::roster::Roster;
use crate::selection::Selection;
use crate::{Error, Result};
use arrow::array::Array;
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_fold::{Calendar, ColumnReader};
use taghouse_identities::{Mapping, mapping_of};
use taghouse_model::{Name, TimestampMs, Value};
use taghouse_rules::{Definitions, TagDefinition};
use tokio_util::sync::CancellationToken;

/// A value that was changed by hand, and after which no event or value of its tag came.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldChange {
    /// As events and attributes alone have it.
    pub computed: Option<Value>,
    /// As it is with the changes.
    pub changed: Option<Value>,
}

/// By tag, and the id of the user.
pub type HeldChanges = BTreeMap<Name, BTreeMap<String, HeldChange>>;

/// The changes by hand of live tags that hold as of a time, by the rule that productions go by; also
/// those that were made later. Reads the lake once, of the users concerned alone, and not at all
/// where no live tag was ever changed.
///
/// # Errors
/// Those of a production.
pub async fn held_changes(
    definitions: &Arc<Definitions>,
    tables: &Pinned,
    as_of_ms: TimestampMs,
) -> Result<HeldChanges> {
    let Some(outline) = Outline::of(tables.changes.as_ref()).await? else {
        return Ok(HeldChanges::new());
    };
    let is_live = |name: &str| definitions.tags.get(name).is_some_and(|tag| tag.mode.is_live());
    if !outline.tags.keys().any(|tag| is_live(tag)) {
        return Ok(HeldChanges::new());
    }

    // 1. Whose values they are.
    let mapping = Arc::new(mapping_of(tables.identities.as_ref()).await?);
    let users = changed_users(tables, &mapping, &is_live).await?;

    // 2. What the lake says of these users.
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    let selection = Selection::of_live(definitions, None);
    let plan = Plan::new(definitions, &selection, Some(Arc::new(outline)), mapping, as_of_ms)?;
    let plan = Arc::new(plan.among(Chosen { users, share: None }));
    let (found, _) = match pass::run(tables, plan, &|_, _| (), &stop).await {
        Err(Error::NothingIngested(_)) => return Ok(HeldChanges::new()),
        read => read?,
    };

    // 3. Their values without the changes, and with them.
    let calendar = Calendar::new(&definitions.app.time_zone);
    let tags: Vec<TagDefinition> = selection.computed.iter().map(|tag| (*tag).clone()).collect();
    let (checked, heard) = (definitions.clone(), stop.clone());
    let enlisted =
        blocking(move || enlist(&checked, tags, found, &calendar, as_of_ms, &heard)).await?;
    let Enlistment { plain, changed, rows } = enlisted;
    let roster = plain.roster.clone();
    let plain = complete(definitions, &selection, Vec::new(), plain, &stop).await?;
    let changed = complete(definitions, &selection, Vec::new(), changed, &stop).await?;
    blocking(move || {
        rows.iter().map(|held| held.changes(&plain, &changed, &roster)).collect::<Result<_>>()
    })
    .await
}

/// The users of whom a live tag was ever changed.
async fn changed_users(
    tables: &Pinned,
    mapping: &Mapping,
    is_live: &(dyn Fn(&str) -> bool + Sync),
) -> Result<HashSet<String>> {
    use futures::StreamExt;
    let mut users = HashSet::new();
    let Some(changes) = &tables.changes else { return Ok(users) };
    for mut batches in changes.scan(&["user_id", "tag"]).plan(1).await?.partitions() {
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let (ids, tags) = (by_hand::text(&batch, "user_id")?, by_hand::text(&batch, "tag")?);
            // Deletions have no tag.
            for (id, tag) in ids.iter().zip(tags) {
                if let (Some(id), Some(tag)) = (id, tag)
                    && is_live(tag)
                {
                    let user = mapping.resolve(id).map_or(id, |user| user);
                    if !users.contains(user) {
                        users.insert(user.to_owned());
                    }
                }
            }
        }
    }
    Ok(users)
}

/// What was read, to be completed without the changes and with them.
struct Enlistment {
    plain: Enlisted,
    changed: Enlisted,
    rows: Vec<HeldRows>,
}

/// The rows of a roster in which changes of a tag hold.
struct HeldRows {
    tag: TagDefinition,
    rows: Vec<u32>,
}

fn enlist(
    definitions: &Definitions,
    tags: Vec<TagDefinition>,
    mut found: Vec<Owned>,
    calendar: &Calendar,
    as_of_ms: TimestampMs,
    stop: &CancellationToken,
) -> Result<Enlistment> {
    let roster = Arc::new(Roster::unlisted(&found));
    let by_hand = ByHand::gather(&mut found, &roster, calendar.clone(), as_of_ms);
    let columns = columns::align(&roster, found, stop)?;
    let live = tags.into_iter().filter(|tag| tag.mode.is_live());
    let rows = live.map(|tag| HeldRows { rows: by_hand.held(definitions, &tag), tag });
    let rows = rows.filter(|held| !held.rows.is_empty()).collect();
    let nothing = ByHand::none(calendar.clone(), as_of_ms);
    let enlisted =
        |by_hand, columns| Enlisted { roster: roster.clone(), by_hand, columns, as_of_ms };
    let plain = enlisted(nothing, columns.clone());
    Ok(Enlistment { plain, changed: enlisted(by_hand, columns), rows })
}

impl HeldRows {
    fn changes(
        &self,
        plain: &BTreeMap<Name, Column>,
        changed: &BTreeMap<Name, Column>,
        roster: &Roster,
    ) -> Result<(Name, BTreeMap<String, HeldChange>)> {
        let (name, mut of_tag) = (self.tag.name.clone(), BTreeMap::new());
        if let (Some(plain), Some(changed)) = (plain.get(&name), changed.get(&name)) {
            let shown = changed.shown.as_ref().unwrap_or(&changed.values);
            let plain = ColumnReader::new(name.as_str(), &plain.values, self.tag.value_type)?;
            let changed = ColumnReader::new(name.as_str(), shown, self.tag.value_type)?;
            for row in self.rows.iter().map(|row| *row as usize) {
                let Some(user) = roster.ids.is_valid(row).then(|| roster.ids.value(row)) else {
                    continue;
                };
                let (computed, changed) = (plain.value(row), changed.value(row));
                of_tag.insert(user.to_owned(), HeldChange { computed, changed });
            }
        }
        Ok((name, of_tag))
    }
}
