//! A writer of one sink: it follows the app's change feed from what was acknowledged last.

use crate::courier::Courier;
use crate::{Webhooks, WriterStatus, writer};
use std::sync::Arc;
use taghouse_catalog::Catalog;
use taghouse_feed::Feeds;
use taghouse_model::{AppId, Clock};
use taghouse_rules::{SinkDefinition, Webhook};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a writer works with.
#[derive(Clone)]
pub struct WriterParts {
    /// Whose changes they are.
    pub app: AppId,
    /// The sink.
    pub sink: SinkDefinition,
    /// Where it sends to.
    pub webhook: Webhook,
    /// Where changes are read.
    pub feeds: Arc<Feeds>,
    /// Where it stands what was acknowledged.
    pub catalog: Arc<dyn Catalog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where it works.
    pub runtime: Handle,
}

/// A webhook that is written to, until it is told to stop. Dropped, it stops too.
pub struct WebhookWriter {
    sink: SinkDefinition,
    courier: Arc<Courier>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl WebhookWriter {
    /// Begins to write behind what was acknowledged. There may be no other writer of the sink.
    pub fn start(webhooks: &Webhooks, parts: WriterParts) -> Self {
        let (sink, stop) = (parts.sink.clone(), CancellationToken::new());
        let courier = Arc::new(webhooks.courier(&parts.app, &sink.name, &parts.webhook));
        let (with, ending) = (courier.clone(), stop.clone());
        let runtime = parts.runtime.clone();
        let task = runtime.spawn(async move { writer::write(&parts, &with, &ending).await });
        Self { sink, courier, stop, task }
    }

    /// Whether it writes this sink in this way, and was not told to stop.
    pub fn writes(&self, sink: &SinkDefinition) -> bool {
        !self.stop.is_cancelled() && self.sink == *sink
    }

    /// How it stands.
    pub fn status(&self) -> WriterStatus {
        self.courier.record.board.status()
    }

    /// Tells it to stop; [`WebhookWriter::has_ended`] says when it has.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it sends nothing any more.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for WebhookWriter {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
