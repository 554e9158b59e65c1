//! Live tags: rows admitted as they come, time that goes on, states computed where there are none.

use crate::{Engine, Result, reports};
use std::sync::Arc;
use std::time::Duration;
use taghouse_feed::Lag;
use taghouse_ingest::{LogRecord, landed};
use taghouse_model::AppId;
use taghouse_rules::Definitions;
use taghouse_stream::Tick;
use taghouse_wire::{LiveBody, LiveReport, SubscribersReport};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long live tags that could not be kept current are left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How often it is looked whether states that somebody else computes are there.
const WAIT: Duration = Duration::from_millis(50);

impl Engine {
    /// Begins to show every app's live tags what has come since, and what time it is; of apps where
    /// that still goes on, at the next turn. So an app that takes long, or fails, keeps no other
    /// waiting. What fails is logged.
    ///
    /// # Errors
    /// It cannot be read which apps there are.
    pub(crate) async fn follow(self: &Arc<Self>, stop: &CancellationToken) -> Result<()> {
        let apps = self.catalog.apps().await?;
        let mut following = self.memory.following.lock().await;
        following.retain(|_, turn| !turn.is_finished());
        for app in apps {
            if stop.is_cancelled() {
                break;
            }
            if self.memory.is_paused(&app) {
                continue;
            }
            following.entry(app).or_insert_with_key(|app| {
                let (engine, app, stop) = (self.clone(), app.clone(), stop.clone());
                self.background.spawn(async move {
                    if let Err(error) = engine.follow_app(&app, &stop).await {
                        engine.memory.pause(&app, AGAIN_AFTER);
                        tracing::warn!(%app, %error, "the app's live tags are not current; it is tried again");
                    }
                })
            });
        }
        Ok(())
    }

    /// Waits until no app is shown anything any more. [`Engine::follow`] is called no more.
    pub(crate) async fn followed(&self) {
        for (_, turn) in std::mem::take(&mut *self.memory.following.lock().await) {
            if let Err(error) = turn.await {
                tracing::error!(%error, "live tags were not shown what has come");
            }
        }
    }

    async fn follow_app(self: &Arc<Self>, app: &AppId, stop: &CancellationToken) -> Result<()> {
        let definitions = self.definitions(app).await?;
        if has_live_tags(&definitions) {
            let end = self.log.end(app).await?;
            self.landing.admit(app, &definitions, end, stop).await?;
        }
        if self.stream.tick(&definitions).await? == Tick::Rebuild {
            self.compute_live(&definitions);
        }
        Ok(())
    }

    /// Computes the states of an app's live tags, whoever stops waiting for it: the values are
    /// everybody's.
    fn compute_live(self: &Arc<Self>, definitions: &Arc<Definitions>) -> JoinHandle<Result<()>> {
        let (engine, definitions) = (self.clone(), definitions.clone());
        self.background.spawn(async move {
            let computed = engine.stream.rebuild(&definitions, &engine.landing).await;
            if let Err(error) = &computed {
                tracing::warn!(app = %definitions.app.id, %error, "the live tags' states could not be computed; it is tried again");
            }
            Ok(computed?)
        })
    }

    /// How the app's live tags stand; `None`: it has none, or they were not looked at yet.
    pub async fn live_tags(&self, definitions: &Definitions) -> Option<LiveReport> {
        let status = self.stream.status(&definitions.app.id).await?;
        Some(reports::live_tags(&status, &definitions.app.time_zone))
    }

    /// How the app's live tags and the landing of its calls stand, beside the log that both follow.
    ///
    /// # Errors
    /// Of the log and the catalog.
    pub async fn live(&self, definitions: &Definitions) -> Result<LiveBody> {
        let app = &definitions.app.id;
        // The position before the log's end: a call that comes meanwhile counts as not taken in.
        let tags = self.live_report(definitions).await?;
        let landed_position = landed(self.catalog.as_ref(), app).await?;
        let log_end = self.log.end(app).await?;
        let lag_records = tags.position.map(|position| log_end.saturating_sub(position));
        let lag_seconds = match tags.position {
            Some(position) => self.lag_seconds(app, position).await?,
            None => None,
        };
        Ok(LiveBody {
            topics: self.topics(definitions).await?,
            subscribers: self.subscribers(app).await,
            parity: self.parity_standing(app).await?,
            sinks: self.sinks(definitions).await,
            tags,
            log_end,
            landed_position,
            waiting_records: log_end.saturating_sub(landed_position),
            lag_records,
            lag_seconds,
        })
    }

