//! Files that the server fetches itself: what a link was found to hold last is remembered, so that
//! the same file is not imported twice.

use crate::crowd_import::{CrowdImport, IMPORT, ImportFrom, task_name};
use crate::{Engine, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use taghouse_catalog::Change;
use taghouse_crowd::{CrowdVersion, ImportMode};
use taghouse_disk::blocking;
use taghouse_ingest::IdFileOptions;
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_produce::ScratchFolder;
use taghouse_rules::{CrowdDefinition, CrowdLink, CrowdSource, Definitions};
use taghouse_schedule::RunHandle;
use taghouse_webhook::{Fetched, FetchedFile, Validators};

/// The kind of the catalog's pointers.
const KIND: &str = "link";

/// Files of an app that are fetched by the clock at once.
const PULLS_AT_ONCE: usize = 4;

/// The file of a link that made a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Imported {
    /// The address, as it is written in the definition.
    url: String,
    /// The column of the ids, as it is written there.
    column: Option<String>,
    etag: Option<String>,
    last_modified: Option<String>,
    sha256: String,
    /// The version that it made.
    version: u64,
}

/// What is at a link.
pub(crate) enum Pulled {
    /// The file that made this version.
    Unchanged {
        /// Its number.
        version: u64,
    },
    /// Another.
    File(PulledFile),
}

/// A file of a link. It goes when this is dropped.
pub(crate) struct PulledFile {
    pub(crate) file: FetchedFile,
    /// The catalog's revision of what was imported before.
    revision: Option<u64>,
    _folder: ScratchFolder,
}

/// The link of a crowd, if it has one.
fn link_of(crowd: &CrowdDefinition) -> Option<&CrowdLink> {
    match &crowd.source {
        CrowdSource::Import { link, .. } => link.as_ref(),
        _ => None,
    }
}

fn column_of(crowd: &CrowdDefinition) -> Option<String> {
    match &crowd.source {
        CrowdSource::Import { column, .. } => column.clone(),
        _ => None,
    }
}

impl Engine {
    /// Starts to fetch the file of a crowd's link, and to import it if it is another than the last.
    ///
    /// # Errors
    /// [`Error::Crowd`] for a crowd that is unknown, [`Error::NoLink`] for one without a link; those
    /// of the trail and the scheduler. Nothing was begun.
    pub async fn pull(
        self: &Arc<Self>,
        actor: &str,
        definitions: &Arc<Definitions>,
        crowd: &Name,
    ) -> Result<RunHandle> {
        let Some(definition) = definitions.crowds.get(crowd) else {
            return Err(taghouse_crowd::Error::UnknownCrowd(crowd.to_string()).into());
        };
        let link = link_of(definition).ok_or_else(|| Error::NoLink { crowd: crowd.clone() })?;
        self.import(actor, linked(definitions, crowd, link)).await
    }

    /// Fetches the files of every app whose time has come. What fails is in its run, and is tried again
    /// when the time has come once more.
    ///
    /// # Errors
    /// The list of apps cannot be read.
    pub async fn pull_due(self: &Arc<Self>) -> Result<()> {
        for app in self.catalog.apps().await? {
            if let Err(error) = self.pull_due_of(&app).await {
                tracing::error!(%app, %error, "the files of links that are due could not be fetched; it is tried again");
            }
        }
        Ok(())
    }

    async fn pull_due_of(self: &Arc<Self>, app: &AppId) -> Result<()> {
        let definitions = self.definitions(app).await?;
        let by_clock =
            |crowd: &&CrowdDefinition| link_of(crowd).is_some_and(|l| l.every_ms.is_some());
        if !definitions.crowds.values().any(|crowd| by_clock(&crowd)) {
            return Ok(());
        }
        // Before the first user is known, every id is one of nobody.
        if self.index.snapshot(app).await?.is_none() {
            return Ok(());
        }
        let runs = self.scheduler.list(app);
        let running: Vec<&str> = runs
            .iter()
            .filter(|run| run.kind == IMPORT && !run.state.is_final())
            .flat_map(|run| run.tasks.iter().map(|task| task.name.as_str()))
            .collect();
        let now_ms = self.clock.now_ms();
        let due: Vec<(&CrowdDefinition, &CrowdLink)> = {
            let tried = self.memory.pulled.lock();
            let is_due = |crowd: &CrowdDefinition, every_ms: i64| {
                let before = tried.get(&(app.clone(), crowd.name.clone())).copied();
                let due_ms = before.unwrap_or(TimestampMs::MIN).saturating_add(every_ms);
                due_ms <= now_ms && !running.contains(&task_name(&crowd.name).as_str())
            };
            let linked = definitions.crowds.values().filter_map(|crowd| {
                let link = link_of(crowd)?;
                is_due(crowd, link.every_ms?).then_some((crowd, link))
            });
            linked.take(PULLS_AT_ONCE.saturating_sub(running.len())).collect()
        };
        for (crowd, link) in due {
            self.memory.pulled.lock().insert((app.clone(), crowd.name.clone()), now_ms);
            // The run says what became of it: nobody asked for it, so the trail does not.
            self.start_import(linked(&definitions, &crowd.name, link)).await?;
        }
        Ok(())
    }

