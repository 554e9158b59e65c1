//! Topics that an app's sources read: a reader for each, as the definitions say.

use crate::clock_text::instant;
use crate::{Engine, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::{Change, Pointer};
use taghouse_ingest::{TopicTotals, landed, topic_progress};
use taghouse_kafka::{Problem, ReaderParts, ReaderStatus, TopicReader};
use taghouse_model::{AppId, Name};
use taghouse_rules::{Definitions, KafkaTopic, SourceDefinition};
use taghouse_wire::{TopicPartition, TopicReport};
use tokio_util::sync::CancellationToken;

/// The pointer whose value tells an app's readers from the other members of their groups.
const POINTER_KIND: &str = "topics";
const POINTER_NAME: &str = "identity";

/// How long readers may take to commit what they have read, at the end.
const ENDING: Duration = Duration::from_secs(3);

/// The readers of one app, by source.
#[derive(Default)]
pub(crate) struct Readers {
    by_source: BTreeMap<Name, TopicReader>,
    /// Why those that are wanted are not there.
    problem: Option<String>,
}

impl Readers {
    /// Tells those to stop that nothing defines any more, and drops those that have ended.
    fn keep(&mut self, definitions: Option<&Definitions>) {
        let wanted = |name: &Name| {
            definitions.and_then(|d| d.sources.get(name)).and_then(|source| source.kafka.as_ref())
        };
        self.by_source.retain(|name, reader| {
            if wanted(name).is_some_and(|topic| reader.reads(topic)) {
                return true;
            }
            reader.stop();
            !reader.has_ended()
        });
    }
}

/// A source that reads a topic.
struct TopicSource<'d> {
    source: &'d SourceDefinition,
    topic: &'d KafkaTopic,
}

fn topic_sources(definitions: &Definitions) -> impl Iterator<Item = TopicSource<'_>> {
    definitions
        .sources
        .values()
        .filter_map(|source| Some(TopicSource { source, topic: source.kafka.as_ref()? }))
}

impl Engine {
    /// Lets each source that reads a topic have its reader, and no other. What fails of an app is
    /// logged and tried again.
    ///
    /// # Errors
    /// It cannot be read which apps there are.
    pub(crate) async fn read_topics(self: &Arc<Self>, stop: &CancellationToken) -> Result<()> {
        let apps = self.catalog.apps().await?;
        let mut readers = self.memory.readers.lock().await;
        for (app, readers) in readers.iter_mut() {
            if !apps.contains(app) {
                readers.keep(None);
            }
        }
        for app in apps {
            if stop.is_cancelled() {
                break;
            }
            // Of definitions that cannot be read, the readers stay as they are.
            let Ok(definitions) = self.definitions(&app).await else { continue };
            let of_app = readers.entry(app.clone()).or_default();
            of_app.keep(Some(&definitions));
            let missing: Vec<_> = topic_sources(&definitions)
                .filter(|wanted| !of_app.by_source.contains_key(&wanted.source.name))
                .collect();
            if missing.is_empty() {
                of_app.problem = None;
                continue;
            }
            match self.begin_readers(&app, missing, of_app, stop).await {
                Ok(()) => of_app.problem = None,
                Err(error) => {
                    let problem = format!("its topics are read once its log has landed: {error}");
                    if of_app.problem.as_ref() != Some(&problem) {
                        tracing::warn!(%app, problem, "topics are not read; it is tried again");
                    }
                    of_app.problem = Some(problem);
                }
            }
        }
        Ok(())
    }

    /// A reader goes on behind what landed: so what is in the log lands first.
    async fn begin_readers(
        self: &Arc<Self>,
        app: &AppId,
        missing: Vec<TopicSource<'_>>,
        readers: &mut Readers,
        stop: &CancellationToken,
    ) -> Result<()> {
        let end = self.log.end(app).await?;
        if landed(self.catalog.as_ref(), app).await? < end {
            self.land(app, stop).await?;
        }
        let identity = self.topic_identity(app).await?;
        if stop.is_cancelled() || landed(self.catalog.as_ref(), app).await? < end {
            return Ok(());
        }
        for TopicSource { source, topic } in missing {
            let reader = TopicReader::start(ReaderParts {
                app: app.clone(),
                source: source.name.clone(),
                topic: topic.clone(),
                identity: identity.clone(),
                log: self.log.clone(),
                catalog: self.catalog.clone(),
                clock: self.clock.clone(),
                runtime: self.background.clone(),
            });
            readers.by_source.insert(source.name.clone(), reader);
        }
        Ok(())
    }

