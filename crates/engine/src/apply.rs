//! Applies definitions: all of them, or none if one is invalid.

use crate::{DONE, Engine, Error, Result, StateSizes, fit};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use taghouse_catalog::{AuditRecord, Change, StoredDefinition};
use taghouse_model::{AppId, ErrorKind, TimestampMs};
use taghouse_rules::{DefinitionFile, Definitions, Document, SourceDefinition};

/// How definition files are applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Applying {
    /// Only report what would change.
    pub dry_run: bool,
    /// Delete sources, tags and crowds that the files do not name.
    pub prune: bool,
    /// With `prune`: allow that everything is deleted because the files define no source, tag or
    /// crowd.
    pub all: bool,
}

/// What applying changed, or would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyPlan {
    /// Each definition named, in order of kind and name.
    pub changes: Vec<PlannedChange>,
    /// Notes on definitions that are created or changed. They are not errors.
    pub notes: Vec<String>,
    /// How much the states of live tags can come to.
    pub states: StateSizes,
    /// Whether it was carried out.
    pub applied: bool,
}

/// The change of one definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// `app`, `source`, `tag` or `crowd`.
    pub kind: String,
    /// The name, unique within the app.
    pub name: String,
    /// The action on it.
    pub action: PlannedAction,
}

/// What is done with a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedAction {
    /// It is new.
    Create,
    /// It differs from the stored one.
    Change,
    /// It equals the stored one.
    Unchanged,
    /// The definition is deleted.
    Delete,
}

impl PlannedAction {
    /// The word for it in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Unchanged => "unchanged",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for PlannedAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The pointer that every change of an app's definitions moves: kind and name. Each set is checked
/// against the stored state of the others. So of two concurrent calls one must fail, even if they
/// change different definitions.
const REVISION: (&str, &str) = ("definitions", "revision");

impl Engine {
    /// Applies definition files; `actor`, a key's id, stands in the audit trail for what was
    /// changed. `allowed` says whether whoever asks may change that, given what would be in force.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] with what `allowed` says; [`Error::Refused`] with the places of what is wrong, [`Error::OtherApp`],
    /// [`Error::NothingLeft`], [`Error::ChangedMeanwhile`]; those of the catalog and the lake.
    /// Nothing was changed.
    pub async fn apply(
        &self,
        actor: &str,
        app: &AppId,
        files: &[DefinitionFile],
        how: Applying,
        allowed: impl Fn(&Definitions, &[PlannedChange]) -> std::result::Result<(), String>
        + Send
        + Sync,
    ) -> Result<ApplyPlan> {
        let documents = taghouse_rules::parse_definitions(files).map_err(Error::Refused)?;
        // Read first: whoever applies after this moves it, and our commit fails.
        let revision = self
            .catalog
            .pointer(REVISION.0, app, REVISION.1)
            .await?
            .map(|pointer| pointer.revision);
        let stored = self.catalog.definitions(app).await?;
        if how.prune && !how.all {
            leaves_some(app, &stored, &documents)?;
        }
        let definitions =
            Arc::new(self.checked(app, &stored, &merge(&stored, &documents, how.prune)).await?);
        let at_ms = self.clock.now_ms();
        let (changes, mut commit) = plan(app, &stored, &documents, how.prune, at_ms);
        allowed(&definitions, &changes).map_err(Error::NotAllowed)?;
        let notes = undated(&definitions, &changes);
        let states = self.state_sizes(&definitions, &changes)?;
        if how.dry_run {
            return Ok(ApplyPlan { changes, notes, states, applied: false });
        }
        if !commit.is_empty() {
            commit.extend(self.sink_starts(&definitions, &changes).await?);
            commit.extend(self.activation_ends(app, &changes).await?);
            commit.push(Change::Audit(AuditRecord {
                app: Some(app.clone()),
                at_ms,
                actor: actor.to_owned(),
                action: "definitions.apply".to_owned(),
                subject: summary(&changes, &stored),
                outcome: DONE.to_owned(),
            }));
            let (kind, name) = (REVISION.0.to_owned(), REVISION.1.to_owned());
            commit.push(Change::PutPointer {
                kind,
                app: app.clone(),
                name,
                expected: revision,
                value: json!({"at_ms": at_ms}),
            });
            let committed = self.catalog.commit(commit).await;
            // Also after an error: it may have been committed all the same.
            self.memory.forget(app);
            committed.map_err(|error| match error.kind() {
                ErrorKind::Conflict => Error::ChangedMeanwhile { app: app.clone() },
                _ => error.into(),
            })?;
            // At once, and not with the first judgment that needs them.
            self.definitions(app).await.ok();
        }
        Ok(ApplyPlan { changes, notes, states, applied: true })
    }

