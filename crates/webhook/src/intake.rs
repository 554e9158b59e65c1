//! Reads the feed for a writer, in a task of its own: a read that is broken off loses its place.

use taghouse_feed::{FeedReader, Record};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What the feed has next, or why it has nothing any more. Dropped, it reads no more.
pub(crate) struct Intake {
    records: mpsc::Receiver<Result<Vec<Record>, taghouse_feed::Error>>,
    task: JoinHandle<()>,
}

impl Intake {
    pub(crate) fn begin(mut reader: FeedReader) -> Self {
        // One read waits while another is worked on; the rest stays in the feed.
        let (sender, records) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                let read = reader.read().await;
                match read {
                    // The process ends, and so does this.
                    Ok(none) if none.is_empty() && !reader.wait().await => return,
                    Ok(none) if none.is_empty() => {}
                    read => {
                        let is_last = read.is_err();
                        if sender.send(read).await.is_err() || is_last {
                            return;
                        }
                    }
                }
            }
        });
        Self { records, task }
    }

    /// The next records. Never returns when the process ends.
    ///
    /// # Errors
    /// Of the feed; nothing follows.
    pub(crate) async fn next(&mut self) -> Result<Vec<Record>, taghouse_feed::Error> {
        match self.records.recv().await {
            Some(read) => read,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.task.abort();
    }
}
