//! The membership history: who entered or left a crowd, in the table `crowd_changes` of the lake.
//!
//! Of live crowds it is what the change feed says; of the others, the difference between a version that
//! answers and the one that answered before. One pointer of the catalog says how far both have come, and moves in the commit that
//! brings the rows: each stands there once, whatever is killed.

use crate::membership_rows::{Happened, MembershipRows};
use crate::{Engine, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use taghouse_catalog::{Change as CatalogChange, Pointer};
use taghouse_crowd::CrowdMembers;
use taghouse_disk::blocking;
use taghouse_feed::{Change, Start};
use taghouse_lake::layout;
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_rules::Definitions;

const KIND: &str = "membership";
const NAME: &str = "landed";
/// As the feed knows who holds it.
const HOLDER: &str = "membership";

/// Rows of one commit, about.
const ROWS_AT_ONCE: usize = 500_000;

/// A feed without anything about crowds is read again from here on, if it has gone so much further.
const PASSED_RECORDS: u64 = 100_000;

/// How far the table has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Landed {
    /// The last record of the change feed that was looked at.
    feed_id: u64,
    /// The last turn of each crowd's versions.
    #[serde(default)]
    versions: BTreeMap<Name, u64>,
}

impl Engine {
    /// Lands what is new of every app's membership history. What fails is logged, and tried again.
    ///
    /// # Errors
    /// The list of apps cannot be read.
    pub async fn land_memberships(&self) -> Result<()> {
        for app in self.catalog.apps().await? {
            if let Err(error) = self.land_membership(&app).await {
                tracing::error!(%app, %error, "the membership history could not be written; it is tried again");
            }
        }
        Ok(())
    }

    /// Lands what is new of an app's membership history; how many rows.
    ///
    /// # Errors
    /// Of the definitions, the feed, the crowds, the lake and the catalog. Nothing has landed then.
    pub(crate) async fn land_membership(&self, app: &AppId) -> Result<u64> {
        let definitions = self.definitions(app).await?;
        if definitions.crowds.is_empty() {
            return Ok(0);
        }
        let _turn = self.memory.membership.lock().await;
        let mut count = 0;
        loop {
            let pointer = self.catalog.pointer(KIND, app, NAME).await?;
            let before = landed(pointer.as_ref());
            let mut rows = MembershipRows::default();
            let mut now = before.clone();
            self.read_feed(app, &definitions, &mut now, &mut rows).await?;
            self.read_versions(app, &definitions, &mut now, &mut rows).await?;
            let passed = now.feed_id.saturating_sub(before.feed_id) >= PASSED_RECORDS;
            let is_more = rows.len() >= ROWS_AT_ONCE;
            if rows.len() == 0 && now.versions == before.versions && !passed {
                return Ok(count);
            }
            count += rows.len() as u64;
            let feed_id = now.feed_id;
            self.land_rows(app, pointer, now, rows).await?;
            if definitions.crowds.values().any(|crowd| crowd.is_live) {
                self.feeds.hold(app, HOLDER, feed_id).await?;
            } else {
                self.feeds.release(app, HOLDER).await?;
            }
            if !is_more {
                return Ok(count);
            }
        }
    }

    async fn read_feed(
        &self,
        app: &AppId,
        definitions: &Definitions,
        landed: &mut Landed,
        rows: &mut MembershipRows,
    ) -> Result<()> {
        let is_live = definitions.crowds.values().any(|crowd| crowd.is_live);
        let extent = self.feeds.extent(app).await?;
        if extent.end <= landed.feed_id || !(is_live || landed.feed_id > 0) {
            return Ok(());
        }
        let mut reader = match self.feeds.reader(app, Start::After(landed.feed_id)).await {
            Ok(reader) => reader,
            Err(error @ taghouse_feed::Error::Gone { .. }) => {
                if landed.feed_id > 0 {
                    tracing::error!(%app, %error, "the membership history has a gap");
                }
                self.feeds.reader(app, Start::Earliest).await?
            }
            Err(error) => return Err(error.into()),
        };
        while rows.len() < ROWS_AT_ONCE {
            let records = reader.read().await?;
            let Some(last) = records.last() else { break };
            landed.feed_id = last.id;
            for record in records {
                let (time_ms, feed_id) = (record.at_ms, Some(record.id));
                let happened = |user, crowd, version, event| Happened {
                    user,
                    crowd,
                    version,
                    event,
                    time_ms,
                    feed_id,
                };
                match &record.change {
                    Change::Entered { user, crowd, version } => {
                        rows.push(&happened(Some(user), Some(crowd), Some(*version), "enter"));
                    }
                    Change::Exited { user, crowd, version } => {
                        rows.push(&happened(Some(user), Some(crowd), Some(*version), "exit"));
                    }
                    Change::UserDeleted { user } => {
                        rows.push(&happened(Some(user), None, None, "delete"));
                    }
                    Change::CrowdPublished { crowd, version } => {
                        rows.push(&happened(None, Some(crowd), Some(*version), "restart"));
                        // Those who left since exit behind it.
                        let now = self.crowds.members(app, crowd.as_str(), None).await?;
                        add(rows, now, crowd, Some(*version), "enter", time_ms).await?;
                    }
                    Change::Tag { .. } | Change::TagPublished { .. } => {}
                }
            }
        }
        Ok(())
    }

