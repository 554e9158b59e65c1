use crate::{Error, MAX_DELETED, Result, Users};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use taghouse_dictionary::Dictionary;
use taghouse_disk::blocking;
use taghouse_index::Deletions;
use taghouse_model::{AppId, Name, Ordinal, TimestampMs, Value, check_user_id};

/// Users looked up at a time when interrupted deletions are finished.
const FINISHED_AT_ONCE: usize = 100_000;

/// A user whose id was given.
struct Named {
    given: String,
    /// All ids of the user.
    ids: Vec<String>,
}

/// What a deletion removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The time, in milliseconds since 1970.
    pub deleted_ms: TimestampMs,
    /// The ids that were in the dictionary and were removed, in the order given.
    pub users: Vec<String>,
    /// Ids of the call that were not in the dictionary. Their deletion is remembered all the same,
    /// so that events from before it create no users.
    pub unknown: Vec<String>,
    /// The values that were removed, by tag and user.
    pub tags: Vec<ReceiptTag>,
    /// The position of the deletion in the app's log of changes. The index's files contain nothing
    /// of the users once a flush has passed it. `None`: they contained nothing before.
    pub position: Option<u64>,
    /// The position of the deletion in the app's log of calls; `None` where it was noted before.
    pub log_position: Option<u64>,
}

/// A value that was removed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiptTag {
    /// Id of the user whose value it was.
    pub user: String,
    /// Name of the tag.
    pub tag: Name,
    /// The value.
    pub value: Value,
}

impl Users {
    /// Deletes users. On return, no query, profile, judgment, export, size or lookup shows them,
    /// even after a crash; their values leave the index's files at the
    /// next flush, and they leave the files of the crowds and the dictionary with the next
    /// [`Users::tidy`]: it costs the same however many crowds there are. An id that comes back
    /// later is another user. Any id of a user names the user, who goes with all of them.
    ///
    /// Once begun it runs to its end, even if the caller is dropped.
    ///
    /// Events and attributes in the lake are not touched. A production creates a user of
    /// that id again once there is an event or a value that happened, and arrived, after the
    /// deletion. This is also true for ids that no production has seen yet.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] when none of them is known, and without a log that remembers;
    /// [`Error::UserId`] for what is not a user id; [`Error::Limit`] over [`MAX_DELETED`]; of
    /// the index and the dictionary. After an error call it again: what was done stays done,
    /// and what is left is still known.
    pub async fn delete(self: &Arc<Self>, app: &AppId, ids: &[String]) -> Result<Receipt> {
        if ids.len() > MAX_DELETED {
            return Err(Error::Limit { what: "users", given: ids.len(), limit: MAX_DELETED });
        }
        let (users, app, ids) = (self.clone(), app.clone(), ids.to_vec());
        tokio::spawn(async move { users.deleted(&app, &ids).await })
            .await
            .map_err(taghouse_disk::TaskFailed::from)?
    }

    async fn deleted(&self, app: &AppId, ids: &[String]) -> Result<Receipt> {
        self.delete_found(app, ids, true).await
    }

    /// Deletes the users whose deletion is logged already.
    pub(crate) async fn delete_noted(&self, app: &AppId, ids: Vec<String>) -> Result<Receipt> {
        self.delete_found(app, &ids, false).await
    }