    /// What stands beside the app's commits in Kafka. A copy of the data folder has the same: it
    /// reads on where it was copied.
    async fn topic_identity(&self, app: &AppId) -> Result<String> {
        let of = |pointer: Pointer| pointer.value["id"].as_str().map(str::to_owned);
        let known = self.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?;
        if let Some(id) = known.and_then(of) {
            return Ok(id);
        }
        let id = self.random_id();
        let change = Change::PutPointer {
            kind: POINTER_KIND.to_owned(),
            app: app.clone(),
            name: POINTER_NAME.to_owned(),
            expected: None,
            value: serde_json::json!({ "id": id }),
        };
        self.catalog.commit(vec![change]).await?;
        Ok(id)
    }

    /// Stops all readers, and waits until they have committed what they have read, but not for
    /// long: what they have not committed they know all the same.
    pub(crate) async fn topics_ended(&self) {
        let mut readers = self.memory.readers.lock().await;
        for of_app in readers.values_mut() {
            of_app.keep(None);
        }
        let all_ended = async {
            while readers.values().any(|of_app| !of_app.by_source.is_empty()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                readers.values_mut().for_each(|of_app| of_app.keep(None));
            }
        };
        if tokio::time::timeout(ENDING, all_ended).await.is_err() {
            tracing::warn!("topics were still being read at the end; nothing is lost");
        }
    }

    /// How the topics of an app's sources are read, by name of the source.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn topics(&self, definitions: &Definitions) -> Result<Vec<TopicReport>> {
        let app = &definitions.app.id;
        if topic_sources(definitions).next().is_none() {
            return Ok(Vec::new());
        }
        let progress = topic_progress(self.catalog.as_ref(), app).await?;
        // Readers are begun under this lock, which may take as long as a landing.
        let readers = tokio::time::timeout(Duration::from_millis(200), self.memory.readers.lock());
        let readers = readers.await.ok();
        let of_app = readers.as_ref().and_then(|readers| readers.get(app));
        let reports = topic_sources(definitions).map(|TopicSource { source, topic }| {
            let totals = progress.get(source.name.as_str()).map(|progress| progress.totals);
            let reader = of_app.and_then(|of_app| of_app.by_source.get(&source.name));
            let problem = of_app.and_then(|of_app| of_app.problem.clone());
            let mut report = told(source, topic, totals.unwrap_or_default());
            match reader {
                Some(reader) => {
                    show(&mut report, &reader.status());
                    report.group = Some(reader.group().to_owned());
                }
                None => report.problem = problem,
            }
            report
        });
        Ok(reports.collect())
    }
}

fn told(source: &SourceDefinition, topic: &KafkaTopic, totals: TopicTotals) -> TopicReport {
    TopicReport {
        source: source.name.to_string(),
        topic: topic.topic.clone(),
        group: topic.group.clone(),
        state: "idle".into(),
        partitions: Vec::new(),
        lag_records: None,
        problem: None,
        last_error: None,
        last_error_at: None,
        records: totals.records,
        accepted: totals.accepted,
        rejected: totals.rejected,
        filtered: totals.filtered,
        duplicates: totals.duplicates,
    }
}

fn show(report: &mut TopicReport, status: &ReaderStatus) {
    report.state = status.state.as_str().into();
    let lags: Option<Vec<u64>> = status.partitions.iter().map(|partition| partition.lag).collect();
    report.lag_records = lags.filter(|lags| !lags.is_empty()).map(|lags| lags.iter().sum());
    report.partitions = status
        .partitions
        .iter()
        .map(|partition| TopicPartition {
            partition: partition.partition,
            next_offset: partition.next,
            lag_records: partition.lag,
        })
        .collect();
    let detail = |problem: &Problem| problem.detail.clone();
    report.problem = status.problem.as_ref().map(detail);
    report.last_error = status.last_error.as_ref().map(detail);
    report.last_error_at = status.last_error.as_ref().map(|problem| instant(problem.at_ms));
}