    async fn read_versions(
        &self,
        app: &AppId,
        definitions: &Definitions,
        landed: &mut Landed,
        rows: &mut MembershipRows,
    ) -> Result<()> {
        landed.versions.retain(|crowd, _| definitions.crowds.contains_key(crowd));
        for crowd in definitions.crowds.values().filter(|crowd| !crowd.is_live) {
            let name = crowd.name.as_str();
            let versions = match self.crowds.versions(app, name).await {
                Ok(versions) => versions,
                Err(taghouse_crowd::Error::NotComputed { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let last = landed.versions.get(&crowd.name).copied();
            let turns = versions.turns();
            let last_version =
                turns.iter().find(|turn| Some(turn.turn) == last).map(|turn| turn.version);
            let mut before = match last_version {
                Some(version) => self.crowds.members(app, name, Some(version)).await.ok(),
                None => None,
            };
            for turn in turns {
                if last.is_some_and(|last| turn.turn <= last) {
                    continue;
                }
                if rows.len() >= ROWS_AT_ONCE {
                    break;
                }
                // One that is not kept any more was passed over: what follows begins again.
                if versions.get(turn.version).is_none() {
                    before = None;
                    continue;
                }
                let Some(now) = self.readable(app, name, turn.version).await? else {
                    before = None;
                    continue;
                };
                let (number, time_ms) = (Some(turn.version), turn.at_ms);
                let left = before.as_ref().and_then(|before| before.without(&now));
                let new = before.as_ref().and_then(|before| now.without(before));
                let is_first = !landed.versions.contains_key(&crowd.name);
                if !is_first && (left.is_none() || new.is_none()) {
                    let crowd = Some(&crowd.name);
                    let event = "restart";
                    let restart = Happened {
                        user: None,
                        crowd,
                        version: number,
                        event,
                        time_ms,
                        feed_id: None,
                    };
                    rows.push(&restart);
                }
                if let Some(left) = left {
                    add(rows, left, &crowd.name, number, "exit", time_ms).await?;
                }
                let new = new.unwrap_or_else(|| now.clone());
                add(rows, new, &crowd.name, number, "enter", time_ms).await?;
                landed.versions.insert(crowd.name.clone(), turn.turn);
                before = Some(now);
            }
        }
        Ok(())
    }

    /// The members of a kept version; `None`: it is damaged, and lost.
    async fn readable(
        &self,
        app: &AppId,
        crowd: &str,
        version: u64,
    ) -> Result<Option<CrowdMembers>> {
        match self.crowds.members(app, crowd, Some(version)).await {
            Err(taghouse_crowd::Error::Corrupt { .. }) => Ok(None),
            members => Ok(Some(members?)),
        }
    }

    async fn land_rows(
        &self,
        app: &AppId,
        before: Option<Pointer>,
        landed: Landed,
        rows: MembershipRows,
    ) -> Result<()> {
        let table = self.lake.ensure(app, &layout::crowd_changes()).await?;
        let mut writer = table.writer();
        for batch in rows.finish()? {
            writer.write(batch).await?;
        }
        let files = writer.close().await?;
        let mut commit = self.lake.begin(app);
        if !files.is_empty() {
            commit.append(&table, files);
        }
        let value = serde_json::to_value(&landed)
            .map_err(|error| Error::LandingBrokeOff(error.to_string()))?;
        commit.also(CatalogChange::PutPointer {
            kind: KIND.to_owned(),
            app: app.clone(),
            name: NAME.to_owned(),
            expected: before.map(|pointer| pointer.revision),
            value,
        });
        commit.commit().await?;
        Ok(())
    }
}

fn landed(pointer: Option<&Pointer>) -> Landed {
    pointer
        .and_then(|pointer| serde_json::from_value(pointer.value.clone()).ok())
        .unwrap_or_default()
}

/// Adds a row for each of the members.
async fn add(
    rows: &mut MembershipRows,
    members: CrowdMembers,
    crowd: &Name,
    version: Option<u64>,
    event: &'static str,
    time_ms: TimestampMs,
) -> Result<()> {
    let mut from = 0;
    loop {
        let some = members.clone();
        let Some(piece) = blocking(move || some.ids_from(from).map_err(Error::from)).await? else {
            return Ok(());
        };
        for user in &piece.ids {
            let (user, crowd) = (Some(user.as_str()), Some(crowd));
            rows.push(&Happened { user, crowd, version, event, time_ms, feed_id: None });
        }
        let Some(next) = piece.next else { return Ok(()) };
        from = next;
    }
}
