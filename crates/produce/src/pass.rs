//! One pass over the lake: a worker a core folds the events and attributes of the users it owns.

use crate::scan::{Portion, Purpose, QUEUE, RowsRead, read, user_ids};
use crate::selection::Selection;
use crate::users::Users;
use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use taghouse_fold::{AttributeBatch, AttributePlan, BatchAttributes, BatchFold, BatchPlan, Calendar, EventBatch, TagValues};
use taghouse_lake::{Lake, Scan, layout};
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_rules::{Definitions, TagKind};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::sync::CancellationToken;

/// What a pass computes.
pub(crate) struct Plan {
    events: Arc<BatchPlan>,
    attributes: Arc<AttributePlan>,
    /// The tags of `events`, then those of `attributes`, in the order of their values.
    tags: Vec<Name>,
    as_of_ms: TimestampMs,
}

impl Plan {
    pub(crate) fn new(definitions: &Definitions, selection: &Selection<'_>, as_of_ms: TimestampMs) -> Result<Self> {
        let calendar = Calendar::new(&definitions.app.time_zone);
        let properties = definitions.properties();
        let (mut aggregates, mut attributes) = (Vec::new(), Vec::new());
        let (mut tags, mut attribute_tags) = (Vec::new(), Vec::new());
        for tag in &selection.computed {
            match &tag.kind {
                TagKind::Aggregate(aggregate) => {
                    aggregates.push((aggregate, tag.value_type));
                    tags.push(tag.name.clone());
                }
                TagKind::Attribute { attribute } => {
                    attributes.push((attribute.as_str(), tag.value_type));
                    attribute_tags.push(tag.name.clone());
                }
                TagKind::Cohort { .. } | TagKind::Expression(_) | TagKind::Sql { .. } => {}
            }
        }
        tags.extend(attribute_tags);
        let events = BatchPlan::new(&aggregates, &|name| properties.get(name).copied(), &calendar, as_of_ms)?;
        let attributes = AttributePlan::new(&attributes, &calendar, as_of_ms);
        Ok(Self { events: Arc::new(events), attributes: Arc::new(attributes), tags, as_of_ms })
    }
}

/// What one worker found: its users, and for each tag of the pass one value a user.
pub(crate) struct Owned {
    pub(crate) users: Users,
    pub(crate) values: Vec<(Name, TagValues)>,
}

/// Reads the lake once. Gives the workers' findings and how many events were read.
///
/// Every row of the lake makes its user exist, whatever its time; values come from rows before the as-of time only.
pub(crate) async fn run(
    lake: &Lake,
    app: &AppId,
    plan: Arc<Plan>,
    report: &(dyn Fn(u64, u64) + Sync),
    stop: &CancellationToken,
) -> Result<(Vec<Owned>, u64)> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let scans = scans(lake, app, &plan, workers).await?;
    let events_read = scans.iter().filter(|(purpose, _)| *purpose == Purpose::Events).map(|(_, scan)| scan.rows()).sum();
    let rows = RowsRead { read: AtomicU64::new(0), total: scans.iter().map(|(_, scan)| scan.rows()).sum(), report };
    let (mut senders, mut owners) = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let (sender, receiver) = channel(QUEUE);
        senders.push(sender);
        let (plan, stop) = (plan.clone(), stop.clone());
        owners.push(tokio::task::spawn_blocking(move || own(&plan, receiver, &stop)));
    }
    let mut outcome = Ok(());
    for (purpose, scan) in scans {
        outcome = read(scan, purpose, &senders, &rows).await;
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

async fn scans(lake: &Lake, app: &AppId, plan: &Plan, parts: usize) -> Result<Vec<(Purpose, Scan)>> {
    let mut scans = Vec::new();
    if let Some(events) = lake.table(app, layout::EVENTS).await? {
        let known = |column: &&str| events.arrow_schema().column_with_name(column).is_some();
        let columns: Vec<&str> = std::iter::once("user_id").chain(plan.events.columns()).filter(known).collect();
        let (earliest, as_of) = (plan.events.earliest_ms(), plan.as_of_ms);
        if earliest < as_of {
            let folded = events.scan(&columns).after(earliest)?.before(as_of)?.plan(parts).await?;
            scans.push((Purpose::Events, folded));
            // Files wholly outside the windows still know users. Those that lie across an edge are read twice, which is harmless.
            if earliest > TimestampMs::MIN / 2 {
                scans.push((Purpose::Users, events.scan(&["user_id"]).before(earliest)?.plan(parts).await?));
            }
            scans.push((Purpose::Users, events.scan(&["user_id"]).after(as_of)?.plan(parts).await?));
        } else {
            scans.push((Purpose::Users, events.scan(&["user_id"]).plan(parts).await?));
        }
    }
    if let Some(attributes) = lake.table(app, layout::ATTRIBUTES).await? {
        let columns: Vec<&str> = std::iter::once("user_id").chain(AttributePlan::columns()).collect();
        scans.push((Purpose::Attributes, attributes.scan(&columns).plan(parts).await?));
    }
    if scans.iter().all(|(_, scan)| scan.rows() == 0) {
        return Err(Error::NothingIngested(app.clone()));
    }
    Ok(scans)
}

fn own(plan: &Plan, mut portions: Receiver<Portion>, stop: &CancellationToken) -> Result<Owned> {
    let mut users = Users::default();
    let mut events = BatchFold::new(plan.events.clone());
    let mut attributes = BatchAttributes::new(plan.attributes.clone());
    let mut numbers = Vec::new();
    while let Some(portion) = portions.blocking_recv() {
        goes_on(stop)?;
        let ids = user_ids(&portion.batch)?;
        numbers.clear();
        numbers.extend(portion.rows.iter().zip(&portion.hashes).map(|(row, hash)| users.number(ids.value(*row as usize), *hash)));
        match portion.purpose {
            Purpose::Events => events.step_batch(&EventBatch::new(&plan.events, &portion.batch)?, &portion.rows, &numbers),
            Purpose::Attributes => attributes.step_batch(&AttributeBatch::new(&portion.batch)?, &portion.rows, &numbers),
            Purpose::Users => {}
        }
    }
    // Of a pass that is given up the rows end too.
    goes_on(stop)?;
    let values = events.finish(users.len()).into_iter().chain(attributes.finish(users.len()));
    Ok(Owned { values: plan.tags.iter().cloned().zip(values).collect(), users })
}
