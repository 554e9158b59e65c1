//! What goes on beside requests, for every app.

use crate::audit::named;
use crate::{House, Problem};
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_ingest::LandingTrigger;
use taghouse_model::AppId;
use tokio_util::sync::CancellationToken;

/// Lands the live calls of every app whose calls have waited long enough, or are enough; after `stop`, what it has begun with. What fails of an
/// app is logged, and keeps no other from landing.
///
/// # Errors
/// It cannot be read which apps there are.
pub async fn land_due(house: &Arc<House>, trigger: &LandingTrigger, stop: &CancellationToken) -> Result<(), Problem> {
    // A full disk fails all apps with the same words.
    let mut failed: BTreeMap<String, Vec<AppId>> = BTreeMap::new();
    for app in house.catalog.apps().await? {
        if stop.is_cancelled() {
            break;
        }
        let landed = match house.landing.is_due(&app, trigger).await {
            Ok(true) => house.land(&app, stop).await.map(drop),
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(problem) = landed {
            failed.entry(problem.detail).or_default().push(app);
        }
    }
    for (detail, apps) in failed {
        let apps = named(apps.iter().map(AppId::as_str));
        tracing::error!(apps, detail, "landing live calls failed; it is tried again");
    }
    Ok(())
}

/// Keeps every app's tables small: see [`taghouse_lake::Lake::maintain`]. What fails of an app is logged, and keeps no other waiting.
///
/// # Errors
/// It cannot be read which apps there are.
pub async fn keep_small(house: &House) -> Result<(), Problem> {
    for app in house.catalog.apps().await? {
        match house.lake.maintain(&app).await {
            Ok(done) if done.joined_files > 0 => {
                tracing::info!(%app, joined = done.joined_files, into = done.into_files, "small files of the lake are joined");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%app, %error, "the app's tables could not be kept small; it is tried again"),
        }
    }
    Ok(())
}
