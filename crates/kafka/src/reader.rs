//! A reader of one source's topic, on a thread of its own.

use crate::ReaderStatus;
use crate::settings::group;
use crate::status::Board;
use std::sync::Arc;
use std::thread::JoinHandle;
use taghouse_catalog::Catalog;
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock, Name};
use taghouse_rules::KafkaTopic;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// What a reader works with.
#[derive(Clone)]
pub struct ReaderParts {
    /// Whose source it is.
    pub app: AppId,
    /// The source that reads the topic.
    pub source: Name,
    /// The topic.
    pub topic: KafkaTopic,
    /// Tells this data folder from the other members of the group.
    pub identity: String,
    /// Where records are appended.
    pub log: Arc<dyn EventLog>,
    /// Where it stands what has landed.
    pub catalog: Arc<dyn Catalog>,
    /// The time of receipt.
    pub clock: Arc<dyn Clock>,
    /// Where the log and the catalog are waited for.
    pub runtime: Handle,
}

/// A topic that is read, until it is told to stop. Dropped, it stops too, and is not waited for.
pub struct TopicReader {
    topic: KafkaTopic,
    group: String,
    board: Arc<Board>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl TopicReader {
    /// Begins to read. What of the source is in the log must have landed, and no other reader may
    /// append for it: what landed says what is read next.
    pub fn start(parts: ReaderParts) -> Self {
        let name = format!("{}/{}", parts.app, parts.source);
        let board = Arc::new(Board::new(name.clone(), parts.clock.clone()));
        let (topic, stop) = (parts.topic.clone(), CancellationToken::new());
        let group = group(&parts.app, &parts.source, &topic);
        let thread = spawn(parts, group.clone(), &board, &stop);
        Self { topic, group, board, stop, thread }
    }

    /// Whether it reads this topic in this way, and was not told to stop.
    pub fn reads(&self, topic: &KafkaTopic) -> bool {
        !self.stop.is_cancelled() && self.topic == *topic
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The topic.
    pub fn topic(&self) -> &KafkaTopic {
        &self.topic
    }

    /// How it stands.
    pub fn status(&self) -> ReaderStatus {
        self.board.status()
    }

    /// Tells it to stop; [`TopicReader::has_ended`] says when it has.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it appends nothing any more.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(feature = "client")]
fn spawn(
    parts: ReaderParts,
    group: String,
    board: &Arc<Board>,
    stop: &CancellationToken,
) -> Option<JoinHandle<()>> {
    use crate::status::About;
    let (of_thread, stop) = (board.clone(), stop.clone());
    let thread = std::thread::Builder::new()
        .name("kafka".to_owned())
        .spawn(move || crate::client::read(&parts, &group, &of_thread, &stop));
    thread
        .inspect_err(|e| board.problem(About::Settings, &format!("no thread can be started: {e}")))
        .ok()
}

#[cfg(not(feature = "client"))]
fn spawn(
    _: ReaderParts,
    _: String,
    board: &Arc<Board>,
    _: &CancellationToken,
) -> Option<JoinHandle<()>> {
    use crate::ReaderState;
    use crate::status::About;
    board.problem(About::Settings, &crate::Error::NoClient.to_string());
    board.set_state(ReaderState::Stopped);
    None
}
