//! Sinks of an app: a writer for each, as the definitions say.

use crate::clock_text::instant;
use crate::{Engine, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use taghouse_kafka::{Problem, SinkWriter, WriterParts};
use taghouse_model::Name;
use taghouse_rules::Definitions;
use taghouse_wire::SinkReport;

/// How long writers may take to write down what they have sent, at the end.
const ENDING: Duration = Duration::from_secs(2);

/// The writers of one app, by sink.
#[derive(Default)]
pub(crate) struct Writers(BTreeMap<Name, SinkWriter>);

impl Writers {
    /// Tells those to stop that nothing defines any more, and drops those that have ended.
    fn keep(&mut self, definitions: Option<&Definitions>) {
        self.0.retain(|name, writer| {
            let wanted = definitions.and_then(|definitions| definitions.sinks.get(name));
            if wanted.is_some_and(|sink| writer.writes(sink)) {
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
            let mut writers = self.memory.writers.lock();
            let of_app = writers.entry(app.clone()).or_default();
            of_app.keep(Some(&definitions));
            for (name, sink) in &definitions.sinks {
                of_app.0.entry(name.clone()).or_insert_with(|| {
                    SinkWriter::start(WriterParts {
                        app: app.clone(),
                        sink: sink.clone(),
                        feeds: self.feeds.clone(),
                        catalog: self.catalog.clone(),
                        clock: self.clock.clone(),
                        runtime: self.background.clone(),
                    })
                });
            }
        }
        Ok(())
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
    ///
    /// # Errors
    /// Of the change feed.
    pub async fn sinks(&self, definitions: &Definitions) -> Result<Vec<SinkReport>> {
        let app = &definitions.app.id;
        if definitions.sinks.is_empty() {
            return Ok(Vec::new());
        }
        let end = self.feeds.extent(app).await.ok().map(|extent| extent.end);
        let writers = self.memory.writers.lock();
        let of_app = writers.get(app);
        let detail = |problem: &Problem| problem.detail.clone();
        let reports = definitions.sinks.values().map(|sink| {
            let writer = of_app.and_then(|of_app| of_app.0.get(&sink.name));
            let status = writer.map(SinkWriter::status);
            let position = writer.map_or(0, SinkWriter::sent);
            let error = status.as_ref().and_then(|status| status.last_error.as_ref());
            SinkReport {
                sink: sink.name.to_string(),
                topic: sink.topic.topic.clone(),
                state: status.as_ref().map_or("idle", |status| status.state.as_str()).into(),
                sent: status.as_ref().map_or(0, |status| status.appended),
                position,
                lag_records: end.filter(|_| position > 0).map(|end| end.saturating_sub(position)),
                problem: status.as_ref().and_then(|s| s.problem.as_ref()).map(detail),
                last_error: error.map(detail),
                last_error_at: error.map(|problem| instant(problem.at_ms)),
            }
        });
        Ok(reports.collect())
    }
}
