//! The members of live crowds on disk: one object with all sets, and one pointer of the catalog at it.

use crate::members::{CrowdSet, Members};
use crate::store::remove;
use crate::stream::Stream;
use crate::{Error, Result};
use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use taghouse_catalog::{Change as CatalogChange, Pointer};
use taghouse_feed::{Change, Record, Start};
use taghouse_index::Bitmap;
use taghouse_model::{AppId, Name};

const KIND: &str = "stream";
const NAME: &str = "members";

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    generation: u64,
    /// The feed's last record that the sets are of.
    feed_id: u64,
    object: String,
    /// Who is in the crowds now is still to be told.
    #[serde(default)]
    untold: bool,
    crowds: Vec<SavedCrowd>,
    /// Behind the sets: the deletions that were told of, as JSON, so many bytes.
    #[serde(default)]
    deleted_bytes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedCrowd {
    name: Name,
    expression: String,
    version: u64,
    /// Of the object.
    bytes: usize,
}

/// What the feed says last.
#[derive(Default)]
struct Told {
    /// Who entered or left, by crowd and user.
    moved: BTreeMap<(Name, String), bool>,
    /// Who was deleted, and the log position of that.
    deleted: BTreeMap<String, u64>,
    /// A crowd whose members are to be read again.
    published: Option<Name>,
}

/// What the object of the members holds.
struct Content {
    sets: Bytes,
    deleted: BTreeMap<String, u64>,
}

impl Stream {
    /// The members as the feed was told last.
    ///
    /// # Errors
    /// Of the catalog and the users.
    pub(crate) async fn open_members(&self, app: &AppId) -> Result<Members> {
        let Some(pointer) = self.parts.catalog.pointer(KIND, app, NAME).await? else {
            return Ok(Members::default());
        };
        let unknown = || Members { known: false, ..Members::default() };
        let Ok(saved) = serde_json::from_value::<Saved>(pointer.value) else {
            return Ok(unknown());
        };
        self.parts.feeds.begin_behind(app, saved.feed_id).await?;
        let content = self.read_content(&saved).await;
        let told = self.told_since(app, saved.feed_id).await?;
        let mut deleted = match &content {
            Ok(content) => content.deleted.clone(),
            Err(_) => BTreeMap::new(),
        };
        deleted.extend(told.deleted.clone());
        let read = match content {
            Ok(content) => self.read_members(app, &saved, content.sets, told).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(members) => Ok(Members { told_deleted: deleted, ..members }),
            Err(error) => {
                tracing::warn!(%app, %error, "the members of live crowds are computed again");
                let empty = |crowd: &SavedCrowd| CrowdSet {
                    expression: String::new(),
                    version: crowd.version,
                    users: Bitmap::new(),
                };
                let crowds = saved.crowds.iter().map(|crowd| (crowd.name.clone(), empty(crowd)));
                Ok(Members { crowds: crowds.collect(), told_deleted: deleted, ..unknown() })
            }
        }
    }

    async fn read_content(&self, saved: &Saved) -> Result<Content> {
        let failed = |e: object_store::Error| Error::Store {
            object: saved.object.clone(),
            detail: e.to_string(),
        };
        let path = ObjectPath::from(saved.object.as_str());
        let object = self.parts.objects.get(&path).await.map_err(failed)?;
        let mut sets: Bytes = object.bytes().await.map_err(failed)?;
        let damaged = || Error::damaged(saved.object.as_str());
        let end = sets.len().checked_sub(saved.deleted_bytes).ok_or_else(damaged)?;
        let deleted = match sets.split_off(end) {
            none if none.is_empty() => BTreeMap::new(),
            json => serde_json::from_slice(&json).map_err(|_| damaged())?,
        };
        Ok(Content { sets, deleted })
    }

    async fn read_members(
        &self,
        app: &AppId,
        saved: &Saved,
        mut content: Bytes,
        told: Told,
    ) -> Result<Members> {
        if let Some(crowd) = told.published {
            return Err(Error::damaged(format!("nobody was told who is in {crowd}")));
        }
        let users = self.parts.users.share(app).await;
        // Before its first user an app has no generation.
        if users.generation() != saved.generation && saved.generation > 0 {
            return Err(Error::Renumbered);
        }
        let (generation, untold) = (users.generation(), saved.untold);
        let mut members = Members { generation, untold, ..Members::default() };
        for crowd in &saved.crowds {
            if crowd.bytes > content.len() {
                return Err(Error::damaged(saved.object.as_str()));
            }
            let set = Bitmap::from_bytes(content.split_to(crowd.bytes))
                .map_err(|e| Error::damaged(e.to_string()))?;
            let (expression, version) = (crowd.expression.clone(), crowd.version);
            members.crowds.insert(crowd.name.clone(), CrowdSet { expression, version, users: set });
        }
        for ((crowd, user), entered) in told.moved {
            let Some(set) = members.crowds.get_mut(&crowd) else { continue };
            let Some(ordinal) = users.ordinal(&user).await? else { continue };
            if entered {
                set.users.insert(ordinal);
            } else {
                set.users.remove(ordinal);
            }
            members.changed = true;
        }
        members.erase(&*users.deleted().await?);
        Ok(members)
    }

