use crate::datum::datum;
use crate::lake::{Lake, MAX_RETRIES};
use crate::layout::Partition;
use crate::objects::aside;
use crate::pin::Writing;
use crate::snapshot::{Next, TableChange, prepare};
use crate::table::Table;
use crate::write::DataFile;
use crate::{Error, Result};
use futures::future::join_all;
use iceberg::spec::Literal;
use std::collections::BTreeMap;
use taghouse_catalog::Change;
use taghouse_model::{AppId, ErrorKind, Value};

/// Changes of several tables of one app, with other changes of the catalog, seen all at once or not
/// at all.
///
/// A commit that is dropped without [`Commit::commit`] changes nothing; give its files to
/// [`crate::Lake::discard`].
pub struct Commit {
    lake: Lake,
    app: AppId,
    tables: BTreeMap<String, TableChange>,
    properties: BTreeMap<String, String>,
    also: Vec<Change>,
    /// From before a file is written until the pointers have moved.
    writing: Vec<Writing>,
    /// Of the tables whose files are exchanged.
    turns: Vec<tokio::sync::OwnedMutexGuard<()>>,
}

impl Lake {
    /// Begins a commit: changes of several tables of one app, seen all at once or not at all.
    pub fn begin(&self, app: &AppId) -> Commit {
        Commit::new(self.clone(), app.clone())
    }

    /// Removes files that were written and will not be committed.
    pub async fn discard(&self, files: Vec<DataFile>) {
        self.warehouse().objects.remove(files.into_iter().map(|f| f.path().to_owned())).await;
    }
}

impl Commit {
    fn new(lake: Lake, app: AppId) -> Self {
        let writing = vec![lake.warehouse().pins.writing(lake.warehouse().now_ms())];
        Self {
            lake,
            app,
            tables: BTreeMap::new(),
            properties: BTreeMap::new(),
            also: Vec::new(),
            writing,
            turns: Vec::new(),
        }
    }

    /// Adds files to the table. Without any file the table only gets a snapshot if there are
    /// summary properties.
    pub fn append(&mut self, table: &Table, files: Vec<DataFile>) {
        self.add(table, files);
    }

    /// Puts the files in the place of these, which hold the same rows.
    pub(crate) fn replace(
        &mut self,
        table: &Table,
        replaced: Vec<iceberg::spec::DataFile>,
        files: Vec<DataFile>,
    ) {
        self.add(table, files)
            .replaced
            .extend(replaced.into_iter().map(|f| f.file_path().to_owned()));
    }

    /// Puts the files in the place of this one, some of whose rows go.
    pub(crate) fn exchange(
        &mut self,
        table: &Table,
        file: iceberg::spec::DataFile,
        kept: Vec<DataFile>,
    ) {
        let change = self.add(table, kept);
        change.replaced.insert(file.file_path().to_owned());
        change.rows_go = true;
    }

    pub(crate) fn hold(&mut self, turn: tokio::sync::OwnedMutexGuard<()>) {
        self.turns.push(turn);
    }

    pub(crate) fn place(&self) -> (Lake, AppId) {
        (self.lake.clone(), self.app.clone())
    }

    fn add(&mut self, table: &Table, files: Vec<DataFile>) -> &mut TableChange {
        let change = self.tables.entry(table.name().to_owned()).or_default();
        for file in files {
            change.added.push(file.file);
            self.writing.push(file.writing);
        }
        change
    }

