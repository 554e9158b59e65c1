//! The three tables that ingestion fills, their writers, and the data files to be committed.

use crate::Result;
use crate::pending::Batches;
use crate::row_reader::Chunk;
use crate::table_columns::Schemas;
use arrow::array::RecordBatch;
use std::sync::Arc;
use taghouse_lake::{Commit, DataFile, Lake, Table, TableWriter, layout};
use taghouse_model::AppId;
use taghouse_rules::Definitions;

/// `events`, `attributes` and `rejected_events` of an app.
pub(crate) struct Tables {
    events: Table,
    attributes: Table,
    rejected: Table,
}

impl Tables {
    /// Makes the tables, or adds the columns of new properties.
    pub(crate) async fn ensure(
        lake: &Lake,
        app: &AppId,
        definitions: &Definitions,
    ) -> Result<Self> {
        Ok(Self {
            events: lake.ensure(app, &layout::events(&definitions.properties())).await?,
            attributes: lake.ensure(app, &layout::attributes()).await?,
            rejected: lake.ensure(app, &layout::rejected_events()).await?,
        })
    }

    pub(crate) fn schemas(&self) -> Schemas {
        Schemas {
            events: Arc::clone(self.events.arrow_schema()),
            attributes: Arc::clone(self.attributes.arrow_schema()),
            rejected: Arc::clone(self.rejected.arrow_schema()),
        }
    }
}

/// Writers of all three.
pub(crate) struct Writers {
    events: TableWriter,
    attributes: TableWriter,
    rejected: TableWriter,
}

impl Writers {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            events: tables.events.writer(),
            attributes: tables.attributes.writer(),
            rejected: tables.rejected.writer(),
        }
    }

    /// Writes the chunks and empties the list.
    pub(crate) async fn write_all(&mut self, chunks: &mut Vec<Chunk>) -> Result<()> {
        for chunk in chunks.drain(..) {
            self.write(chunk.accepted.events, chunk.accepted.attributes, chunk.rejected).await?;
        }
        Ok(())
    }

    pub(crate) async fn write(
        &mut self,
        events: RecordBatch,
        attributes: RecordBatch,
        rejected: RecordBatch,
    ) -> Result<()> {
        for (writer, batch) in [
            (&mut self.events, events),
            (&mut self.attributes, attributes),
            (&mut self.rejected, rejected),
        ] {
            if batch.num_rows() > 0 {
                writer.write(batch).await?;
            }
        }
        Ok(())
    }

    /// Writes what was admitted.
    pub(crate) async fn write_admitted(
        &mut self,
        events: Batches,
        attributes: Batches,
        rejected: Batches,
    ) -> Result<()> {
        for (writer, batches) in [
            (&mut self.events, events),
            (&mut self.attributes, attributes),
            (&mut self.rejected, rejected),
        ] {
            for batch in batches.into_inner() {
                writer.write(batch).await?;
            }
        }
        Ok(())
    }

    /// Closes the writers; their files are added to `files`.
    pub(crate) async fn close(self, files: &mut Files) -> Result<()> {
        let (events, attributes, rejected) =
            tokio::join!(self.events.close(), self.attributes.close(), self.rejected.close());
        let mut failed = None;
        for (list, closed) in [
            (&mut files.events, events),
            (&mut files.attributes, attributes),
            (&mut files.rejected, rejected),
        ] {
            match closed {
                Ok(written) => list.extend(written),
                Err(e) => failed = Some(e),
            }
        }
        failed.map_or(Ok(()), |e| Err(e.into()))
    }
}

/// Data files on disk, not yet part of their tables.
#[derive(Default)]
pub(crate) struct Files {
    events: Vec<DataFile>,
    attributes: Vec<DataFile>,
    rejected: Vec<DataFile>,
}

impl Files {
    /// Makes them part of the commit. A table without new files is left as it is.
    pub(crate) fn append(self, commit: &mut Commit, tables: &Tables) {
        for (table, files) in [
            (&tables.events, self.events),
            (&tables.attributes, self.attributes),
            (&tables.rejected, self.rejected),
        ] {
            if !files.is_empty() {
                commit.append(table, files);
            }
        }
    }

    /// The data files of the tables whose rows have message ids, with their tables.
    pub(crate) fn with_ids<'f>(
        &'f mut self,
        tables: &'f Tables,
    ) -> [(&'f Table, &'f mut Vec<DataFile>); 2] {
        [(&tables.events, &mut self.events), (&tables.attributes, &mut self.attributes)]
    }

    pub(crate) async fn discard(self, lake: &Lake) {
        lake.discard([self.events, self.attributes, self.rejected].concat()).await;
    }
}
