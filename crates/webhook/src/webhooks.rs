//! What all webhooks of a data folder share.

use crate::batch::{Batch, Pending};
use crate::client::{Client, Fetched, Validators};
use crate::courier::Courier;
use crate::destination::KnownDestination;
use crate::record::SinkRecord;
use crate::{DeadLetterList, Delivery, Error, Networks, Outcome, Result};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use taghouse_model::{AppId, Clock, Entropy, Name, TimestampMs};
use taghouse_rules::{CrowdLink, Webhook};
use taghouse_sink::trial;

/// What webhooks are opened with.
pub struct WebhooksParts {
    /// Where dead letters and delivery logs are, in a folder for each sink. It need not be there.
    pub folder: PathBuf,
    /// Where they may connect to besides the public internet.
    pub networks: Networks,
    /// A PEM file of authorities that are trusted besides the public ones.
    pub certificates: Option<PathBuf>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// By which waits differ.
    pub entropy: Arc<dyn Entropy>,
}

/// What all webhooks of a data folder share: the client, and what is kept of each.
pub struct Webhooks {
    folder: PathBuf,
    client: Arc<Client>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    records: Mutex<HashMap<(AppId, Name), Arc<SinkRecord>>>,
}

impl Webhooks {
    /// Webhooks of a folder. No file of it is opened yet.
    ///
    /// # Errors
    /// `Certificates`, `Client`.
    pub fn new(parts: WebhooksParts) -> Result<Self> {
        let WebhooksParts { folder, networks, certificates, clock, entropy } = parts;
        let client = Client::new(networks, certificates.as_deref(), clock.clone())?;
        let (client, records) = (Arc::new(client), Mutex::default());
        Ok(Self { folder, client, clock, entropy, records })
    }

    /// What is kept of a sink. Reads its files when it is asked for first: blocks for a moment.
    pub(crate) fn record(&self, app: &AppId, sink: &Name) -> Arc<SinkRecord> {
        let mut records = self.records.lock();
        let record = records.entry((app.clone(), sink.clone())).or_insert_with(|| {
            let folder = self.folder.join(app.as_str()).join(sink.as_str());
            Arc::new(SinkRecord::open(app, sink, folder, self.clock.clone()))
        });
        record.clone()
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        self.client.clone()
    }

    pub(crate) fn courier(&self, app: &AppId, sink: &Name, webhook: &Webhook) -> Courier {
        Courier {
            record: self.record(app, sink),
            destination: KnownDestination::new(webhook.clone()),
            client: self.client.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            retry_for_ms: webhook.retry_for_ms,
        }
    }

    /// Fetches what is at the link of a crowd into a folder that is there, under the rules of webhooks:
    /// of private addresses those of permitted networks alone, and no redirects.
    ///
    /// # Errors
    /// `Unreached`, which may pass; `NotFetched`; of settings and the disk.
    pub async fn fetch(
        &self,
        link: &CrowdLink,
        known: &Validators,
        folder: &Path,
    ) -> Result<Fetched> {
        self.client.fetch(link, known, folder).await
    }

    /// The last deliveries of a sink, newest first.
    pub fn deliveries(&self, app: &AppId, sink: &Name, limit: usize) -> Vec<Delivery> {
        self.record(app, sink).log.last(limit)
    }

    /// The oldest dead letters of a sink, and how many there are.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn dead_letters(
        &self,
        app: &AppId,
        sink: &Name,
        limit: usize,
    ) -> Result<DeadLetterList> {
        self.record(app, sink).dead.first(limit).await
    }

    /// How many dead letters a sink has.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn dead_letter_count(&self, app: &AppId, sink: &Name) -> Result<u64> {
        self.record(app, sink).dead.count().await
    }

    /// The sinks of an app of which anything is kept, be they defined or not.
    async fn kept(&self, app: &AppId) -> Result<BTreeSet<Name>> {
        let folder = self.folder.join(app.as_str());
        let of_app = |(of, _): &&(AppId, Name)| of == app;
        let mut sinks: BTreeSet<Name> =
            self.records.lock().keys().filter(of_app).map(|(_, sink)| sink.clone()).collect();
        let on_disk = taghouse_disk::blocking(move || folders(&folder)).await?;
        sinks.extend(on_disk);
        Ok(sinks)
    }

    /// The ids of users of whom an app has dead letters.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn dead_letter_users(&self, app: &AppId) -> Result<BTreeSet<String>> {
        let mut users = BTreeSet::new();
        for sink in self.kept(app).await? {
            users.extend(self.record(app, &sink).dead.users().await?);
        }
        Ok(users)
    }

    /// Removes the dead letters of users who were deleted since then; how many. `gone`: when, by id.
    ///
    /// # Errors
    /// `Disk`; what was removed stays removed.
    pub async fn erase_users(
        &self,
        app: &AppId,
        gone: HashMap<String, TimestampMs>,
    ) -> Result<u64> {
        let (gone, mut erased) = (Arc::new(gone), 0);
        for sink in self.kept(app).await? {
            erased += self.record(app, &sink).dead.erase(gone.clone()).await?;
        }
        Ok(erased)
    }

    /// How many dead letters this process has written of an app.
    pub fn buried(&self, app: &AppId) -> u64 {
        let records = self.records.lock();
        let of_app = records.iter().filter(|((of, _), _)| of == app);
        of_app.map(|(_, record)| record.board.status().counts.dead_lettered).sum()
    }

    /// Sends an event that says nothing, once, and tells what came of it.
    pub async fn test(&self, app: &AppId, sink: &Name, webhook: &Webhook) -> Tested {
        let courier = self.courier(app, sink, webhook);
        let now_ms = self.clock.now_ms();
        let mut number = [0; 8];
        self.entropy.fill(&mut number);
        let outgoing = trial(app, sink, u64::from_le_bytes(number), now_ms);
        let batch = Batch::of(app, sink, vec![Pending::new(0, now_ms, &outgoing)]);
        let attempt = courier.attempt(&batch).await;
        let outcome = if attempt.error.is_none() { Outcome::Delivered } else { Outcome::Failed };
        courier.note(&batch, 1, &attempt, outcome);
        let log = courier.record.log.clone();
        if let Err(error) = taghouse_disk::blocking(move || log.write()).await {
            tracing::warn!(%app, %sink, %error, "the delivery log is not written");
        }
        Tested {
            webhook_id: batch.id,
            status: attempt.status,
            latency_ms: u64::try_from(attempt.latency.as_millis()).unwrap_or(u64::MAX),
            error: attempt.error,
            said: attempt.said,
        }
    }
}

/// The names of the folders in a folder, which need not be there.
fn folders(folder: &Path) -> Result<Vec<Name>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::disk(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::disk(folder))?.file_name();
        names.extend(name.to_str().and_then(|name| Name::new(name).ok()));
    }
    Ok(names)
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// What `webhook-id` said.
    pub webhook_id: String,
    /// Of the answer; `None`: there was none.
    pub status: Option<u16>,
    /// How long the answer took.
    pub latency_ms: u64,
    /// What went wrong; `None`: the receiver has taken the event.
    pub error: Option<String>,
    /// The beginning of what the receiver said.
    pub said: String,
}
