//! All apps' identities.

use crate::{AppIdentities, Result, known, table};
use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_lake::{Lake, layout};
use taghouse_model::AppId;
use tokio::sync::OnceCell;

/// Which ids are whose, of all apps. An app's are read from the lake when they are asked for first.
pub struct Identities {
    lake: Arc<Lake>,
    apps: RwLock<HashMap<AppId, Arc<OnceCell<Arc<AppIdentities>>>>>,
}

impl Identities {
    /// Over a lake; nothing is read yet.
    pub fn new(lake: Arc<Lake>) -> Self {
        Self { lake, apps: RwLock::default() }
    }

    /// Those of an app.
    ///
    /// # Errors
    /// Of the lake.
    pub async fn of(&self, app: &AppId) -> Result<Arc<AppIdentities>> {
        if let Some(read) = self.read(app) {
            return Ok(read);
        }
        let cell = self.apps.write().entry(app.clone()).or_default().clone();
        let read = || async {
            let links = self.lake.table(app, layout::IDENTITIES).await?;
            let mapping = table::mapping_of(links.as_ref()).await?;
            Ok(Arc::new(AppIdentities::new(mapping)))
        };
        cell.get_or_try_init(read).await.cloned()
    }

    /// Those of an app, if they were read already.
    pub fn read(&self, app: &AppId) -> Option<Arc<AppIdentities>> {
        self.apps.read().get(app)?.get().cloned()
    }

    /// The user whose id this is. Where the lake cannot be read, and was not before, the id itself:
    /// questions go on.
    pub async fn user_of<'i>(&self, app: &AppId, id: &'i str) -> Cow<'i, str> {
        match self.of(app).await {
            Ok(identities) => match identities.user_of(id) {
                Cow::Owned(user) => Cow::Owned(user),
                Cow::Borrowed(_) => Cow::Borrowed(id),
            },
            Err(error) => {
                tracing::warn!(%app, %error, "ids are not resolved to their users");
                Cow::Borrowed(id)
            }
        }
    }

    /// Reads which ids came as those of known users, unless that is known.
    ///
    /// # Errors
    /// Of the lake.
    pub async fn read_known(&self, app: &AppId) -> Result<()> {
        let identities = self.of(app).await?;
        if identities.known.is_read() {
            Ok(())
        } else {
            identities.known.read(&self.lake, app).await
        }
    }

    /// Rows came of which it is not known whose: who is known is read again.
    pub fn forget_known(&self, app: &AppId) {
        if let Some(identities) = self.read(app) {
            identities.known.forget();
        }
    }

    /// These ids came as those of known users, and have landed; given by [`Identities::hash`].
    pub fn add_known(&self, app: &AppId, hashes: impl Iterator<Item = u64>) {
        if let Some(identities) = self.read(app) {
            identities.known.add(hashes);
        }
    }

    /// By which a known id is remembered.
    pub fn hash(id: &str) -> u64 {
        known::hash(id)
    }
}