    /// Makes the files the only ones of the partition `value` of an identity-partitioned table;
    /// none: empties it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the table is not cut so, the value is not of its type, or a file holds
    /// another partition. The commit is unchanged then.
    pub fn overwrite(&mut self, table: &Table, value: &Value, files: Vec<DataFile>) -> Result<()> {
        let Partition::Identity(column) = table.partition() else {
            return Err(Error::Invalid(format!(
                "table {} is not cut by the values of a column, so no partition of it can be overwritten",
                table.name()
            )));
        };
        let field = table.metadata().current_schema().field_by_name(&column);
        let literal = field.and_then(|f| datum(value, &f.field_type)).map(Literal::from);
        let literal = literal.ok_or_else(|| {
            Error::Invalid(format!(
                "{value} cannot be a value of {column} of table {}",
                table.name()
            ))
        })?;
        if let Some(other) =
            files.iter().find(|f| f.file.partition().fields() != [Some(literal.clone())])
        {
            return Err(Error::Invalid(format!(
                "file {} holds another partition than {column} {value}: write it by itself",
                other.path()
            )));
        }
        self.add(table, files).overwritten.push(literal);
        Ok(())
    }

    /// Sets a property of every new snapshot's summary. Those that begin with `taghouse.` hold for
    /// later snapshots too, until set again.
    pub fn summary(&mut self, key: &str, value: &str) {
        self.properties.insert(key.to_owned(), value.to_owned());
    }

    /// Another change of the catalog, of the same transaction. If its condition fails, the commit
    /// fails.
    pub fn also(&mut self, change: Change) {
        self.also.push(change);
    }

    /// Commits, on top of what others have committed meanwhile (up to ten times). Gives the changed
    /// tables, by name.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a condition of the changes that came along does not hold, or others
    /// are always faster; [`Error::NotFound`] if a table is gone; [`Error::Corrupt`] if its
    /// metadata is damaged; the catalog's. Nothing is changed then and the data files are removed,
    /// unless the catalog cannot say whether it committed: then they stay.
    pub async fn commit(self) -> Result<Vec<Table>> {
        let outcome = self.attempts().await;
        if let Err(failure) = &outcome
            && !matches!(failure, Failure::Unknown(_))
        {
            self.remove_added().await;
        }
        outcome.map_err(|failure| match failure {
            Failure::Certain(e) | Failure::Unknown(e) => e,
        })
    }

    pub(crate) async fn remove_added(&self) {
        let files = self.tables.values().flat_map(|c| &c.added).map(|f| f.file_path().to_owned());
        self.lake.warehouse().objects.remove(files.collect::<Vec<_>>()).await;
    }

    async fn attempts(&self) -> std::result::Result<Vec<Table>, Failure> {
        for attempt in 0..=MAX_RETRIES {
            let prepared = self.prepare_all().await?;
            let mut changes: Vec<Change> =
                prepared.iter().map(|next| swap(&self.app, next)).collect();
            changes.extend(self.also.iter().cloned());
            if let Err(e) = self.settle(&prepared).await {
                self.forget(prepared).await;
                return Err(Failure::Certain(e));
            }
            let Err(e) = self.lake.warehouse().catalog.commit(changes).await else {
                return Ok(self.finish(prepared).await?);
            };
            match self.standing(&prepared).await {
                // An error after the transaction was written: it holds all the same.
                Ok(Standing::Ours) => return Ok(self.finish(prepared).await?),
                Ok(Standing::Base) => {
                    self.forget(prepared).await;
                    return Err(Failure::Certain(e.into()));
                }
                Ok(Standing::Others) if e.kind() == ErrorKind::Conflict => {
                    tracing::debug!(app = %self.app, attempt, "another writer was faster, the commit is rebased");
                    self.forget(prepared).await;
                    tokio::task::yield_now().await;
                }
                Err(unknown) if e.kind() == ErrorKind::Conflict => {
                    return Err(Failure::Certain(unknown));
                }
                // Others may have built upon ours already.
                Ok(Standing::Others) | Err(_) => return Err(Failure::Unknown(e.into())),
            }
        }
        let names: Vec<&str> = self.tables.keys().map(String::as_str).collect();
        Err(Failure::Certain(Error::Conflict(format!(
            "other writers of {} were faster {MAX_RETRIES} times: try again",
            names.join(", ")
        ))))
    }

