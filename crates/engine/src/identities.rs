//! Which ids belong to one user: asked for, linked and unlinked by hand.

use crate::clock_text::local;
use crate::{Engine, Error, Result};
use std::collections::HashSet;
use std::sync::Arc;
use taghouse_identities::{AppIdentities, Claim, LinkEvent, Verdict, events_of};
use taghouse_ingest::{LogRecord, RecordBody};
use taghouse_lake::layout;
use taghouse_model::AppId;
use taghouse_rules::Definitions;
use taghouse_wire::{IdentityBody, LinkLine, LinkedIdBody};
use tokio_util::sync::CancellationToken;

/// So many lines of the log of links are shown.
const LINES: usize = 1000;

impl Engine {
    /// The user whose id this is, with all ids and how they came to be the user's.
    ///
    /// # Errors
    /// Of the lake.
    pub async fn identity(&self, definitions: &Definitions, id: &str) -> Result<IdentityBody> {
        let app = &definitions.app.id;
        let identities = self.identities.of(app).await?;
        let user = identities.user_of(id).into_owned();
        let ids = identities.ids(&user);
        let of_user: HashSet<&str> =
            ids.iter().map(|linked| &*linked.id).chain([id, user.as_str()]).collect();
        let keep = |event: &LinkEvent| of_user.contains(event.id.as_str());
        let mut events = events_of(&self.lake, app, &keep).await?;
        events.sort_by_key(|event| std::cmp::Reverse(event.position));
        let line = |event: LinkEvent| LinkLine {
            at: local(event.at_ms, &definitions.app.time_zone),
            event: if event.links { layout::LINK } else { layout::UNLINK }.to_owned(),
            id: event.id,
            id_type: event.id_type,
            user: event.user,
            message_id: Some(event.message_id).filter(|id| !id.is_empty()),
        };
        let body = |linked: &taghouse_identities::LinkedId| LinkedIdBody {
            id: linked.id.to_string(),
            id_type: linked.id_type.to_string(),
        };
        Ok(IdentityBody {
            id: id.to_owned(),
            ids: ids.iter().map(body).collect(),
            user,
            log: events.into_iter().take(LINES).map(line).collect(),
        })
    }

    /// Whether an id can be made a user's; false: it is already.
    ///
    /// # Errors
    /// [`Error::LinkRefused`] with the reason; of the landing and the lake.
    pub async fn can_link(
        self: &Arc<Self>,
        definitions: &Definitions,
        id: &str,
        id_type: &str,
        user: &str,
    ) -> Result<bool> {
        let app = &definitions.app.id;
        self.refuse_suppressed(app, [id, user]).await?;
        let refused = |why: String| Error::LinkRefused { id: id.to_owned(), why };
        let Some(rules) = &definitions.app.identities else {
            let why = "the app links no ids: add `identities: {}` to its definition".to_owned();
            return Err(refused(why));
        };
        // What calls said before counts before.
        let identities = self.landed_identities(app).await?;
        self.identities.read_known(app).await?;
        match identities.check(rules, &Claim { id, id_type, user, merges: true }) {
            Verdict::Refused(why) => Err(refused(why)),
            Verdict::Same => Ok(false),
            Verdict::Linked(_) => Ok(true),
        }
    }

    /// Makes an id a user's, in the log and in the lake.
    ///
    /// # Errors
    /// [`Error::LinkRefused`] where something came in between; of the log, the landing and the lake.
    pub async fn link(
        self: &Arc<Self>,
        app: &AppId,
        id: &str,
        id_type: &str,
        user: &str,
    ) -> Result<()> {
        let (id, id_type, user_id) = (id.to_owned(), id_type.to_owned(), user.to_owned());
        self.by_hand(app, RecordBody::Linked { id: id.clone(), id_type, user_id }).await?;
        let identities = self.identities.of(app).await?;
        if identities.user_of(&id) == identities.user_of(user) {
            return Ok(());
        }
        let why = "something came in between: see `taghouse rejected`".to_owned();
        Err(Error::LinkRefused { id, why })
    }

    /// Makes an id its own user's again, in the log and in the lake. Nothing happens where it is.
    ///
    /// # Errors
    /// Of the log, the landing and the lake.
    pub async fn unlink(self: &Arc<Self>, app: &AppId, id: &str) -> Result<()> {
        let identities = self.landed_identities(app).await?;
        if identities.user_of(id) == id {
            return Ok(());
        }
        self.by_hand(app, RecordBody::Unlinked { id: id.to_owned() }).await
    }

    pub(crate) async fn landed_identities(
        self: &Arc<Self>,
        app: &AppId,
    ) -> Result<Arc<AppIdentities>> {
        self.land(app, &CancellationToken::new()).await?;
        Ok(self.identities.of(app).await?)
    }

    /// Writes a record and lands it.
    async fn by_hand(self: &Arc<Self>, app: &AppId, body: RecordBody) -> Result<()> {
        let record = LogRecord::by_hand(self.clock.now_ms(), body);
        let encoded = record.encode().map_err(|error| Error::LandingBrokeOff(error.to_string()))?;
        self.log.append(app, vec![encoded]).await?;
        self.land(app, &CancellationToken::new()).await.map(drop)
    }
}
