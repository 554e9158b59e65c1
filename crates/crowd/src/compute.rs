use crate::adjust::digest;
use crate::crowds::POINTER_KIND;
use crate::gate::gate;
use crate::import::Base;
use crate::known::{KnownVersion, versions_of};
use crate::loaded_set::LoadedSet;
use crate::made::Made;
use crate::version::{folder, object, rows_of, version_of};
use crate::{
    CrowdVersion, CrowdVersions, Crowds, Error, GivenUsers, Import, ImportMode, Imported, Result,
};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use std::collections::HashSet;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Change;
use taghouse_disk::blocking;
use taghouse_model::AppId;
use taghouse_rules::{CrowdDefinition, Definitions};

/// How often a computation begins again because another one published first.
const ATTEMPTS: u32 = 5;
/// How many leftover objects of one version, by stopped processes, are skipped.
const MAX_LEFTOVERS: u32 = 100;

/// The objects of a version.
pub(crate) fn objects_of(version: &CrowdVersion) -> impl Iterator<Item = &str> {
    std::iter::once(version.object.as_str()).chain(version.rows.as_deref())
}

/// A version that is not written yet.
pub(crate) struct Computed {
    pub(crate) version: CrowdVersion,
    pub(crate) set: Arc<Bitmap>,
    /// The rows of the file that made it that gave no user, if there are any.
    pub(crate) rows: Option<Bytes>,
}

/// A version whose object is written, and that is not published yet.
pub(crate) struct Written {
    version: CrowdVersion,
    bytes: Bytes,
}

/// A crowd's record on its way to the next.
pub(crate) struct Edit<'a> {
    pub(crate) app: &'a AppId,
    pub(crate) crowd: &'a str,
    pub(crate) versions: CrowdVersions,
    /// The objects that the record named before.
    objects: Vec<String>,
    /// What it names and nobody needs if it is not published.
    pub(crate) written: Vec<Written>,
}

impl<'a> Edit<'a> {
    pub(crate) fn of(app: &'a AppId, crowd: &'a str, versions: CrowdVersions) -> Self {
        let objects = versions.versions.iter().flat_map(objects_of).map(str::to_owned).collect();
        Self { app, crowd, versions, objects, written: Vec::new() }
    }
}

impl Crowds {
    /// Evaluates a crowd on the newest snapshot and keeps the result as a new version. It answers
    /// from then on, unless it [waits](CrowdVersion::waits). On return, every judgment, export and
    /// listing of this process goes by it.
    ///
    /// # Errors
    /// [`Error::NoTags`]; [`Error::Index`] for a tag that the index does not hold, or holds with
    /// another type; [`Error::NotComputed`] or [`Error::UnknownCrowd`] for a crowd that it names;
    /// [`Error::NeedsProduction`] for one that is made by a query;
    /// [`Error::Contended`]; of the index, the catalog and the store. Nothing is changed then.
    pub async fn compute(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
    ) -> Result<CrowdVersion> {
        self.compute_given(definitions, crowd, None).await
    }

    /// The same; `given` is what the query of a crowd that has one says.
    ///
    /// # Errors
    /// As [`Crowds::compute`]; [`Error::Renumbered`] if the users are renumbered since `given` was
    /// begun.
    pub async fn compute_given(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        given: Option<&GivenUsers>,
    ) -> Result<CrowdVersion> {
        match self.make(definitions, crowd, given, None).await? {
            Imported::Version(version) => Ok(*version),
            // Only an import can have been made before.
            Imported::Before { .. } => {
                Err(Error::BrokeOff("a computation was taken for an import".to_owned()))
            }
        }
    }

