//! Sinks of an app: a writer for each, as the definitions say.

use crate::clock_text::instant;
use crate::{Engine, PlannedAction, PlannedChange, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::Change;
use taghouse_kafka::{SinkWriter, WriterParts as TopicParts};
use taghouse_model::{AppId, Name};
use taghouse_rules::{Definitions, SinkDefinition, SinkTarget};
use taghouse_sink::{Defined, begins, defined, ends};
use taghouse_webhook::{WebhookWriter, WriterParts as WebhookParts};
use taghouse_wire::SinkReport;

/// How long writers may take to write down what they have sent, at the end.
const ENDING: Duration = Duration::from_secs(2);

/// A writer of one sink.
pub(crate) enum Writer {
    Topic(SinkWriter),
    Webhook(WebhookWriter),
}

impl Writer {
    fn writes(&self, sink: &SinkDefinition) -> bool {
        match self {
            Self::Topic(writer) => writer.writes(sink),
            Self::Webhook(writer) => writer.writes(sink),
        }
    }

    fn stop(&self) {
        match self {
            Self::Topic(writer) => writer.stop(),
            Self::Webhook(writer) => writer.stop(),
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Topic(writer) => writer.has_ended(),
            Self::Webhook(writer) => writer.has_ended(),
        }
    }
}

/// A writer, and the definition that it is of.
struct Written {
    /// `None`: it is of a former release.
    defined: Option<Defined>,
    writer: Writer,
}

/// The sinks that are to be written.
struct Wanted<'d> {
    definitions: &'d Definitions,
    /// Read after the definitions, so not of earlier ones.
    defined: BTreeMap<String, Defined>,
}

impl Wanted<'_> {
    fn defined(&self, sink: &Name) -> Option<Defined> {
        self.defined.get(sink.as_str()).copied()
    }
}

/// The writers of one app, by sink.
#[derive(Default)]
pub(crate) struct Writers(BTreeMap<Name, Written>);

impl Writers {
    /// Tells those to stop that nothing defines any more, and drops those that have ended.
    fn keep(&mut self, wanted: Option<&Wanted<'_>>) {
        self.0.retain(|name, Written { defined, writer }| {
            let sink = wanted.and_then(|wanted| wanted.definitions.sinks.get(name));
            let is_same = wanted.is_some_and(|wanted| wanted.defined(name) == *defined);
            if is_same && sink.is_some_and(|sink| writer.writes(sink)) {
                return true;
            }
            writer.stop();
            !writer.has_ended()
        });
    }
}

impl Engine {
    /// Lets each sink have its writer, and no other.
    ///
    /// # Errors
    /// It cannot be read which apps there are.
    pub(crate) async fn write_sinks(self: &Arc<Self>) -> Result<()> {
        for app in self.catalog.apps().await? {
            // Of definitions that cannot be read, the writers stay as they are.
            let Ok(definitions) = self.definitions(&app).await else { continue };
            let defined = match definitions.sinks.is_empty() {
                true => BTreeMap::new(),
                false => defined(self.catalog.as_ref(), &app).await?,
            };
            let wanted = Wanted { definitions: &definitions, defined };
            let mut writers = self.memory.writers.lock();
            let of_app = writers.entry(app.clone()).or_default();
            of_app.keep(Some(&wanted));
            for (name, sink) in &definitions.sinks {
                let defined = wanted.defined(name);
                let written = || Written { defined, writer: self.writer(&app, sink) };
                of_app.0.entry(name.clone()).or_insert_with(written);
            }
        }
        Ok(())
    }

    /// Where the sinks begin that these changes define: what the feed has is from before them. One
    /// that is changed goes on where it stands.
    ///
    /// # Errors
    /// Of the feed and the catalog.
    pub(crate) async fn sink_starts(
        &self,
        definitions: &Definitions,
        changes: &[PlannedChange],
    ) -> Result<Vec<Change>> {
        let (app, catalog) = (&definitions.app.id, self.catalog.as_ref());
        let mut commit = Vec::new();
        for PlannedChange { name, action, .. } in changes.iter().filter(|c| c.kind == "sink") {
            match (action, definitions.sinks.get(name.as_str())) {
                (PlannedAction::Create, Some(sink)) => {
                    let end = self.feeds.extent(app).await?.end;
                    commit.push(begins(catalog, app, name, sink.start, end).await?);
                }
                (PlannedAction::Delete, _) => commit.extend(ends(catalog, app, name).await?),
                _ => {}
            }
        }
        Ok(commit)
    }

