//! Ids whose data is refused.

use crate::{Engine, Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_ingest::{Suppress, SuppressedIds};
use taghouse_model::{AppId, check_user_id};
use taghouse_rules::Definitions;

impl Engine {
    /// Refuses the data of these ids from now on, or takes it again; when refused, of all ids of their
    /// users. Gives the ids of which it made a difference. What came before it stays.
    ///
    /// # Errors
    /// [`Error::UserId`]; those of the landing, for what calls brought lands first.
    pub async fn suppress(
        self: &Arc<Self>,
        definitions: &Arc<Definitions>,
        ids: &[String],
        what: Suppress,
    ) -> Result<Vec<String>> {
        let app = &definitions.app.id;
        for id in ids {
            check_user_id(id).map_err(|error| Error::UserId(error.to_string()))?;
        }
        let mut all: BTreeSet<String> = ids.iter().cloned().collect();
        if what == Suppress::Begin {
            // What calls said before of whose ids they are counts.
            let identities = self.landed_identities(app).await?;
            for id in ids {
                let user = identities.user_of(id).into_owned();
                all.extend(identities.ids(&user).iter().map(|linked| linked.id.to_string()));
                all.insert(user);
            }
        }
        let all: Vec<String> = all.into_iter().collect();
        let (engine, definitions) = (self.clone(), definitions.clone());
        // Seen to its end, as a landing is.
        let put = self.background.spawn(async move {
            let end = engine.users.settled(&definitions.app.id, engine.log.as_ref()).await?;
            let entropy = engine.entropy.as_ref();
            Ok(engine.landing.suppress(&definitions, end, &all, what, entropy).await?)
        });
        put.await.map_err(|error| Error::LandingBrokeOff(error.to_string()))?
    }

    /// The ids of an app whose data is refused.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn suppressed(&self, app: &AppId) -> Result<Arc<SuppressedIds>> {
        Ok(self.landing.suppressions().of(app).await?)
    }

    /// Checks that none of the ids is suppressed.
    ///
    /// # Errors
    /// [`Error::Suppressed`] names the first that is; of the catalog.
    pub async fn refuse_suppressed<'i>(
        &self,
        app: &AppId,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> Result<()> {
        let suppressed = self.suppressed(app).await?;
        match ids.into_iter().find(|id| suppressed.holds(id)) {
            Some(id) => Err(Error::Suppressed { id: id.to_owned() }),
            None => Ok(()),
        }
    }
}
