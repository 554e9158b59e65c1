//! Computes tags and crowds as of a time, as a run. `produce` and `crowd` do not know each other:
//! the order between them is set here.

use crate::clock_text::local;
use crate::crowd_task::{CrowdTask, crowd_task};
use crate::streaming::has_live_tags;
use crate::{Engine, Error, Result, named, reports};
use async_trait::async_trait;
use futures::FutureExt;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{Name, TimestampMs};
use taghouse_produce::{ProducedTag, SkipReason};
use taghouse_rules::{CrowdDefinition, Definitions};
use taghouse_schedule::{Progress, RunHandle, Task, TaskError};
use taghouse_wire::TaskResult;

pub(crate) const PRODUCE: &str = "produce";
const LAND: &str = "land";
const LIVE: &str = "live tags";

/// What to produce.
#[derive(Debug, Clone)]
pub struct Production {
    /// Events before it count.
    pub as_of_ms: TimestampMs,
    /// Only these tags, what is computed from them, and the crowds that change with those. `None`:
    /// all.
    pub only: Option<Vec<Name>>,
}

impl Engine {
    /// Starts to produce tags, then crowds; `actor`, a key's id, stands in the audit trail.
    ///
    /// # Errors
    /// [`Error::UnknownTag`]; [`Error::Running`] while another production goes on; those of the
    /// trail and the scheduler. Nothing was begun.
    pub async fn produce(
        self: &Arc<Self>,
        actor: &str,
        definitions: &Arc<Definitions>,
        production: Production,
    ) -> Result<RunHandle> {
        let (app, Production { as_of_ms, only }) = (&definitions.app.id, production);
        if let Some(unknown) =
            only.iter().flatten().find(|tag| !definitions.tags.contains_key(*tag))
        {
            return Err(Error::UnknownTag { tag: unknown.clone(), app: app.clone() });
        }
        let crowds = self.crowds_to_compute(definitions, only.as_deref()).await?;
        // A second one would only wait for the first, and then do the same again. A compaction and
        // a production take turns.
        let _one = self.memory.producing.lock().await;
        let as_of = local(as_of_ms, &definitions.app.time_zone);
        let what = only.as_ref().map_or_else(
            || "all tags".to_owned(),
            |only| format!("tags {}", named(only.iter().map(Name::as_str))),
        );
        let start = async {
            self.no_run_of(app, PRODUCE)?;
            let context =
                ProductionContext { engine: self.clone(), definitions: definitions.clone() };
            Ok(self.scheduler.start(app, PRODUCE, tasks(&context, as_of_ms, only, crowds)).await?)
        };
        self.audited_run(actor, app, PRODUCE, &format!("{what} as of {as_of}"), start).await
    }

    /// The crowds that a production computes: all, or those that the tags named change.
    async fn crowds_to_compute(
        &self,
        definitions: &Definitions,
        only: Option<&[Name]>,
    ) -> Result<Vec<CrowdDefinition>> {
        let Some(only) = only else {
            let crowds =
                definitions.crowds.values().filter(|crowd| !crowd.is_live && !crowd.is_imported());
            return Ok(crowds.cloned().collect());
        };
        let app = &definitions.app.id;
        let snapshot = self.index.snapshot(app).await?;
        let indexed = snapshot
            .iter()
            .flat_map(|snapshot| snapshot.tags())
            .map(|tag| tag.name.clone())
            .collect();
        let computed = self.crowds.list(app).await?.into_iter().map(|crowd| crowd.name).collect();
        Ok(changed_crowds(definitions, only, &indexed, &computed))
    }
}

/// What the tasks of a production share.
#[derive(Clone)]
struct ProductionContext {
    engine: Arc<Engine>,
    definitions: Arc<Definitions>,
}

