//! Rewrites kept versions without the users who were deleted, in the background.

use crate::compute::{objects_of, put};
use crate::crowds::POINTER_KIND;
use crate::known::{AppCrowds, versions_of};
use crate::rewrite::{Edit, Edited, Rewritten};
use crate::version::{folder, version_of};
use crate::{CrowdVersions, Crowds, Result};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use std::collections::HashSet;
use std::sync::Arc;
use taghouse_catalog::Pointer;
use taghouse_index::Deleted;
use taghouse_model::AppId;

impl Crowds {
    /// Rewrites the kept versions that contain deleted users, without them. Deletes the old
    /// objects, also those that a stopped process left. Returns how many versions it wrote.
    /// Readers see no difference: they subtract the deleted users.
    ///
    /// # Errors
    /// Of the catalog and the store; [`Error::Corrupt`](crate::Error::Corrupt). Crowds done before
    /// the error stay done: call it again.
    pub async fn clean(&self, app: &AppId) -> Result<usize> {
        let state = self.asked(app).await?;
        // While the users are renumbered there is nothing to clean: the new versions contain no
        // deleted user.
        let Ok(_computing) = state.computing.try_read() else { return Ok(0) };
        let _cleaning = state.cleaning.lock().await;
        let Some(deleted) =
            state.deletions.get().and_then(Option::as_ref).map(|deletions| deletions.now())
        else {
            return Ok(0);
        };
        // What stopped processes left is looked for once, whoever is deleted.
        if deleted.users().is_empty() && state.is_swept() {
            return Ok(0);
        }
        let (mut written, mut failed) = (0, None);
        for (crowd, pointer) in self.catalog.pointers(POINTER_KIND, app).await? {
            // An error of one crowd does not stop the others.
            match self.clean_crowd(app, &state, &crowd, pointer, &deleted).await {
                Ok(of_crowd) => written += of_crowd,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        state.swept();
        Ok(written)
    }

    async fn clean_crowd(
        &self,
        app: &AppId,
        state: &AppCrowds,
        crowd: &str,
        pointer: Pointer,
        deleted: &Deleted,
    ) -> Result<usize> {
        let revision = pointer.revision;
        let versions = versions_of(crowd, pointer.value)?;
        let generation = deleted.generation();
        let count = deleted.users().len();
        if versions
            .versions
            .iter()
            .all(|version| version.generation != generation || version.without_deleted == count)
        {
            if !state.is_swept() {
                self.sweep_unnamed(app, crowd, &versions).await;
            }
            return Ok(0);
        }
        let users = deleted.users().clone();
        let edit: Edit =
            Arc::new(move |set| (set.and_len(&users) > 0).then(|| set.and_not(&users)));
        let Rewritten { mut versions, edited, damaged } =
            self.rewrite(app, crowd, versions, generation, &edit).await?;
        for version in
            versions.versions.iter_mut().filter(|version| version.generation == generation)
        {
            if damaged.contains(&version.version) {
                continue;
            }
            version.without_deleted = count;
        }
        match self.catalog.commit(vec![put(app, crowd, Some(revision), &versions)?]).await {
            Ok(()) => {
                self.published(app, crowd, Some(revision), versions.clone());
                self.sweep_unnamed(app, crowd, &versions).await;
                Ok(edited.len())
            }
            // A version was published meanwhile: the next call looks at it.
            Err(taghouse_catalog::Error::Conflict { .. }) => {
                for Edited { now, .. } in edited {
                    self.delete(&now).await;
                }
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the objects of versions up to the newest one that the crowd's record does not name.
    /// Whoever computes writes a later one, and nobody else writes while this is called.
    async fn sweep_unnamed(&self, app: &AppId, crowd: &str, versions: &CrowdVersions) {
        let named: HashSet<&str> = versions.versions.iter().flat_map(objects_of).collect();
        let folder = ObjectPath::from(folder(app, crowd));
        let unnamed = self.store.list(Some(&folder)).try_filter_map(|found| {
            let version = found.location.filename().and_then(version_of);
            let old = version.is_some_and(|version| version <= versions.last())
                && !named.contains(found.location.as_ref());
            std::future::ready(Ok(old.then_some(found.location)))
        });
        match unnamed.try_collect::<Vec<_>>().await {
            Ok(unnamed) => {
                for object in unnamed {
                    self.delete(object.as_ref()).await;
                }
            }
            Err(error) => {
                tracing::warn!(%app, crowd, %error, "old objects of a crowd stay in the store until it is computed again")
            }
        }
    }
}