    /// Who reads the change feed. Of a feed that cannot be opened nobody is known.
    async fn subscribers(&self, app: &AppId) -> SubscribersReport {
        let Lag { subscribers, records, age_ms } =
            self.feeds.lag(app).await.unwrap_or_else(|error| {
                tracing::warn!(%app, %error, "how far subscribers have come is not known");
                Lag::default()
            });
        SubscribersReport {
            count: subscribers,
            slowest_lag_records: records,
            slowest_lag_seconds: age_ms as f64 / 1000.0,
        }
    }

    /// Where nobody follows the log, as in a command without a server: how many tags are live, and
    /// what the checkpoint holds.
    async fn live_report(&self, definitions: &Definitions) -> Result<LiveReport> {
        let live = definitions.tags.values().filter(|tag| tag.mode.is_live()).count() as u64;
        if live > 0
            && let Some(report) = self.live_tags(definitions).await
        {
            return Ok(LiveReport { live_tags: live, ..report });
        }
        let saved_position = match live {
            0 => None,
            _ => self.stream.saved_position(&definitions.app.id).await?,
        };
        Ok(LiveReport { live_tags: live, saved_position, ..LiveReport::default() })
    }

    /// How many ms ago the instant was that the values of live tags are as of; 0 where no server
    /// lets time go on.
    pub fn live_age_ms(&self, app: &AppId) -> u64 {
        let age_ms = self.stream.as_of_ms(app).map(|as_of| self.clock.now_ms() - as_of);
        age_ms.map_or(0, |age_ms| u64::try_from(age_ms).unwrap_or(0))
    }

    /// The age of the first record behind the position; 0 if there is none.
    async fn lag_seconds(&self, app: &AppId, position: u64) -> Result<Option<f64>> {
        let oldest = self.log.read(app, position, 1).await?;
        let Some((_, bytes)) = oldest.first() else { return Ok(Some(0.0)) };
        // What cannot be read is refused where it lands.
        let Ok(record) = LogRecord::decode(bytes) else { return Ok(None) };
        let age_ms = self.clock.now_ms().saturating_sub(record.received_at_ms).max(0);
        Ok(Some(age_ms as f64 / 1000.0))
    }

    /// Whether the app's live tags can be asked for: they have values, be it of before.
    pub(crate) async fn live_tags_have_values(&self, definitions: &Definitions) -> Result<bool> {
        let app = &definitions.app.id;
        if !has_live_tags(definitions) {
            return Ok(true);
        }
        let status = self.stream.status(app).await;
        if status.is_some_and(|status| status.position.is_some()) {
            return Ok(true);
        }
        let snapshot = self.index.snapshot(app).await?;
        let mut live = definitions.tags.values().filter(|tag| tag.mode.is_live());
        Ok(live.all(|tag| snapshot.as_ref().is_some_and(|s| s.info(tag.name.as_str()).is_some())))
    }

    /// Waits until the app's live tags have values, and computes them if nobody does.
    ///
    /// # Errors
    /// Of the stream; cancelled by dropping it.
    pub(crate) async fn live_tags_settled(
        self: &Arc<Self>,
        definitions: &Arc<Definitions>,
    ) -> Result<()> {
        while has_live_tags(definitions) {
            match self.stream.tick(definitions).await? {
                Tick::Rebuild => self
                    .compute_live(definitions)
                    .await
                    .map_err(|error| taghouse_stream::Error::Task(error.to_string()))??,
                Tick::Done if self.stream.is_serving(&definitions.app.id).await => break,
                Tick::Done => tokio::time::sleep(WAIT).await,
            }
        }
        Ok(())
    }
}

pub(crate) fn has_live_tags(definitions: &Definitions) -> bool {
    definitions.tags.values().any(|tag| tag.mode.is_live())
}