/// The tasks of a production: live calls landed, then tags, then the crowds, each after those it is
/// made of.
fn tasks(
    context: &ProductionContext,
    as_of_ms: TimestampMs,
    only: Option<Vec<Name>>,
    crowds: Vec<CrowdDefinition>,
) -> Vec<Box<dyn Task>> {
    let produce = ProduceTask { context: context.clone(), as_of_ms, only };
    let mut tasks: Vec<Box<dyn Task>> =
        vec![Box::new(LandTask(context.clone())), Box::new(produce)];
    let live = has_live_tags(&context.definitions);
    if live {
        tasks.push(Box::new(LiveTask(context.clone())));
    }
    let running: BTreeSet<Name> = crowds.iter().map(|crowd| crowd.name.clone()).collect();
    for crowd in crowds {
        let others =
            crowd.crowds().into_iter().filter(|other| running.contains(*other)).map(crowd_task);
        let tags = std::iter::once(PRODUCE).chain(live.then_some(LIVE)).map(str::to_owned);
        let after = tags.chain(others).collect();
        let (engine, definitions) = (context.engine.clone(), context.definitions.clone());
        let unchanged = Arc::default();
        tasks.push(Box::new(CrowdTask { engine, definitions, crowd, as_of_ms, unchanged, after }));
    }
    tasks
}

/// The crowds that change with these tags and what is computed from them: those that use one, also
/// through other crowds, and that can be computed, for all their tags are in the index (`indexed`)
/// or come now, and all their crowds were computed (`computed`) or come now.
fn changed_crowds(
    definitions: &Definitions,
    only: &[Name],
    indexed: &BTreeSet<Name>,
    computed: &BTreeSet<Name>,
) -> Vec<CrowdDefinition> {
    let mut published: BTreeSet<Name> = only.iter().cloned().collect();
    for name in definitions.tag_order() {
        if definitions.tags.get(&name).is_some_and(|tag| !tag.kind.tags().is_disjoint(&published)) {
            published.insert(name);
        }
    }
    let mut changed: BTreeSet<Name> = BTreeSet::new();
    let mut crowds = Vec::new();
    for crowd in definitions.crowd_order().iter().filter_map(|name| definitions.crowds.get(name)) {
        let (tags, others) = (crowd.tags(), crowd.crowds());
        if crowd.is_live || crowd.is_imported() {
            continue;
        }
        let answers = |other: &str| {
            changed.contains(other)
                || computed.contains(other)
                || definitions.crowds.get(other).is_some_and(|other| other.is_live)
        };
        let touched = tags.iter().any(|tag| published.contains(*tag))
            || others.iter().any(|other| changed.contains(*other));
        let whole = tags.iter().all(|tag| published.contains(*tag) || indexed.contains(*tag))
            && others.iter().all(|other| answers(other));
        if touched && whole {
            changed.insert(crowd.name.clone());
            crowds.push(crowd.clone());
        }
    }
    crowds
}

struct LandTask(ProductionContext);

#[async_trait]
impl Task for LandTask {
    fn name(&self) -> String {
        LAND.to_owned()
    }

    async fn run(&mut self, progress: &Progress) -> std::result::Result<Value, TaskError> {
        let ProductionContext { engine, definitions } = &self.0;
        // Dropped by a cancel this waits no more, and the landing ends by itself.
        let landed = engine.land(&definitions.app.id, &progress.cancel()).await?;
        reports::result(&reports::landed(&landed))
    }
}

/// The live tags' values, which crowds are computed from too.
struct LiveTask(ProductionContext);

#[async_trait]
impl Task for LiveTask {
    fn name(&self) -> String {
        LIVE.to_owned()
    }

    fn after(&self) -> Vec<String> {
        vec![PRODUCE.to_owned()]
    }

    async fn run(&mut self, _: &Progress) -> std::result::Result<Value, TaskError> {
        let ProductionContext { engine, definitions } = &self.0;
        engine.live_tags_settled(definitions).await?;
        let report = engine.live_tags(definitions).await;
        report.map_or(Ok(Value::Null), |report| reports::result(&TaskResult::Live(report)))
    }
}

struct ProduceTask {
    context: ProductionContext,
    as_of_ms: TimestampMs,
    only: Option<Vec<Name>>,
}

#[async_trait]
impl Task for ProduceTask {
    fn name(&self) -> String {
        PRODUCE.to_owned()
    }

    fn after(&self) -> Vec<String> {
        vec![LAND.to_owned()]
    }

