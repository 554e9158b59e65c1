use crate::crowds::POINTER_KIND;
use crate::loaded_set::LoadedSet;
use crate::version::{folder, object, version_of};
use crate::{CrowdVersion, CrowdVersions, Crowds, Error, Result, anonymous};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use std::sync::Arc;
use taghouse_catalog::Change;
use taghouse_disk::blocking;
use taghouse_model::AppId;
use taghouse_rules::{CrowdDefinition, Definitions};

/// How often a computation begins again because another one published first.
const ATTEMPTS: u32 = 5;
/// How many leftover objects of one version, by stopped processes, are skipped.
const MAX_LEFTOVERS: u32 = 100;

/// A result that is not published yet.
struct Computed {
    bytes: Bytes,
    version: CrowdVersion,
}

impl Crowds {
    /// Evaluates a crowd on the newest snapshot and publishes the result as its new current
    /// version. On return, every judgment, export and listing of this process uses it.
    ///
    /// # Errors
    /// [`Error::NoTags`]; [`Error::Index`] for a tag that the index does not hold, or holds with
    /// another type; [`Error::NotComputed`] or [`Error::UnknownCrowd`] for a crowd that it names;
    /// [`Error::Contended`]; of the index, the catalog and the store. Nothing is changed then.
    pub async fn compute(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
    ) -> Result<CrowdVersion> {
        let app = &definitions.app.id;
        let name = crowd.name.as_str();
        // From the snapshot to the publication the users are not renumbered. Deletions may happen:
        // readers subtract them.
        let state = self.state(app);
        let _computing = state.computing.read().await;
        for _ in 0..ATTEMPTS {
            let before = self.catalog.pointer(POINTER_KIND, app, name).await?;
            let revision = before.as_ref().map(|pointer| pointer.revision);
            // A record that cannot be read must not keep the crowd from being fixed: its numbers
            // start again above the revision.
            let versions = before
                .and_then(|pointer| serde_json::from_value::<CrowdVersions>(pointer.value).ok());
            let last = versions.as_ref().map_or(revision.unwrap_or(0), |v| v.current);
            let mut computed = self.computed(definitions, crowd, last + 1).await?;
            computed.version.object =
                self.write(app, name, last + 1, computed.bytes.clone()).await?;
            let next = match versions {
                Some(versions) => versions.with(computed.version.clone()),
                None => {
                    CrowdVersions { current: last + 1, versions: vec![computed.version.clone()] }
                }
            };
            match self.publish(app, name, revision, &next).await {
                Ok(()) => {
                    let Computed { bytes, version } = computed;
                    let (object, size, size_bytes) =
                        (version.object.clone(), version.size, bytes.len() as u64);
                    let set = blocking(move || LoadedSet::read(&object, bytes, size)).await?;
                    let known = state.get(name).and_then(|known| {
                        known.kept.iter().find(|kept| kept.version == version).cloned()
                    });
                    if let Some(known) = known {
                        self.loaded.insert(&known.slot, Arc::new(set), size_bytes);
                    }
                    self.sweep(app, name, &next).await;
                    return Ok(version);
                }
                Err(error) => {
                    // Not published, or not known to be: only in the first case is the object
                    // surely nobody's.
                    let lost =
                        matches!(error, Error::Catalog(taghouse_catalog::Error::Conflict { .. }));
                    if !lost {
                        return Err(error);
                    }
                    self.delete(&computed.version.object).await;
                }
            }
        }
        Err(Error::Contended { crowd: name.to_owned() })
    }

    async fn computed(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        version: u64,
    ) -> Result<Computed> {
        let app = &definitions.app.id;
        let snapshot = self.snapshot(app).await?;
        let others = self.others(app, &crowd.checked, snapshot.generation()).await?;
        let as_of = others.as_of(&crowd.checked, &snapshot);
        let expression = self.as_of(&crowd.checked, &as_of, definitions);
        let (revision, generation) = (snapshot.revision(), snapshot.generation());
        let without_deleted = snapshot.deleted();
        let (size, bytes) = blocking::<_, Error>(move || {
            let set = anonymous::query(&snapshot, &expression, &others, None)?.bitmap()?;
            let bytes = set.to_bytes()?;
            Ok((set.len(), bytes))
        })
        .await?;
        let version = CrowdVersion {
            version,
            size,
            revision,
            generation,
            oldest_as_of_ms: as_of.oldest_ms,
            newest_as_of_ms: as_of.newest_ms,
            expression: crowd.expression.to_string(),
            without_deleted,
            created_ms: self.clock.now_ms(),
            object: String::new(),
        };
        Ok(Computed { bytes: bytes.into(), version })
    }

    /// Writes a version's object under an unused name, and returns the name.
    pub(crate) async fn write(
        &self,
        app: &AppId,
        crowd: &str,
        version: u64,
        bytes: Bytes,
    ) -> Result<String> {
        let payload = object_store::PutPayload::from(bytes);
        for attempt in 0..MAX_LEFTOVERS {
            let name = object(app, crowd, version, attempt);
            let location = ObjectPath::from(name.as_str());
            match self.store.put_opts(&location, payload.clone(), PutMode::Create.into()).await {
                Ok(_) => return Ok(name),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(Error::Contended { crowd: crowd.to_owned() })
    }

    async fn publish(
        &self,
        app: &AppId,
        crowd: &str,
        expected: Option<u64>,
        next: &CrowdVersions,
    ) -> Result<()> {
        self.catalog.commit(vec![put(app, crowd, expected, next)?]).await?;
        self.published(app, crowd, expected, next.clone());
        Ok(())
    }

    /// Shows readers what this process committed on top of revision `expected`, without asking the
    /// catalog.
    pub(crate) fn published(
        &self,
        app: &AppId,
        crowd: &str,
        expected: Option<u64>,
        next: CrowdVersions,
    ) {
        // After a deleted pointer, revisions continue from its last one: the next refresh learns
        // it.
        self.state(app).put(crowd, next, expected.unwrap_or(0) + 1);
    }

    /// Deletes the objects of versions older than those kept, also those of stopped processes. What
    /// cannot be deleted now is deleted the next time.
    async fn sweep(&self, app: &AppId, crowd: &str, kept: &CrowdVersions) {
        let Some(oldest) = kept.versions.first().map(|v| v.version) else { return };
        let folder = ObjectPath::from(folder(app, crowd));
        let mut objects = self.store.list(Some(&folder));
        loop {
            match objects.try_next().await {
                Ok(Some(found))
                    if found
                        .location
                        .filename()
                        .and_then(version_of)
                        .is_some_and(|v| v < oldest) =>
                {
                    self.delete(found.location.as_ref()).await;
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%app, crowd, %error, "old versions of a crowd stay in the store until it is computed again");
                    return;
                }
            }
        }
    }

    pub(crate) async fn delete(&self, object: &str) {
        if let Err(error) = self.store.delete(&ObjectPath::from(object)).await
            && !matches!(error, object_store::Error::NotFound { .. })
        {
            tracing::warn!(object, %error, "an object of a crowd that nobody needs could not be deleted");
        }
    }
}

/// The change that puts a crowd's versions in the place of those at revision `expected`.
pub(crate) fn put(
    app: &AppId,
    crowd: &str,
    expected: Option<u64>,
    versions: &CrowdVersions,
) -> Result<Change> {
    let value = serde_json::to_value(versions).map_err(|e| Error::BrokeOff(e.to_string()))?;
    Ok(Change::PutPointer {
        kind: POINTER_KIND.to_owned(),
        app: app.clone(),
        name: crowd.to_owned(),
        expected,
        value,
    })
}
