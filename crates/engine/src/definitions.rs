//! The definitions in force, from memory if they did not change.

use crate::memory::KnownDefinitions;
use crate::{Engine, Error, Result};
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::{AppId, Name};
use taghouse_rules::{Definitions, Document, did_you_mean};

/// How long the catalog may take to answer.
const CATALOG_WAIT: Duration = Duration::from_secs(5);

impl Engine {
    /// The app's checked definitions. From memory if they did not change, because judgments need
    /// them too.
    ///
    /// # Errors
    /// [`Error::NoApp`], [`Error::StoredDefinitions`]; [`Error::UnreadDefinitions`] when the
    /// catalog fails and they were never read.
    pub async fn definitions(&self, app: &AppId) -> Result<Arc<Definitions>> {
        let known = self.memory.definitions(app);
        if let Some(current) = known.current() {
            return Ok(current);
        }
        let failures = known.failures();
        let _reading = known.reading.lock().await;
        if let Some(current) = known.current() {
            return Ok(current);
        }
        let unread = |detail: String| Error::UnreadDefinitions { app: app.clone(), detail };
        if known.failures() != failures {
            // Whoever asked meanwhile asked in vain: a catalog that fails is not asked once for
            // each who waits.
            return known.last().ok_or_else(|| unread("the catalog did not answer".to_owned()));
        }
        match self.read_definitions(app, &known).await {
            // Better the definitions of before a change than no answer: the change is in the
            // catalog, and the next call asks again.
            Err(error) if error.is_ours() => {
                known.failed();
                known.last().ok_or_else(|| unread(error.to_string()))
            }
            Err(error @ Error::NoApp { .. }) => {
                self.memory.no_app(app);
                Err(error)
            }
            outcome => outcome,
        }
    }

    /// Reads and checks an app's definitions, and keeps them.
    async fn read_definitions(
        &self,
        app: &AppId,
        known: &KnownDefinitions,
    ) -> Result<Arc<Definitions>> {
        let changes = known.changes();
        let stored = tokio::time::timeout(CATALOG_WAIT, self.catalog.definitions(app))
            .await
            .map_err(|_| Error::CatalogLate)??;
        if stored.is_empty() {
            return Err(Error::NoApp { app: app.clone() });
        }
        let documents: Vec<Document> = stored
            .iter()
            .filter_map(|old| Document::stored(&old.kind, &old.name, &old.body))
            .collect();
        let definitions = Definitions::check(&documents).map_err(|errors| {
            let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            Error::StoredDefinitions { app: app.clone(), detail }
        })?;
        let definitions = Arc::new(definitions);
        self.crowds.define(&definitions);
        known.keep(&definitions, changes);
        Ok(definitions)
    }

    /// Checks that the app is defined, with valid definitions or not.
    ///
    /// # Errors
    /// [`Error::NoApp`]; or it cannot be read.
    pub async fn exists(&self, app: &AppId) -> Result<()> {
        match self.definitions(app).await {
            Ok(_) | Err(Error::StoredDefinitions { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The app's definitions, if they define these crowds: an object that was computed for a
    /// definition of the past answers no more.
    ///
    /// # Errors
    /// [`Error::UnknownCrowd`], with a similar name; those of [`Engine::definitions`].
    pub async fn with_crowds(&self, app: &AppId, crowds: &[String]) -> Result<Arc<Definitions>> {
        let definitions = self.definitions(app).await?;
        match crowds.iter().find(|crowd| !definitions.crowds.contains_key(crowd.as_str())) {
            None => Ok(definitions),
            Some(unknown) => {
                let hint = did_you_mean(unknown, definitions.crowds.keys().map(Name::as_str));
                Err(Error::UnknownCrowd { crowd: unknown.clone(), app: app.clone(), hint })
            }
        }
    }
}