    async fn run(&mut self, progress: &Progress) -> std::result::Result<Value, TaskError> {
        let ProductionContext { engine, definitions } = &self.context;
        let app = &definitions.app.id;
        let report = |done, total| progress.set(done, total);
        let stop = progress.cancel();
        let land =
            || async { engine.land(app, &stop).await.map(drop).map_err(|error| error.to_string()) };
        let land = || land().boxed();
        let produced = engine
            .producer
            .produce_landing(app, definitions, self.as_of_ms, self.only.as_deref(), &report, &land)
            .await;
        let produced = produced.map_err(Error::from)?;
        produced.tags.iter().flat_map(left_out).for_each(|warning| progress.warn(warning));
        for warning in unseen_sources(engine, definitions, self.as_of_ms).await? {
            progress.warn(warning);
        }
        reports::result(&reports::produced(&produced, self.as_of_ms, definitions))
    }
}

/// Warnings for sources none of whose attributes count: they are dated at their ingestion, which
/// was later.
async fn unseen_sources(
    engine: &Engine,
    definitions: &Definitions,
    as_of_ms: TimestampMs,
) -> Result<Vec<String>> {
    let zone = &definitions.app.time_zone;
    let mut unseen = Vec::new();
    for source in definitions.sources.values().filter(|source| source.is_undated()) {
        let files = engine.catalog.ingested_files(&definitions.app.id, &source.name).await?;
        if let Some(first_ms) =
            files.iter().map(|file| file.ingested_ms).min().filter(|first_ms| *first_ms >= as_of_ms)
        {
            let (as_of, first) = (local(as_of_ms, zone), local(first_ms, zone));
            unseen.push(format!(
                "source {}: none of its attributes counts as of {as_of}: they have no time column, so they hold from their ingestion on, first at {first}",
                source.name
            ));
        }
    }
    Ok(unseen)
}

/// The values that a tag left out, in words.
fn left_out(tag: &ProducedTag) -> impl Iterator<Item = String> {
    let line = |(reason, count): (&SkipReason, &u64)| {
        let values =
            if *count == 1 { "1 value was".to_owned() } else { format!("{count} values were") };
        format!("tag {}: {values} left out, {reason}", tag.name)
    };
    tag.skipped.iter().map(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_rules::{DefinitionFile, parse_definitions};

    const SHOP: &str = "
kind: app
id: shop
---
kind: source
name: orders
format: csv
user_id: user
event: buy
time: time
properties: { sku: sku }
---
{kind: tag, name: orders, type: int, aggregate: {events: [buy], function: count}}
---
{kind: tag, name: skus, type: int, aggregate: {events: [buy], function: count_distinct, value: sku}}
---
{kind: tag, name: twice, type: int, expression: orders * 2}
---
{kind: crowd, name: a_buyers, expression: orders >= 1}
---
{kind: crowd, name: b_twice, expression: twice >= 4}
---
{kind: crowd, name: c_both, expression: orders >= 1 && skus >= 2}
---
{kind: crowd, name: d_not_buyers, expression: '!crowd(\"a_buyers\")'}
---
{kind: crowd, name: e_skus, expression: skus >= 1}
---
{kind: crowd, name: f_mixed, expression: 'crowd(\"a_buyers\") && crowd(\"e_skus\")'}
";

    fn check(only: &[&str], indexed: &[&str], computed: &[&str], expected: &[&str]) {
        let file = DefinitionFile { path: "shop.yaml".to_owned(), text: SHOP.to_owned() };
        let definitions = Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap();
        let names = |texts: &[&str]| {
            texts.iter().map(|text| Name::new(text).unwrap()).collect::<BTreeSet<_>>()
        };
        let only: Vec<Name> = names(only).into_iter().collect();
        let crowds = changed_crowds(&definitions, &only, &names(indexed), &names(computed));
        let found: Vec<&str> = crowds.iter().map(|crowd| crowd.name.as_str()).collect();
        assert_eq!(found, expected, "of {only:?}");
    }

    #[test]
    fn crowds_change_with_their_tags_and_wait_for_tags_that_were_never_produced() {
        check(&["orders"], &[], &[], &["a_buyers", "b_twice", "d_not_buyers"]);
        check(
            &["orders"],
            &["skus"],
            &["e_skus"],
            &["a_buyers", "b_twice", "c_both", "d_not_buyers", "f_mixed"],
        );
        check(&["twice"], &["orders", "skus"], &["a_buyers"], &["b_twice"]);
        check(&["skus"], &["orders"], &["a_buyers"], &["c_both", "e_skus", "f_mixed"]);
        check(&["skus"], &[], &[], &["e_skus"]);
    }
}