    fn writer(&self, app: &AppId, sink: &SinkDefinition) -> Writer {
        let (app, sink) = (app.clone(), sink.clone());
        let (feeds, catalog) = (self.feeds.clone(), self.catalog.clone());
        let (clock, runtime) = (self.clock.clone(), self.background.clone());
        match sink.target.clone() {
            SinkTarget::Kafka(topic) => {
                let parts = TopicParts { app, sink, topic, feeds, catalog, clock, runtime };
                Writer::Topic(SinkWriter::start(parts))
            }
            SinkTarget::Webhook(webhook) => {
                let parts = WebhookParts { app, sink, webhook, feeds, catalog, clock, runtime };
                Writer::Webhook(WebhookWriter::start(&self.webhooks, parts))
            }
        }
    }

    /// Stops all writers, and waits until they have written down what they have sent, but not for
    /// long: what they have not written down is sent again.
    pub(crate) async fn sinks_ended(&self) {
        let all_ended = async {
            loop {
                {
                    let mut writers = self.memory.writers.lock();
                    writers.values_mut().for_each(|of_app| of_app.keep(None));
                    if writers.values().all(|of_app| of_app.0.is_empty()) {
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(ENDING, all_ended).await.is_err() {
            tracing::warn!(
                "sinks were still being written at the end; the last changes are sent again"
            );
        }
    }

    /// How the app's sinks are written, by name.
    pub async fn sinks(&self, definitions: &Definitions) -> Vec<SinkReport> {
        let app = &definitions.app.id;
        if definitions.sinks.is_empty() {
            return Vec::new();
        }
        let end = self.feeds.extent(app).await.ok().map(|extent| extent.end);
        let mut reports = Vec::new();
        for sink in definitions.sinks.values() {
            reports.push(match &sink.target {
                SinkTarget::Kafka(topic) => self.topic_report(app, sink, &topic.topic, end),
                SinkTarget::Webhook(webhook) => self.webhook_report(app, sink, webhook, end).await,
            });
        }
        reports
    }

    fn topic_report(
        &self,
        app: &AppId,
        sink: &SinkDefinition,
        topic: &str,
        end: Option<u64>,
    ) -> SinkReport {
        let writers = self.memory.writers.lock();
        let writer = match writers.get(app).and_then(|of_app| of_app.0.get(&sink.name)) {
            Some(Written { writer: Writer::Topic(writer), .. }) => Some(writer),
            _ => None,
        };
        let status = writer.map(SinkWriter::status).unwrap_or_default();
        let error = status.last_error.as_ref();
        let position = writer.map_or(0, SinkWriter::sent);
        SinkReport {
            sink: sink.name.to_string(),
            format: "kafka".into(),
            topic: Some(topic.to_owned()),
            state: writer.map_or("idle", |_| status.state.as_str()).into(),
            sent: status.appended,
            position,
            lag_records: end.filter(|_| position > 0).map(|end| end.saturating_sub(position)),
            lag_seconds: None,
            problem: status.problem.as_ref().map(|problem| problem.detail.clone()),
            last_error: error.map(|problem| problem.detail.clone()),
            last_error_at: error.map(|problem| instant(problem.at_ms)),
            webhook: None,
        }
    }

    /// How a webhook's writer stands; `None`: no server writes it.
    pub(crate) fn webhook_status(
        &self,
        app: &AppId,
        sink: &Name,
    ) -> Option<taghouse_webhook::WriterStatus> {
        match &self.memory.writers.lock().get(app)?.0.get(sink)?.writer {
            Writer::Webhook(writer) => Some(writer.status()),
            Writer::Topic(_) => None,
        }
    }
}
