//! The moment that a backup shows.
//!
//! 1. What is live is flushed, so that little is left to be flushed while writers wait.
//! 2. Landings, users and indexes of all apps are held: no call lands, no value changes, nobody is
//!    deleted or renumbered, no tag is published.
//! 3. The log's content is fixed; the catalog is copied; the change feed is copied, dead letters, the
//!    dictionary and the index's objects are linked, in this order: what the catalog names is there,
//!    and what came since is named by nothing. Only letters may be newer: their events are sent again.
//! 4. All go on.

use crate::backup::BackupParts;
use crate::copy::link_all;
use crate::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};
use taghouse_disk::blocking;
use taghouse_index::HeldIndex;
use taghouse_ingest::HeldLanding;
use taghouse_log::FrozenLog;
use taghouse_model::AppId;
use taghouse_users::HeldUsers;

/// How long users of an app are waited for at one go: meanwhile those of other apps wait too.
const PATIENCE: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// What was taken at the moment.
pub(crate) struct Frozen {
    pub(crate) log: Box<dyn FrozenLog>,
    pub(crate) taken_ms: i64,
    /// How long writers waited.
    pub(crate) held: Duration,
}

/// Everything that is kept from changing.
struct Held {
    indexes: Vec<(AppId, HeldIndex)>,
    _users: Vec<HeldUsers>,
    _landings: Vec<HeldLanding>,
    since: Instant,
}

/// Puts what changes into `stage`, an empty folder on the disk of the data.
pub(crate) async fn freeze(parts: &BackupParts, stage: &Path) -> Result<Frozen> {
    for app in parts.catalog.apps().await? {
        if parts.index.published(&app).await?.is_some() {
            parts.index.flush(&app).await?;
        }
    }
    let held = hold(parts).await?;

    for (app, index) in &held.indexes {
        index.copy_live_to(&stage.join("live").join(app.as_str())).await?;
    }
    let log = parts.log.freeze().await?;
    let taken_ms = parts.clock.now_ms();
    parts.catalog.copy_to(&stage.join("catalog.db")).await?;
    // Behind the catalog: what it says was given up, or told, is in them.
    parts.feeds.copy_to(&stage.join("feed")).await?;
    let (dictionary, objects, stage) =
        (parts.dictionary.clone(), parts.objects.clone(), stage.to_owned());
    let webhooks = parts.webhooks.clone();
    blocking(move || {
        if webhooks.is_dir() {
            link_all(&webhooks, &stage.join("webhooks"))?;
        }
        dictionary.copy_to(&stage.join("dictionary"))?;
        link_all(&objects, &stage.join("objects"))
    })
    .await?;

    Ok(Frozen { log, taken_ms, held: held.since.elapsed() })
}

async fn hold(parts: &BackupParts) -> Result<Held> {
    let apps = parts.catalog.apps().await?;
    let mut landings = Vec::new();
    for app in &apps {
        landings.push(parts.landing.hold(app).await);
    }
    for _ in 0..ATTEMPTS {
        let since = Instant::now();
        match users(parts, &apps).await {
            Ok(users) => {
                let mut indexes = Vec::new();
                for app in &apps {
                    indexes.extend(parts.index.hold(app).await?.map(|held| (app.clone(), held)));
                }
                return Ok(Held { indexes, _users: users, _landings: landings, since });
            }
            // Nobody else should wait for a compaction to end.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    users(parts, &apps)
        .await
        .map_or_else(|app| Err(Error::Held(app)), |_| Err(Error::Internal("not held".to_owned())))
}

/// Blocks changes of the users of all apps; the error names an app that stays busy.
async fn users(parts: &BackupParts, apps: &[AppId]) -> std::result::Result<Vec<HeldUsers>, AppId> {
    let mut held = Vec::new();
    for app in apps {
        held.push(
            tokio::time::timeout(PATIENCE, parts.users.hold(app)).await.map_err(|_| app.clone())?,
        );
    }
    Ok(held)
}
