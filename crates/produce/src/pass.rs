//! One pass over the lake: a worker a core folds the events and attributes of the users it owns.

use crate::by_hand::{self, FoundHands, Hands, Outline, TIMES};
use crate::chosen::Chosen;
use crate::pinned::Pinned;
use crate::scan::{Portion, Purpose, QUEUE, RowsRead, Whose, read, user_ids};
use crate::selection::Selection;
use crate::users::Users;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use taghouse_fold::{
    AttributeBatch, AttributePlan, BatchAttributes, BatchFold, BatchPlan, Calendar, EventBatch,
    TagValues,
};
use taghouse_identities::Mapping;
use taghouse_lake::Scan;
use taghouse_model::{Name, TimestampMs};
use taghouse_rules::{Definitions, TagKind};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::sync::CancellationToken;

/// What a pass computes.
pub(crate) struct Plan {
    events: Arc<BatchPlan>,
    attributes: Arc<AttributePlan>,
    /// The tags of `events`, then those of `attributes`, in the order of their values.
    tags: Vec<Name>,
    /// Of these tags it is noted when their last event came: of those changed by hand, and of what
    /// such are computed from.
    watched: BTreeSet<Name>,
    /// What was ever changed by hand, if anything.
    outline: Option<Arc<Outline>>,
    /// Whose ids are whose.
    mapping: Arc<Mapping>,
    /// Whose rows count; `None`: everybody's.
    chosen: Option<Arc<Chosen>>,
    as_of_ms: TimestampMs,
}

impl Plan {
    pub(crate) fn new(
        definitions: &Definitions,
        selection: &Selection<'_>,
        outline: Option<Arc<Outline>>,
        mapping: Arc<Mapping>,
        as_of_ms: TimestampMs,
    ) -> Result<Self> {
        let calendar = Calendar::new(&definitions.app.time_zone);
        let properties = definitions.properties();
        let (mut over_events, mut attributes) = (Vec::new(), Vec::new());
        let (mut tags, mut attribute_tags) = (Vec::new(), Vec::new());
        for tag in &selection.computed {
            match &tag.kind {
                TagKind::Attribute { attribute } => {
                    attributes.push((attribute.as_str(), tag.value_type));
                    attribute_tags.push(tag.name.clone());
                }
                kind => {
                    if let Some(event_tag) = kind.over_events() {
                        over_events.push((event_tag, tag.value_type));
                        tags.push(tag.name.clone());
                    }
                }
            }
        }
        tags.extend(attribute_tags);
        let events = BatchPlan::new(
            &over_events,
            &|name| properties.get(name).copied(),
            &calendar,
            as_of_ms,
        )?;
        let attributes = AttributePlan::new(&attributes, &calendar, as_of_ms);
        let changed = |name: &Name| {
            outline.as_ref().is_some_and(|outline| outline.tags.contains_key(name.as_str()))
        };
        let watched = selection.with_inputs(definitions, &changed);
        Ok(Self {
            events: Arc::new(events),
            attributes: Arc::new(attributes),
            tags,
            watched,
            outline,
            mapping,
            chosen: None,
            as_of_ms,
        })
    }

    /// Of these users alone, and without the times that changes by hand are held against.
    pub(crate) fn of(self, chosen: Chosen) -> Self {
        Self { watched: BTreeSet::new(), ..self }.among(chosen)
    }

    /// Of these users alone.
    pub(crate) fn among(self, chosen: Chosen) -> Self {
        Self { chosen: Some(Arc::new(chosen)), ..self }
    }

    /// From when on events are read with all that is asked of them: a change by hand is held
    /// against every event after it.
    fn earliest_ms(&self) -> TimestampMs {
        let aggregates =
            self.tags.iter().take(self.events.tags()).any(|tag| self.watched.contains(tag));
        let oldest = self
            .outline
            .as_ref()
            .filter(|_| aggregates)
            .map_or(TimestampMs::MAX, |outline| outline.oldest_ms);
        self.events.earliest_ms().min(oldest)
    }
}

impl Plan {
    /// Of each tag over events whether it is watched.
    fn watched_events(&self) -> Vec<bool> {
        self.tags.iter().take(self.events.tags()).map(|tag| self.watched.contains(tag)).collect()
    }
}

/// What one worker found: its users, and for each tag of the pass one value a user.
pub(crate) struct Owned {
    pub(crate) users: Users,
    pub(crate) values: Vec<(Name, TagValues)>,
    pub(crate) hands: FoundHands,
}

/// Reads the lake once. Gives the workers' findings and how many events were read.
///
/// Every row of the lake makes its user exist, whatever its time, unless the user went later;
/// values come from rows before the as-of time only.
pub(crate) async fn run(
    tables: &Pinned,
    plan: Arc<Plan>,
    report: &(dyn Fn(u64, u64) + Sync),
    stop: &CancellationToken,
) -> Result<(Vec<Owned>, u64)> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let scans = scans(tables, &plan, workers).await?;
    let events_read = scans
        .iter()
        .filter(|(purpose, _)| *purpose == Purpose::Events)
        .map(|(_, scan)| scan.rows())
        .sum();
    let rows = RowsRead {
        read: AtomicU64::new(0),
        total: scans.iter().map(|(_, scan)| scan.rows()).sum(),
        report,
    };
    let (mut senders, mut owners) = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let (sender, receiver) = channel(QUEUE);
        senders.push(sender);
        let (plan, stop) = (plan.clone(), stop.clone());
        owners.push(tokio::task::spawn_blocking(move || own(&plan, receiver, &stop)));
    }
    let whose = Whose { mapping: plan.mapping.clone(), chosen: plan.chosen.clone() };
    let mut outcome = Ok(());
    for (purpose, scan) in scans {
        outcome = read(scan, purpose, &whose, &senders, &rows).await;
        if outcome.is_err() {
            break;
        }
    }
    drop(senders);
    let mut found = Vec::new();
    for owner in owners {
        // A worker's own error says more than that it takes no more rows.
        found.push(owner.await.map_err(|error| Error::Worker(error.to_string()))??);
    }
    outcome?;
    Ok((found, events_read))
}

