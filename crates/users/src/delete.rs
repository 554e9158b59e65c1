use crate::users::off_thread;
use crate::{Error, MAX_DELETED, Result, Users};
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_crowd::Forgotten;
use taghouse_model::{AppId, Name, Ordinal, TimestampMs, Value};

/// What a deletion touched.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// When.
    pub deleted_ms: TimestampMs,
    /// The ids that the dictionary held and holds no more, in the order given.
    pub users: Vec<String>,
    /// Ids of the call that it did not hold.
    pub unknown: Vec<String>,
    /// The values that were taken away, by tag and user.
    pub tags: Vec<ReceiptTag>,
    /// The crowd versions that held one of the users; their objects were written anew without them.
    pub crowds: Vec<Forgotten>,
    /// The position of the deletion in the app's log of changes. The index's files hold nothing of the users once a fold has passed it.
    pub position: u64,
}

/// A value that was taken away.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiptTag {
    /// Whose.
    pub user: String,
    /// The tag.
    pub tag: Name,
    /// What it said.
    pub value: Value,
}

impl Users {
    /// Deletes users. When this returns no question, profile, judgment, export or look-up shows them, whatever happens to the process; their
    /// values leave the index's files at the next fold. An id that comes back later is another user.
    ///
    /// The lake is not touched: as long as it holds events of the id, the next production finds a user of that id again.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] when none of them is known; [`Error::Limit`] over [`MAX_DELETED`]; of the index, the crowds and the dictionary. After
    /// an error call it again: what was done stays done, and what is left is still known.
    pub async fn delete(&self, app: &AppId, ids: &[String]) -> Result<Receipt> {
        if ids.len() > MAX_DELETED {
            return Err(Error::Limit { what: "users", given: ids.len(), limit: MAX_DELETED });
        }
        let lock = self.lock(app);
        // Alone: a change that has an ordinal already must not write it after the deletion.
        let _deleting = lock.write().await;
        let found = self.found(app, ids).await?;
        let ordinals: Vec<Ordinal> = found.values().copied().collect();
        if ordinals.is_empty() {
            return Err(Error::UnknownUser { user: ids.first().cloned().unwrap_or_default(), app: app.clone() });
        }
        let generation = self.dictionary.generation(app);
        let hold = self.crowds.hold().await;
        let deleted = self.index.delete_users(app, generation, &ordinals).await?;
        let gone: Arc<Bitmap> = Arc::new(ordinals.iter().copied().collect());
        let crowds = self.crowds.forget_users(&hold, app, generation, &gone).await?;
        drop(hold);
        // Last: as long as the dictionary knows the users, the call can be made again.
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        off_thread(move || Ok(dictionary.delete(&owner, &ordinals)?)).await?;
        let id_of: HashMap<Ordinal, &String> = found.iter().map(|(id, ordinal)| (*ordinal, id)).collect();
        let tag = |(tag, ordinal, value): (Name, Ordinal, Value)| {
            let user = id_of.get(&ordinal).map(|id| (*id).clone()).unwrap_or_default();
            ReceiptTag { user, tag, value }
        };
        let (users, unknown) = ids.iter().cloned().partition(|id| found.contains_key(id));
        let tags = deleted.values.into_iter().map(tag).collect();
        Ok(Receipt { deleted_ms: self.clock.now_ms(), users, unknown, tags, crowds, position: deleted.position })
    }

    async fn found(&self, app: &AppId, ids: &[String]) -> Result<HashMap<String, Ordinal>> {
        let (dictionary, app, ids) = (self.dictionary.clone(), app.clone(), ids.to_vec());
        off_thread(move || {
            let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
            let ordinals = dictionary.lookup(&app, &texts)?;
            Ok(ids.iter().cloned().zip(ordinals).filter_map(|(id, ordinal)| Some((id, ordinal?))).collect())
        })
        .await
    }
}