    async fn prepare_all(&self) -> Result<Vec<Next>> {
        let changed = |change: &TableChange| {
            !(change.added.is_empty()
                && change.overwritten.is_empty()
                && change.replaced.is_empty()
                && self.properties.is_empty())
        };
        let preparing = self
            .tables
            .iter()
            .filter(|(_, change)| changed(change))
            .map(|(name, change)| self.prepare_one(name, change));
        let (mut prepared, mut failure) = (Vec::new(), None);
        for outcome in join_all(preparing).await {
            match outcome {
                Ok(next) => prepared.push(next),
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        let Some(failure) = failure else { return Ok(prepared) };
        self.forget(prepared).await;
        Err(failure)
    }

    async fn prepare_one(&self, name: &str, change: &TableChange) -> Result<Next> {
        let base = self.lake.table(&self.app, name).await?;
        let base = base.ok_or_else(|| {
            Error::NotFound(format!("app {} has no table {name}: ensure it first", self.app))
        })?;
        let inside = format!("{}/", base.location());
        if let Some(file) = change.added.iter().find(|f| !f.file_path().starts_with(&inside)) {
            return Err(Error::Invalid(format!(
                "file {} was not written for table {name} of app {}",
                file.file_path(),
                self.app
            )));
        }
        let (change, properties) = (change.clone(), self.properties.clone());
        aside(async move { prepare(&base, &change, &properties).await }).await
    }

    /// Makes the names of all that was written durable: the log is trimmed soon after.
    async fn settle(&self, prepared: &[Next]) -> Result<()> {
        let data = self
            .tables
            .values()
            .flat_map(|change| &change.added)
            .map(|file| file.file_path().to_owned());
        let written: Vec<String> =
            prepared.iter().flat_map(|next| &next.written).cloned().chain(data).collect();
        let objects = self.lake.warehouse().objects.clone();
        aside(async move { objects.settle(written.iter().map(String::as_str)) }).await
    }

    /// What the catalog points to now.
    async fn standing(&self, prepared: &[Next]) -> Result<Standing> {
        let mut standing = if prepared.is_empty() { Standing::Base } else { Standing::Ours };
        for next in prepared {
            let now =
                self.lake.warehouse().catalog.table_location(&self.app, next.base.name()).await?;
            match now.as_deref() {
                Some(l) if l == next.location => {}
                Some(l) if l == next.base.metadata_location() => standing = Standing::Base,
                _ => return Ok(Standing::Others),
            }
        }
        Ok(standing)
    }

    async fn finish(&self, prepared: Vec<Next>) -> Result<Vec<Table>> {
        let mut tables = Vec::with_capacity(prepared.len());
        let now = self.lake.warehouse().now_ms();
        for next in prepared {
            self.lake.warehouse().removal.expect(
                next.metadata.location(),
                next.expired,
                next.old_metadata,
                now,
            );
            let table = Table::new(
                self.lake.warehouse().clone(),
                &self.app,
                next.base.name(),
                next.location,
                next.metadata,
            )?;
            self.lake.known().keep(&table);
            tables.push(table);
        }
        let due = tables.iter().map(|table| self.lake.warehouse().remove_due(table.location()));
        join_all(due).await;
        Ok(tables)
    }

    async fn forget(&self, prepared: Vec<Next>) {
        for next in prepared {
            self.lake.warehouse().objects.remove(next.written).await;
        }
    }
}

fn swap(app: &AppId, next: &Next) -> Change {
    Change::SwapTable {
        app: app.clone(),
        table: next.base.name().to_owned(),
        expected: Some(next.base.metadata_location().to_owned()),
        location: next.location.clone(),
    }
}

/// Whose metadata the catalog names after a commit that gave an error.
enum Standing {
    /// Ours: it was committed.
    Ours,
    /// What we began with: something else is wrong.
    Base,
    /// A change of another writer.
    Others,
}

enum Failure {
    /// Nothing was changed.
    Certain(Error),
    /// The catalog cannot be asked.
    Unknown(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Certain(e)
    }
}