    async fn told_since(&self, app: &AppId, id: u64) -> Result<Told> {
        let mut reader = self.parts.feeds.reader(app, Start::After(id)).await?;
        let mut told = Told::default();
        loop {
            let records = reader.read().await?;
            if records.is_empty() {
                return Ok(told);
            }
            for Record { change, position, .. } in records {
                match change {
                    Change::Entered { user, crowd, .. } => {
                        told.moved.insert((crowd, user.to_string()), true);
                    }
                    Change::Exited { user, crowd, .. } => {
                        told.moved.insert((crowd, user.to_string()), false);
                    }
                    // What a user of this id does after that is another user's.
                    Change::UserDeleted { user } => {
                        told.moved.retain(|(_, id), _| **id != *user);
                        told.deleted.insert(user.to_string(), position);
                    }
                    Change::CrowdPublished { crowd, .. } => {
                        told.published = Some(crowd);
                    }
                    Change::Tag { .. } | Change::TagPublished { .. } => {}
                }
            }
        }
    }

    /// Saves the members, if they are others than the last time. All that was told is on disk.
    ///
    /// # Errors
    /// Of the object store and the catalog; what was saved before stands then.
    pub(crate) async fn save_members(&self, app: &AppId, members: &mut Members) -> Result<()> {
        // Those that the feed does not know are not worth it.
        if !members.changed || !members.known {
            return Ok(());
        }
        let before = self.parts.catalog.pointer(KIND, app, NAME).await?;
        let feed_id = self.parts.feeds.extent(app).await?.end;
        let now_ms = self.parts.clock.now_ms();
        let stage = if members.untold { "untold" } else { "told" };
        let object = format!("crowd_members/{app}/{feed_id:020}-{now_ms}-{stage}");
        let (mut content, mut crowds) = (Vec::new(), Vec::new());
        for (name, CrowdSet { expression, version, users }) in &members.crowds {
            let set = users.to_bytes().map_err(|e| Error::damaged(e.to_string()))?;
            let (name, expression) = (name.clone(), expression.clone());
            crowds.push(SavedCrowd { name, expression, version: *version, bytes: set.len() });
            content.extend(set);
        }
        let deleted =
            serde_json::to_vec(&members.told_deleted).map_err(|e| Error::Task(e.to_string()))?;
        let deleted_bytes = deleted.len();
        content.extend(deleted);
        let failed =
            |e: object_store::Error| Error::Store { object: object.clone(), detail: e.to_string() };
        let path = ObjectPath::from(object.as_str());
        self.parts.objects.put(&path, PutPayload::from(content)).await.map_err(failed)?;
        let (generation, untold) = (members.generation, members.untold);
        let saved =
            Saved { generation, feed_id, object: object.clone(), untold, crowds, deleted_bytes };
        let value = serde_json::to_value(&saved).map_err(|e| Error::Task(e.to_string()))?;
        let expected = before.as_ref().map(|pointer| pointer.revision);
        let (kind, name) = (KIND.to_owned(), NAME.to_owned());
        let put = CatalogChange::PutPointer { kind, app: app.clone(), name, expected, value };
        self.parts.catalog.commit(vec![put]).await?;
        members.changed = false;
        if let Some(former) = object_of(before).filter(|former| *former != object) {
            remove(&self.parts.objects, &former).await;
        }
        Ok(())
    }

    /// Forgets who was in the crowds: there are none any more.
    ///
    /// # Errors
    /// Of the catalog.
    pub(crate) async fn forget_members(&self, app: &AppId) -> Result<()> {
        let Some(pointer) = self.parts.catalog.pointer(KIND, app, NAME).await? else {
            return Ok(());
        };
        let (kind, name, expected) = (KIND.to_owned(), NAME.to_owned(), pointer.revision);
        let gone = CatalogChange::DeletePointer { kind, app: app.clone(), name, expected };
        self.parts.catalog.commit(vec![gone]).await?;
        if let Some(object) = object_of(Some(pointer)) {
            remove(&self.parts.objects, &object).await;
        }
        Ok(())
    }
}

fn object_of(pointer: Option<Pointer>) -> Option<String> {
    let saved: Saved = serde_json::from_value(pointer?.value).ok()?;
    Some(saved.object)
}