    /// Computes a crowd, or imports into it, and publishes the version.
    pub(crate) async fn make(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        given: Option<&GivenUsers>,
        import: Option<&Import>,
    ) -> Result<Imported> {
        let app = &definitions.app.id;
        let name = crowd.name.as_str();
        // From the snapshot to the publication the users are not renumbered. Deletions may happen:
        // readers subtract them.
        let state = self.state(app);
        let _computing = state.computing.read().await;
        for _ in 0..ATTEMPTS {
            let before = self.catalog.pointer(POINTER_KIND, app, name).await?;
            let revision = before.as_ref().map(|pointer| pointer.revision);
            let mut versions = match before.map(|pointer| versions_of(name, pointer.value)) {
                Some(Ok(versions)) => versions,
                // What an import adds to is lost then, and must not be taken for nobody.
                Some(Err(error))
                    if import.is_some_and(|import| import.mode != ImportMode::Replace) =>
                {
                    return Err(error);
                }
                // A record that cannot be read must not keep the crowd from being fixed.
                Some(Err(_)) => self.begun_again(app, name, revision.unwrap_or(0)).await?,
                None => CrowdVersions::none(0),
            };
            versions.follow(&crowd.policy);
            let batch = import.and_then(|import| import.batch.as_deref());
            if let Some(version) = batch.and_then(|batch| versions.batches.version_of(batch)) {
                return Ok(Imported::Before { version });
            }
            let mut edit = Edit::of(app, name, versions);
            let made = self.compute_into(&mut edit, definitions, crowd, given, import).await;
            let version = match made {
                Ok(version) => version,
                Err(error) => {
                    self.discard_written(&edit.written).await;
                    let now = self.catalog.pointer(POINTER_KIND, app, name).await?;
                    // What it read may have been rewritten meanwhile.
                    if now.map(|pointer| pointer.revision) != revision {
                        continue;
                    }
                    return Err(error);
                }
            };
            if let Some(batch) = batch {
                edit.versions.batches.add(batch.to_owned(), version.version);
            }
            if self.publish(edit, revision).await? {
                return Ok(Imported::Version(Box::new(version)));
            }
        }
        Err(Error::Contended { crowd: name.to_owned() })
    }

    async fn compute_into(
        &self,
        edit: &mut Edit<'_>,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        given: Option<&GivenUsers>,
        import: Option<&Import>,
    ) -> Result<CrowdVersion> {
        let next = edit.versions.last() + 1;
        let base = match (given, import) {
            (Some(given), Some(import)) => Some(self.base(edit, import, given.generation()).await?),
            _ => None,
        };
        let mut computed = self.computed(definitions, crowd, given, base.as_ref(), next).await?;
        computed.rows = import.and_then(|import| import.rows.clone());
        computed.version.waits = gate(&crowd.policy, &edit.versions, &computed.version);
        match computed.version.waits {
            Some(_) => self.add(edit, computed).await,
            None => self.let_answer(edit, definitions, crowd, computed).await,
        }
    }

    /// Versions in the place of a record that cannot be read, whose numbers begin above all that it
    /// can have given: three and a turn with each revision, or what an object has.
    async fn begun_again(&self, app: &AppId, crowd: &str, revision: u64) -> Result<CrowdVersions> {
        let folder = ObjectPath::from(folder(app, crowd));
        let mut objects = self.store.list(Some(&folder));
        let mut last = revision.saturating_mul(4);
        while let Some(found) = objects.try_next().await? {
            last = last.max(found.location.filename().and_then(version_of).unwrap_or(0));
        }
        Ok(CrowdVersions::none(last))
    }

    /// Writes a version and adds it to the record.
    pub(crate) async fn add(
        &self,
        edit: &mut Edit<'_>,
        computed: Computed,
    ) -> Result<CrowdVersion> {
        let Computed { mut version, set, rows } = computed;
        let bytes: Bytes = blocking(move || Ok::<_, Error>(set.to_bytes()?)).await?.into();
        version.object = self.write(edit.app, edit.crowd, version.version, bytes.clone()).await?;
        if let Some(rows) = rows {
            let object = rows_of(&version.object);
            let put = self.store.put(&ObjectPath::from(object.as_str()), rows.into()).await;
            if let Err(error) = put {
                self.delete(&version.object).await;
                return Err(error.into());
            }
            version.rows = Some(object);
        }
        edit.written.push(Written { version: version.clone(), bytes });
        edit.versions.add(version.clone());
        Ok(version)
    }