    /// Fetches the file of a crowd's link, unless it is the one that made the newest version.
    pub(crate) async fn pulled(
        &self,
        app: &AppId,
        crowd: &CrowdDefinition,
        link: &CrowdLink,
    ) -> Result<Pulled> {
        let pointer = self.catalog.pointer(KIND, app, crowd.name.as_str()).await?;
        let revision = pointer.as_ref().map(|pointer| pointer.revision);
        // What cannot be read is as good as none: the file is fetched again.
        let before = pointer.and_then(|it| serde_json::from_value::<Imported>(it.value).ok());
        let is_of = |before: &Imported| before.url == link.url && before.column == column_of(crowd);
        let newest = self.newest_version(app, &crowd.name).await?;
        let before = before.filter(|it| is_of(it) && newest == Some(it.version));
        let known = before.as_ref().map_or_else(Validators::default, |before| Validators {
            etag: before.etag.clone(),
            last_modified: before.last_modified.clone(),
        });

        let folder = ScratchFolder::below(&self.scratch, app);
        let part = folder.part("link");
        let made = part.clone();
        blocking(move || {
            let unmade = |source| taghouse_webhook::Error::Disk { path: made.clone(), source };
            std::fs::create_dir_all(&made).map_err(unmade)
        })
        .await?;
        let fetched = self.webhooks.fetch(link, &known, &part).await?;
        match (fetched, before) {
            (Fetched::Unchanged, Some(before)) => Ok(Pulled::Unchanged { version: before.version }),
            (Fetched::Unchanged, None) => {
                let said = "the server answered 304, though it was not told of a file from before";
                Err(taghouse_webhook::Error::NotFetched(said.to_owned()).into())
            }
            (Fetched::File(file), Some(before)) if before.sha256 == file.sha256 => {
                Ok(Pulled::Unchanged { version: before.version })
            }
            (Fetched::File(file), _) => {
                Ok(Pulled::File(PulledFile { file, revision, _folder: folder }))
            }
        }
    }

    /// Remembers which file made a version. A file of which it is not known is imported once more.
    pub(crate) async fn note_pulled(
        &self,
        app: &AppId,
        crowd: &CrowdDefinition,
        link: &CrowdLink,
        pulled: &PulledFile,
        version: u64,
    ) -> Result<()> {
        let FetchedFile { validators, sha256, .. } = &pulled.file;
        let value = json!(Imported {
            url: link.url.clone(),
            column: column_of(crowd),
            etag: validators.etag.clone(),
            last_modified: validators.last_modified.clone(),
            sha256: sha256.clone(),
            version,
        });
        let change = Change::PutPointer {
            kind: KIND.to_owned(),
            app: app.clone(),
            name: crowd.name.to_string(),
            expected: pulled.revision,
            value,
        };
        match self.catalog.commit(vec![change]).await {
            // Somebody else has imported meanwhile, and said so.
            Ok(()) | Err(taghouse_catalog::Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest version of a crowd that is whole, not a stage of a rollout.
    async fn newest_version(&self, app: &AppId, crowd: &Name) -> Result<Option<u64>> {
        let records = self.crowds.records(app).await?;
        let whole = |version: &&CrowdVersion| version.blend.is_none();
        let record = records.get(crowd.as_str());
        Ok(record.and_then(|of| of.versions.iter().rev().find(whole)).map(|it| it.version))
    }
}

fn linked(definitions: &Arc<Definitions>, crowd: &Name, link: &CrowdLink) -> CrowdImport {
    CrowdImport {
        definitions: definitions.clone(),
        crowd: crowd.clone(),
        from: ImportFrom::Link(link.clone()),
        mode: ImportMode::Replace,
        batch: None,
        options: IdFileOptions::default(),
    }
}
