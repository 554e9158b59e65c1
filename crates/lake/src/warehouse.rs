//! What handles, writers, commits and scans of one lake share.

use crate::manifest::ManifestCache;
use crate::objects::Objects;
use crate::pin::Pins;
use crate::removal::Removal;
use crate::sql::runtime::SqlRuntime;
use crate::upkeep::Upkeep;
use std::sync::Arc;
use taghouse_catalog::Catalog;
use taghouse_model::{Clock, TimestampMs};

/// Where the tables of all apps are, and what this process knows of their objects.
pub(crate) struct Warehouse {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) objects: Objects,
    pub(crate) manifests: ManifestCache,
    /// The folder, absolute, without a slash at the end.
    pub(crate) root: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sql: SqlRuntime,
    pub(crate) upkeep: Upkeep,
    pub(crate) pins: Arc<Pins>,
    pub(crate) removal: Removal,
    /// When this process began with the lake.
    pub(crate) opened_ms: TimestampMs,
}

impl Warehouse {
    pub(crate) fn now_ms(&self) -> TimestampMs {
        self.clock.now_ms()
    }
}