/// Whether somebody still waits for what is made.
pub(crate) fn goes_on(stop: &CancellationToken) -> Result<()> {
    if stop.is_cancelled() { Err(Error::Stopped) } else { Ok(()) }
}

async fn scans(tables: &Pinned, plan: &Plan, parts: usize) -> Result<Vec<(Purpose, Scan)>> {
    let mut scans = Vec::new();
    let mut times: &[&str] = &[];
    if plan.outline.is_some()
        && let Some(changes) = &tables.changes
    {
        times = &TIMES;
        scans.push((Purpose::Changes, changes.scan(&by_hand::COLUMNS).plan(parts).await?));
    }
    let users: Vec<&str> = std::iter::once("user_id").chain(times.iter().copied()).collect();
    if let Some(events) = &tables.events {
        let known = |column: &&str| events.arrow_schema().column_with_name(column).is_some();
        let columns = distinct(
            std::iter::once("user_id")
                .chain(plan.events.columns())
                .filter(known)
                .chain(times.iter().copied()),
        );
        let (earliest, as_of) = (plan.earliest_ms(), plan.as_of_ms);
        if earliest < as_of {
            let folded = events.scan(&columns).after(earliest)?.before(as_of)?.plan(parts).await?;
            scans.push((Purpose::Events, folded));
            // Files wholly outside the windows still know users. Those that lie across an edge are
            // read twice, which is harmless.
            if earliest > TimestampMs::MIN / 2 {
                scans.push((
                    Purpose::Users,
                    events.scan(&users).before(earliest)?.plan(parts).await?,
                ));
            }
            scans.push((Purpose::Users, events.scan(&users).after(as_of)?.plan(parts).await?));
        } else {
            scans.push((Purpose::Users, events.scan(&users).plan(parts).await?));
        }
    }
    if let Some(attributes) = &tables.attributes {
        let columns = distinct(
            std::iter::once("user_id").chain(AttributePlan::columns()).chain(times.iter().copied()),
        );
        scans.push((Purpose::Attributes, attributes.scan(&columns).plan(parts).await?));
    }
    if scans.iter().all(|(_, scan)| scan.rows() == 0) {
        return Err(Error::NothingIngested(tables.app.clone()));
    }
    Ok(scans)
}

/// The columns, each once.
fn distinct<'c>(columns: impl Iterator<Item = &'c str>) -> Vec<&'c str> {
    let mut all = Vec::new();
    for column in columns {
        if !all.contains(&column) {
            all.push(column);
        }
    }
    all
}

fn own(plan: &Plan, mut portions: Receiver<Portion>, stop: &CancellationToken) -> Result<Owned> {
    let mut users = Users::default();
    let mut events = BatchFold::new(plan.events.clone());
    let mut attributes = BatchAttributes::new(plan.attributes.clone());
    let mut hands = Hands::new(plan.outline.clone(), plan.as_of_ms);
    let (mut numbers, mut settled) = (Vec::new(), false);
    while let Some(portion) = portions.blocking_recv() {
        goes_on(stop)?;
        let ids = user_ids(&portion.batch)?;
        numbers.clear();
        numbers.extend(
            portion
                .rows
                .iter()
                .zip(&portion.hashes)
                .map(|(row, hash)| users.number(ids.value(*row as usize), *hash)),
        );
        if portion.purpose == Purpose::Changes {
            hands.take(&portion.batch, portion.came_under()?, &portion.rows, &numbers)?;
            continue;
        }
        if !settled {
            settled = true;
            hands.settle();
            events.watch(hands.users(), &plan.watched_events());
        }
        let came_under = portion.came_under()?;
        let visible = hands.visible(&portion.batch, came_under, &portion.rows, &numbers)?;
        let (rows, numbers) = match visible {
            Some(visible) => (&visible.rows, &visible.numbers),
            None => (&portion.rows, &numbers),
        };
        match portion.purpose {
            Purpose::Events => {
                events.step_batch(&EventBatch::new(&plan.events, &portion.batch)?, rows, numbers)
            }
            Purpose::Attributes => {
                attributes.step_batch(&AttributeBatch::new(&portion.batch)?, rows, numbers)
            }
            Purpose::Users | Purpose::Changes => {}
        }
    }
    // Of a pass that is given up the rows end too.
    goes_on(stop)?;
    if !settled {
        hands.settle();
    }
    let latest_ms = latest(plan, &mut events, &attributes, hands.users());
    let values = events.finish(users.len()).into_iter().chain(attributes.finish(users.len()));
    Ok(Owned {
        values: plan.tags.iter().cloned().zip(values).collect(),
        users,
        hands: hands.found(latest_ms),
    })
}

/// When the last event or value of each watched tag came, of users 0 to `users`.
fn latest(
    plan: &Plan,
    events: &mut BatchFold,
    attributes: &BatchAttributes,
    users: usize,
) -> BTreeMap<Name, Vec<TimestampMs>> {
    let (of_events, of_attributes) = plan.tags.split_at(plan.events.tags());
    let of_events = of_events.iter().cloned().zip(events.latest_ms());
    let of_attributes = of_attributes
        .iter()
        .enumerate()
        .map(|(tag, name)| (name.clone(), attributes.latest_ms(tag, users)));
    of_events
        .chain(of_attributes.filter(|_| users > 0))
        .filter(|(name, _)| plan.watched.contains(name))
        .collect()
}