    async fn delete_found(&self, app: &AppId, ids: &[String], note: bool) -> Result<Receipt> {
        let remembers = note && self.log.is_some();
        for id in ids {
            check_user_id(id).map_err(|error| Error::UserId(error.to_string()))?;
        }
        let lock = self.lock(app);
        // Alone: a change that has an ordinal already must not write it after the deletion.
        let _deleting = lock.write().await;
        let named = self.named(app, ids, note).await?;
        let all: BTreeSet<String> = named.iter().flat_map(|named| named.ids.clone()).collect();
        let all: Vec<String> = all.into_iter().collect();
        if remembers {
            self.dictionary.note_deleted(app, &all);
        }
        let found = self.found(app, &all).await?;
        let ordinals: Vec<Ordinal> = found.values().copied().collect();
        if ordinals.is_empty() && !remembers {
            return Err(Error::UnknownUser {
                user: ids.first().cloned().unwrap_or_default(),
                app: app.clone(),
            });
        }
        let generation = self.dictionary.generation(app);
        let deleted_ms = self.clock.now_ms();
        // First, so that no production finds them again: who is noted is deleted, by this, or at
        // the next start (`Users::make_noted`).
        let log_position = match remembers {
            true => self.note_deleted(app, deleted_ms, all.clone().into_iter(), false).await?,
            false => None,
        };
        if ordinals.is_empty() {
            return Ok(Receipt {
                deleted_ms,
                users: Vec::new(),
                unknown: ids.to_vec(),
                tags: Vec::new(),
                position: None,
                log_position,
            });
        }
        // From here on every version of every crowd answers without them: readers subtract whom the
        // index's log has as deleted.
        let deleted = self.index.delete_users(app, generation, &ordinals).await?;
        // Last: as long as the dictionary knows the users, the call can be made again.
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        blocking::<_, Error>(move || Ok(dictionary.delete(&owner, &ordinals)?)).await?;
        let id_of: HashMap<Ordinal, &String> =
            found.iter().map(|(id, ordinal)| (*ordinal, id)).collect();
        let tag = |(tag, ordinal, value): (Name, Ordinal, Value)| {
            let user = id_of.get(&ordinal).map(|id| (*id).clone()).unwrap_or_default();
            ReceiptTag { user, tag, value }
        };
        let is_found = |named: &Named| named.ids.iter().any(|id| found.contains_key(id));
        let (users, unknown): (Vec<Named>, Vec<Named>) = named.into_iter().partition(is_found);
        let given = |named: Vec<Named>| named.into_iter().map(|named| named.given).collect();
        let (users, unknown) = (given(users), given(unknown));
        let tags = deleted.values.into_iter().map(tag).collect();
        let position = Some(deleted.position);
        Ok(Receipt { deleted_ms, users, unknown, tags, position, log_position })
    }

    /// Removes from the dictionary the users that the index's log has as deleted: a deletion may
    /// have been interrupted between the two.
    pub(crate) async fn finish_deletions(&self, app: &AppId) -> Result<()> {
        let Some(deletions) = self.index.deletions(app).await? else { return Ok(()) };
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        blocking(move || {
            let all: Vec<Ordinal> = deletions.now().users().iter().collect();
            for ordinals in all.chunks(FINISHED_AT_ONCE) {
                let deleted = deleted_of(&dictionary, &owner, &deletions, ordinals);
                dictionary.delete(&owner, &deleted)?;
            }
            Ok(())
        })
        .await
    }

    /// The users of these ids, each with all of theirs; unless they are to be resolved, with the id
    /// alone.
    async fn named(&self, app: &AppId, ids: &[String], resolve: bool) -> Result<Vec<Named>> {
        let identities = match &self.identities {
            Some(identities) if resolve => Some(identities.of(app).await?),
            _ => None,
        };
        let named = |given: &String| {
            let mut ids = vec![given.clone()];
            if let Some(identities) = &identities {
                let user = identities.user_of(given).into_owned();
                ids.extend(identities.ids(&user).iter().map(|linked| linked.id.to_string()));
                ids.push(user);
            }
            Named { given: given.clone(), ids }
        };
        Ok(ids.iter().map(named).collect())
    }

    async fn found(&self, app: &AppId, ids: &[String]) -> Result<HashMap<String, Ordinal>> {
        let (dictionary, app, ids) = (self.dictionary.clone(), app.clone(), ids.to_vec());
        blocking(move || {
            let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
            let ordinals = dictionary.lookup(&app, &texts)?;
            Ok(ids
                .iter()
                .cloned()
                .zip(ordinals)
                .filter_map(|(id, ordinal)| Some((id, ordinal?)))
                .collect())
        })
        .await
    }
}

/// The ordinals whose users the index's log has as deleted.
pub(crate) fn deleted_of(
    dictionary: &Dictionary,
    app: &AppId,
    deletions: &Deletions,
    ordinals: &[Ordinal],
) -> Vec<Ordinal> {
    let deleted = deletions.now();
    if deleted.users().is_empty() || deleted.generation() != dictionary.generation(app) {
        return Vec::new();
    }
    ordinals.iter().copied().filter(|ordinal| deleted.users().contains(*ordinal)).collect()
}
