//! Which ids become whose by the records of the log, in their order. What is decided once is
//! decided the same when the records are admitted again.

use crate::Result;
use crate::live_rows::{LiveRows, Pushed};
use crate::log_record::{LogRecord, OtherId, RecordBody};
use std::collections::HashSet;
use std::sync::Arc;
use taghouse_identities::{AppIdentities, Claim, Identities, LinkEvent, Verdict, rows_of};
use taghouse_lake::{DataFile, Lake, Table, layout};
use taghouse_model::{AppId, TimestampMs};
use taghouse_rules::{ANONYMOUS_ID, Definitions, USER_ID};

/// Of records that wait to land.
pub(crate) struct Linker {
    definitions: Arc<Definitions>,
    identities: Arc<AppIdentities>,
    /// Hashes of the ids of known users of whom there are rows.
    seen: HashSet<u64>,
    events: Vec<LinkEvent>,
}

/// Why a record's ids are linked by no rule.
const NO_RULES: &str = "the app links no ids: add `identities: {}` to its definition";

impl Linker {
    pub(crate) fn new(definitions: &Arc<Definitions>, identities: Arc<AppIdentities>) -> Self {
        let definitions = definitions.clone();
        Self { definitions, identities, seen: HashSet::new(), events: Vec::new() }
    }

    /// Follows the record at `position` of the log; `pushed` is what became of it.
    pub(crate) fn follow(
        &mut self,
        position: u64,
        record: &LogRecord,
        pushed: Pushed,
        rows: &mut LiveRows,
    ) {
        match &record.body {
            RecordBody::Event { user_id, .. } | RecordBody::Traits { user_id, .. } => {
                if pushed == Pushed::Nothing || self.definitions.app.identities.is_none() {
                    return;
                }
                self.claims(position, record, user_id, &record.other_ids, rows);
                if pushed == Pushed::Rows && !record.anonymous {
                    self.seen.insert(Identities::hash(user_id));
                }
            }
            RecordBody::Linked { id, id_type, user_id } => {
                let (id, id_type) = (id.clone(), Some(id_type.clone()));
                let claims = [OtherId { id, id_type, merges: true }];
                self.claims(position, record, user_id, &claims, rows);
            }
            RecordBody::Unlinked { id } => self.unlink(position, id, record.received_at_ms),
            _ => {}
        }
    }

    fn claims(
        &mut self,
        position: u64,
        record: &LogRecord,
        user: &str,
        claims: &[OtherId],
        rows: &mut LiveRows,
    ) {
        let definitions = self.definitions.clone();
        let Some(rules) = &definitions.app.identities else {
            claims.iter().for_each(|other| rows.refuse_link(position, record, &other.id, NO_RULES));
            return;
        };
        let priority = |other: &&OtherId| {
            let id_type = other.id_type.as_deref().and_then(|name| rules.id_type(name));
            id_type.map_or(u32::MAX, |id_type| id_type.priority)
        };
        let mut claims: Vec<&OtherId> = claims.iter().collect();
        claims.sort_by_key(priority);
        for OtherId { id, id_type, merges } in claims {
            let seen = |id: &str| self.seen.contains(&Identities::hash(id));
            let id_type = id_type.as_deref().unwrap_or_else(|| {
                if self.identities.is_known(id) || seen(id) { USER_ID } else { ANONYMOUS_ID }
            });
            let claim = Claim { id, id_type, user, merges: *merges };
            match self.identities.decide(rules, &claim, position, seen) {
                Verdict::Linked(user) => self.events.push(LinkEvent {
                    position,
                    id: id.clone(),
                    id_type: id_type.to_owned(),
                    user: user.to_string(),
                    links: true,
                    at_ms: record.received_at_ms,
                    message_id: record.message_id.clone(),
                }),
                Verdict::Same => {}
                Verdict::Refused(why) => rows.refuse_link(position, record, id, &why),
            }
        }
    }

    fn unlink(&mut self, position: u64, id: &str, at_ms: TimestampMs) {
        if let Some((user, id_type)) = self.identities.unlink(id, position) {
            self.events.push(LinkEvent {
                position,
                id: id.to_owned(),
                id_type: id_type.to_string(),
                user: user.to_string(),
                links: false,
                at_ms,
                message_id: String::new(),
            });
        }
    }

    /// The user is deleted: the ids that belonged to them, and are nobody's from now on.
    pub(crate) fn dissolve(
        &mut self,
        position: u64,
        user: &str,
        at_ms: TimestampMs,
    ) -> Vec<String> {
        self.unlink(position, user, at_ms);
        let ids: Vec<String> =
            self.identities.ids(user).into_iter().map(|linked| linked.id.to_string()).collect();
        ids.iter().for_each(|id| self.unlink(position, id, at_ms));
        ids
    }

    /// The links since this was last called.
    pub(crate) fn finish(&mut self) -> Vec<LinkEvent> {
        std::mem::take(&mut self.events)
    }

    /// Who became known by the records.
    pub(crate) fn into_seen(self) -> impl Iterator<Item = u64> {
        self.seen.into_iter()
    }
}

/// The table of identities with the data files of these links; it is made when there is the first.
pub(crate) async fn link_files(
    lake: &Lake,
    app: &AppId,
    links: &[LinkEvent],
) -> Result<Option<(Table, Vec<DataFile>)>> {
    if links.is_empty() {
        return Ok(None);
    }
    let table = lake.ensure(app, &layout::identities()).await?;
    let mut writer = table.writer();
    writer.write(rows_of(links)?).await?;
    let files = writer.close().await?;
    Ok(Some((table, files)))
}