    /// Publishes a record in the place of the one of this revision; `false`: another was published
    /// meanwhile, and what was written is deleted.
    pub(crate) async fn publish(&self, edit: Edit<'_>, revision: Option<u64>) -> Result<bool> {
        let Edit { app, crowd, mut versions, objects, written } = edit;
        versions.prune();
        let change = put(app, crowd, revision, &versions)?;
        match self.catalog.commit(vec![change]).await {
            Ok(()) => {}
            // Only here is it sure that the objects are nobody's.
            Err(taghouse_catalog::Error::Conflict { .. }) => {
                self.discard_written(&written).await;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        self.published(app, crowd, revision, versions.clone());
        for Written { version, bytes } in written {
            self.load(app, crowd, version, bytes).await?;
        }
        // Others may be rewriting objects: only those go that were named, and are not any more.
        let named: HashSet<&str> = versions.versions.iter().flat_map(objects_of).collect();
        for object in objects.iter().filter(|object| !named.contains(object.as_str())) {
            self.delete(object).await;
        }
        self.sweep(app, crowd, &versions).await;
        Ok(true)
    }

    /// Deletes the objects of versions older than those kept, also those of stopped processes. What
    /// cannot be deleted now is deleted the next time.
    async fn sweep(&self, app: &AppId, crowd: &str, kept: &CrowdVersions) {
        let Some(oldest) = kept.versions.first().map(|v| v.version) else { return };
        let folder = ObjectPath::from(folder(app, crowd));
        let mut objects = self.store.list(Some(&folder));
        loop {
            match objects.try_next().await {
                Ok(Some(found)) => {
                    let version = found.location.filename().and_then(version_of);
                    if version.is_some_and(|version| version < oldest) {
                        self.delete(found.location.as_ref()).await;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%app, crowd, %error, "old versions of a crowd stay in the store until it is computed again");
                    return;
                }
            }
        }
    }

    pub(crate) async fn discard_written(&self, written: &[Written]) {
        for object in written.iter().flat_map(|written| objects_of(&written.version)) {
            self.delete(object).await;
        }
    }

    /// Puts a version's set into memory.
    async fn load(
        &self,
        app: &AppId,
        crowd: &str,
        version: CrowdVersion,
        bytes: Bytes,
    ) -> Result<()> {
        let state = self.state(app);
        let Some(known) = state.get(crowd) else { return Ok(()) };
        let of_object = |kept: &&Arc<KnownVersion>| kept.version.object == version.object;
        let Some(known) = known.kept.iter().find(of_object).cloned() else { return Ok(()) };
        let (object, size, size_bytes) = (version.object, version.size, bytes.len() as u64);
        let set = blocking(move || LoadedSet::read(&object, bytes.into(), size)).await?;
        self.loaded.insert(&known.slot, Arc::new(set), size_bytes);
        Ok(())
    }

    pub(crate) async fn computed(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        given: Option<&GivenUsers>,
        base: Option<&Base>,
        version: u64,
    ) -> Result<Computed> {
        let made = self.made(definitions, crowd, given, base).await?;
        let Made { snapshot, mut users, as_of, ids, parts } = made;
        let (app, generation) = (&definitions.app.id, snapshot.generation());
        let mut without_deleted = snapshot.deleted();
        if let Some(adjustments) = self.adjustments(app, crowd).await {
            let dictionary = self.dictionary_of(app, &snapshot)?;
            users = self.adjusted(app, crowd.name.as_str(), dictionary, adjustments, users).await?;
            // Of whom it names somebody may just be being deleted.
            if let Some(deleted) = self.asked(app).await?.deleted(generation) {
                users = users.and_not(&deleted);
                without_deleted = deleted.len();
            }
        }
        let version = CrowdVersion {
            version,
            size: users.len(),
            revision: snapshot.revision(),
            generation,
            oldest_as_of_ms: as_of.oldest_ms,
            newest_as_of_ms: as_of.newest_ms,
            expression: crowd.source.to_string(),
            ids,
            rows: None,
            parts,
            without_deleted,
            created_ms: self.clock.now_ms(),
            object: String::new(),
            waits: None,
            pinned: false,
            blend: None,
            adjusted: digest(&crowd.policy),
        };
        Ok(Computed { version, set: Arc::new(users), rows: None })
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
