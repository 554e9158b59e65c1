//! An app whose calls neither land nor are admitted for a while.

use crate::Result;
use crate::landing::Landing;
use crate::landing_memory::Memory;
use crate::live_totals::position;
use crate::suppressed::{Suppress, Suppressions};
use std::sync::Arc;
use taghouse_model::{AppId, Entropy};
use taghouse_rules::Definitions;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// An app whose calls do not land meanwhile.
pub struct HeldLanding {
    _memory: OwnedMutexGuard<Memory>,
}

/// An app whose rows begin again behind what landed. Meanwhile none is admitted, and none lands.
pub struct Restarted {
    /// The log position through which calls have landed.
    pub landed: u64,
    _memory: OwnedMutexGuard<Memory>,
}

impl Landing {
    /// Lets landings of the app wait as long as the result lives. Waits for one that goes on. What
    /// is admitted stays so.
    pub async fn hold(&self, app: &AppId) -> HeldLanding {
        HeldLanding { _memory: self.memory(app).lock_owned().await }
    }

    /// Forgets what is admitted and has not landed: once the result is dropped, it is admitted
    /// again. Waits for a landing or an admission that goes on.
    ///
    /// # Errors
    /// Errors of the catalog.
    pub async fn restart(&self, app: &AppId) -> Result<Restarted> {
        let mut memory = self.memory(app).lock_owned().await;
        memory.pending = None;
        let landed = position(self.pointer(app).await?.as_ref());
        Ok(Restarted { landed, _memory: memory })
    }

    /// The ids whose data is refused.
    pub fn suppressions(&self) -> &Suppressions {
        &self.suppressions
    }

    /// Refuses the data of ids from now on, or takes it again; gives the ids of which it made a
    /// difference. What the log holds up to `end`, and what is admitted, lands before it, by the ids
    /// of before: so no record is decided in two ways, be it admitted again after a crash. A run over
    /// files that is under way lands before it, or fails.
    ///
    /// # Errors
    /// As [`Landing::land`]; [`crate::Error::Invalid`] over [`crate::MAX_SUPPRESSED`].
    pub async fn suppress(
        &self,
        definitions: &Arc<Definitions>,
        end: u64,
        ids: &[String],
        what: Suppress,
        entropy: &dyn Entropy,
    ) -> Result<Vec<String>> {
        let app = &definitions.app.id;
        let mut memory = self.memory(app).lock_owned().await;
        let landed =
            self.land_noted(app, definitions, &mut memory, end, &CancellationToken::new()).await?;
        // The next landing reports it.
        memory.unreported = landed;
        let _turn = self.turns.take(app).await;
        self.suppressions.put(app, ids, what, self.clock.now_ms(), entropy).await
    }

    /// Lands as [`Landing::land_through`] does. As long as the result lives nothing more is
    /// admitted: the tables hold what the log brought up to its position, and a follower has seen
    /// just that.
    ///
    /// # Errors
    /// As [`Landing::land`].
    pub async fn land_and_hold(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<Restarted> {
        let mut memory = self.memory(app).lock_owned().await;
        let landed = self.land_noted(app, definitions, &mut memory, end, stop).await?;
        Ok(Restarted { landed: landed.position, _memory: memory })
    }
}
