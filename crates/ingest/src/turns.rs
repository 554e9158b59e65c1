//! Whose turn it is to land rows of an app: between looking up which message ids have landed and
//! landing new ones nobody else lands any.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_model::AppId;
use tokio::sync::OwnedMutexGuard;

/// The turns of all apps; what lands in one data folder shares one. (A data folder belongs to one
/// process.)
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the app's turn, which lasts until the guard is dropped.
    pub(crate) async fn take(&self, app: &AppId) -> OwnedMutexGuard<()> {
        let turn = self.0.lock().entry(app.clone()).or_default().clone();
        turn.lock_owned().await
    }
}
