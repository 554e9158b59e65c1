//! A writer of one sink: it follows the app's change feed from the id that was sent last.

use crate::ReaderStatus;
use crate::status::Board;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_catalog::Catalog;
use taghouse_feed::Feeds;
use taghouse_model::{AppId, Clock};
use taghouse_rules::{KafkaTopic, SinkDefinition};
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
    /// Where it writes to.
    pub topic: KafkaTopic,
    /// Where changes are read.
    pub feeds: Arc<Feeds>,
    /// Where it stands what was sent.
    pub catalog: Arc<dyn Catalog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where it works.
    pub runtime: Handle,
}

/// A sink that is written to, until it is told to stop. Dropped, it stops too.
pub struct SinkWriter {
    sink: SinkDefinition,
    board: Arc<Board>,
    sent: Arc<AtomicU64>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl SinkWriter {
    /// Begins to write behind what was sent. There may be no other writer of the sink.
    pub fn start(parts: WriterParts) -> Self {
        let name = format!("{}/{}", parts.app, parts.sink.name);
        let board = Arc::new(Board::new(name, parts.clock.clone()));
        let (sink, stop) = (parts.sink.clone(), CancellationToken::new());
        let sent = Arc::new(AtomicU64::new(0));
        let task = spawn(parts, &board, &sent, &stop);
        Self { sink, board, sent, stop, task }
    }

    /// Whether it writes this sink in this way, and was not told to stop.
    pub fn writes(&self, sink: &SinkDefinition) -> bool {
        !self.stop.is_cancelled() && self.sink == *sink
    }

    /// How it stands; `appended` counts the events that were acknowledged.
    pub fn status(&self) -> ReaderStatus {
        self.board.status()
    }

    /// The id of the last record that needs not be sent any more; 0 before it is known.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Tells it to stop; [`SinkWriter::has_ended`] says when it has.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it sends nothing any more.
    pub fn has_ended(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for SinkWriter {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(feature = "client")]
fn spawn(
    parts: WriterParts,
    board: &Arc<Board>,
    sent: &Arc<AtomicU64>,
    stop: &CancellationToken,
) -> Option<JoinHandle<()>> {
    let (board, sent, stop) = (board.clone(), sent.clone(), stop.clone());
    let runtime = parts.runtime.clone();
    Some(runtime.spawn(async move { crate::producer::write(&parts, &board, &sent, &stop).await }))
}

#[cfg(not(feature = "client"))]
fn spawn(
    _: WriterParts,
    board: &Arc<Board>,
    _: &Arc<AtomicU64>,
    _: &CancellationToken,
) -> Option<JoinHandle<()>> {
    use crate::ReaderState;
    use crate::status::About;
    board.problem(About::Settings, &crate::Error::NoClient.to_string());
    board.set_state(ReaderState::Stopped);
    None
}
