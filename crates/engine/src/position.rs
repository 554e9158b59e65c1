//! Answers that hold what was acknowledged: whoever wrote something and asks with the position of it
//! in the log is not answered from before.

use crate::{Engine, Error, Result};
use std::time::{Duration, Instant};
use taghouse_crowd::NamedQuestion;
use taghouse_model::AppId;
use taghouse_rules::Definitions;

/// How long an answer waits for a position, unless the caller says otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(2);
/// The longest that a caller may wait.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether what is waited for is there.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What an answer must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtLeast {
    /// A position of the log of calls, as acknowledged writes return it.
    pub position: u64,
    /// How long to wait for it, [`MAX_WAIT`] at most.
    pub wait: Duration,
}

impl Engine {
    /// Waits until live tags and live crowds answer from all that was acknowledged up to a position
    /// of the log: calls, changes by hand and deletions. Gives the position that they hold then.
    ///
    /// # Errors
    /// [`Error::NeverGiven`] for a position behind the log's end; [`Error::Behind`] when the time is
    /// over; of the log and the index.
    pub async fn wait_for(&self, app: &AppId, at_least: AtLeast) -> Result<u64> {
        let AtLeast { position, wait } = at_least;
        let end = self.log.end(app).await?;
        if position > end {
            return Err(Error::NeverGiven { position, end });
        }
        let until = Instant::now() + wait.min(MAX_WAIT);
        let behind = |seen| Error::Behind { position, seen, wait_ms: wait.as_millis() as u64 };
        let held = loop {
            match self.stream.shown_position(app) {
                Some(seen) if seen >= position => break seen,
                seen if Instant::now() >= until => return Err(behind(seen)),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        // What the calls came to is logged in the index, as are changes by hand and deletions that
        // were acknowledged. Readers have it with the next tick.
        let logged = self.index.logged(app).await?;
        loop {
            let snapshot = self.index.snapshot(app).await?;
            if snapshot.is_some_and(|snapshot| snapshot.position() >= logged) || logged == 0 {
                return Ok(held);
            }
            if Instant::now() >= until {
                return Err(behind(Some(held)));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Refuses to promise a position of what a production computes: it is of the events before its
    /// as-of time, whatever their positions.
    ///
    /// # Errors
    /// [`Error::HoldsNoPosition`] names the crowd or the tag.
    pub fn hold_positions(
        &self,
        definitions: &Definitions,
        crowds: &[String],
        questions: &[NamedQuestion],
    ) -> Result<()> {
        let not_live =
            |crowd: &&str| definitions.crowds.get(*crowd).is_some_and(|crowd| !crowd.is_live);
        let refused = |what: String| Err(Error::HoldsNoPosition { what });
        if let Some(crowd) = crowds.iter().map(String::as_str).find(not_live) {
            return refused(format!("the crowd `{crowd}`"));
        }
        for NamedQuestion { name, question } in questions {
            if let Some(crowd) = question.crowds().into_iter().find(not_live) {
                return refused(format!("the crowd `{crowd}` in the expression `{name}`"));
            }
            let computed =
                |tag: &&str| definitions.tags.get(*tag).is_some_and(|tag| !tag.mode.is_live());
            if let Some(tag) = question.tags().into_iter().find(computed) {
                return refused(format!("the tag `{tag}` in the expression `{name}`"));
            }
        }
        Ok(())
    }
}