    /// The definitions that would be in force, if they are valid and fit the data in the lake.
    async fn checked(
        &self,
        app: &AppId,
        stored: &[StoredDefinition],
        merged: &[Document],
    ) -> Result<Definitions> {
        let definitions = Definitions::check(merged).map_err(Error::Refused)?;
        if definitions.app.id != *app {
            return Err(Error::OtherApp { defined: definitions.app.id.clone(), app: app.clone() });
        }
        let before: BTreeMap<_, _> =
            stored.iter().map(|old| (key(&old.kind, &old.name), &old.body)).collect();
        let changed = |document: &Document| {
            before.get(&key(document.kind.as_str(), &document.name)) != Some(&&document.body)
        };
        let misfits = fit::check(self, app, &definitions, merged, &changed).await?;
        if misfits.is_empty() { Ok(definitions) } else { Err(Error::Refused(misfits)) }
    }
}

/// Notes on sources whose attributes have no time: what that means for productions as of the past.
fn undated(definitions: &Definitions, changes: &[PlannedChange]) -> Vec<String> {
    let touched = |name: &str| {
        let new = [PlannedAction::Create, PlannedAction::Change];
        changes.iter().any(|change| {
            change.kind == "source" && change.name == name && new.contains(&change.action)
        })
    };
    let sources = definitions
        .sources
        .values()
        .filter(|source| source.is_undated() && touched(source.name.as_str()));
    let note = |source: &SourceDefinition| {
        format!(
            "source {}: its attributes have no time column, so they are dated when a file is ingested; a production as of an earlier time sees none \
             of them. `time: COLUMN` says since when they hold, `time: file` goes by the date in a file's name or when it was last written to",
            source.name
        )
    };
    sources.map(note).collect()
}

fn key(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

/// Files that define nothing are mostly the wrong files: an empty folder, or a mistyped path.
fn leaves_some(app: &AppId, stored: &[StoredDefinition], documents: &[Document]) -> Result<()> {
    let deleted = stored.iter().filter(|old| old.kind != "app").count();
    if deleted == 0 || documents.iter().any(|document| document.kind.as_str() != "app") {
        return Ok(());
    }
    Err(Error::NothingLeft { app: app.clone(), deleted })
}

/// The definitions that would be in force: the stored ones, replaced or extended by the files.
fn merge(stored: &[StoredDefinition], documents: &[Document], prune: bool) -> Vec<Document> {
    let named: BTreeSet<_> =
        documents.iter().map(|document| key(document.kind.as_str(), &document.name)).collect();
    let kept = stored
        .iter()
        .filter(|old| !named.contains(&key(&old.kind, &old.name)) && (!prune || old.kind == "app"));
    let kept = kept.filter_map(|old| Document::stored(&old.kind, &old.name, &old.body));
    documents.iter().cloned().chain(kept).collect()
}

fn plan(
    app: &AppId,
    stored: &[StoredDefinition],
    documents: &[Document],
    prune: bool,
    at_ms: TimestampMs,
) -> (Vec<PlannedChange>, Vec<Change>) {
    let mut old: BTreeMap<_, _> =
        stored.iter().map(|old| (key(&old.kind, &old.name), old)).collect();
    let mut changes = Vec::new();
    let mut commit = Vec::new();
    for document in documents {
        let (kind, name) = key(document.kind.as_str(), &document.name);
        let before = old.remove(&(kind.clone(), name.clone()));
        let action = match before {
            None => PlannedAction::Create,
            Some(before) if before.body == document.body => PlannedAction::Unchanged,
            Some(_) => PlannedAction::Change,
        };
        if action != PlannedAction::Unchanged {
            let expected = before.map(|before| before.revision);
            commit.push(Change::PutDefinition {
                app: app.clone(),
                kind: kind.clone(),
                name: name.clone(),
                expected,
                body: document.body.clone(),
                at_ms,
            });
        }
        changes.push(PlannedChange { kind, name, action });
    }
    for ((kind, name), before) in old {
        if prune && kind != "app" {
            commit.push(Change::DeleteDefinition {
                app: app.clone(),
                kind: kind.clone(),
                name: name.clone(),
                expected: before.revision,
            });
            changes.push(PlannedChange { kind, name, action: PlannedAction::Delete });
        }
    }
    (changes, commit)
}

/// What is changed, with the revisions before and after.
fn summary(changes: &[PlannedChange], stored: &[StoredDefinition]) -> String {
    let told = |change: &PlannedChange| {
        let PlannedChange { action, kind, name } = change;
        let before = stored.iter().find(|old| old.kind == *kind && old.name == *name);
        match (action, before) {
            (PlannedAction::Change, Some(old)) => {
                let revision = old.revision;
                format!("{action} {kind} {name} (revision {revision} → {})", revision + 1)
            }
            _ => format!("{action} {kind} {name}"),
        }
    };
    let changed = changes.iter().filter(|change| change.action != PlannedAction::Unchanged);
    changed.map(told).collect::<Vec<_>>().join(", ")
}
