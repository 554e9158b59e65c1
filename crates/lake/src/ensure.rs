//! Tables made, widened or replaced: several in one transaction.

use crate::lake::{Lake, MAX_RETRIES};
use crate::layout::TableLayout;
use crate::objects::aside;
use crate::table::Table;
use crate::{Error, Result, metadata, schema};
use futures::future::join_all;
use iceberg::spec::TableMetadata;
use taghouse_catalog::Change;
use taghouse_model::{AppId, ErrorKind};

/// What becomes of a table that cannot be brought to its layout by adding columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misfit {
    Refused,
    Replaced,
}

/// How a table gets its layout.
enum Shape {
    /// It has it.
    Kept(Table),
    /// By this metadata, in place of what is at the location `previous`.
    Next { metadata: Box<TableMetadata>, previous: Option<String> },
}

impl Lake {
    /// Makes the table, or adds the columns that it lacks (schema evolution: rows written before
    /// have null there). Columns that the layout does not name stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the layout is none, or a column is there with another type, or the
    /// table is cut otherwise.
    pub async fn ensure(&self, app: &AppId, layout: &TableLayout) -> Result<Table> {
        let tables = self.ensure_all(app, std::slice::from_ref(layout), Misfit::Refused).await?;
        tables
            .into_iter()
            .next()
            .ok_or_else(|| Error::Internal(format!("no table {} came of its layout", layout.name)))
    }

    /// As [`Lake::ensure`], for tables whose rows are derived, all in one transaction; the tables
    /// come in the layouts' order. A table with a column of another type, or cut otherwise, is
    /// replaced by an empty one under its name, in a folder of its own. Readers that opened the
    /// old metadata go on reading it: its files stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a layout is none; no table is changed then.
    pub async fn ensure_derived(&self, app: &AppId, layouts: &[TableLayout]) -> Result<Vec<Table>> {
        self.ensure_all(app, layouts, Misfit::Replaced).await
    }

    async fn ensure_all(
        &self,
        app: &AppId,
        layouts: &[TableLayout],
        misfit: Misfit,
    ) -> Result<Vec<Table>> {
        layouts.iter().try_for_each(schema::check)?;
        for _ in 0..=MAX_RETRIES {
            let mut shapes = Vec::with_capacity(layouts.len());
            for layout in layouts {
                let current = self.table(app, &layout.name).await?;
                shapes.push((layout, self.shape(app, layout, current, misfit)?));
            }
            let (tables, swaps) = self.write_shapes(app, shapes).await?;
            if swaps.is_empty() {
                return Ok(tables);
            }
            let written: Vec<String> = swaps.iter().filter_map(location).collect();
            let (objects, settled) = (self.warehouse().objects.clone(), written.clone());
            if let Err(error) =
                aside(async move { objects.settle(settled.iter().map(String::as_str)) }).await
            {
                self.warehouse().objects.remove(written).await;
                return Err(error);
            }
            match self.warehouse().catalog.commit(swaps).await {
                Ok(()) => {
                    tables.iter().for_each(|table| self.known().keep(table));
                    return Ok(tables);
                }
                Err(e) if e.kind() == ErrorKind::Conflict => {
                    self.warehouse().objects.remove(written).await
                }
                Err(e) => return Err(e.into()),
            }
        }
        let names: Vec<&str> = layouts.iter().map(|l| l.name.as_str()).collect();
        Err(Error::Conflict(format!(
            "tables {} of app {app} keep changing: try again",
            names.join(", ")
        )))
    }

    /// Writes the metadata of those that change; gives all tables as they will be, and the changes
    /// that make them so.
    async fn write_shapes(
        &self,
        app: &AppId,
        shapes: Vec<(&TableLayout, Shape)>,
    ) -> Result<(Vec<Table>, Vec<Change>)> {
        let objects = &self.warehouse().objects;
        let writes = shapes.into_iter().map(|(layout, shape)| async move {
            match shape {
                Shape::Kept(table) => Ok((table, None)),
                Shape::Next { metadata, previous } => {
                    let (objects, before) = (objects.clone(), previous.clone());
                    let written = aside(async move {
                        let location =
                            metadata::write(&objects, &metadata, before.as_deref()).await?;
                        Ok::<_, Error>((location, metadata))
                    });
                    let (location, metadata) = written.await?;
                    let table = Table::new(
                        self.warehouse().clone(),
                        app,
                        &layout.name,
                        location.clone(),
                        *metadata,
                    )?;
                    let swap = Change::SwapTable {
                        app: app.clone(),
                        table: layout.name.clone(),
                        expected: previous,
                        location,
                    };
                    Ok((table, Some(swap)))
                }
            }
        });
        let outcomes: Vec<Result<(Table, Option<Change>)>> = join_all(writes).await;
        if outcomes.iter().any(Result::is_err) {
            let written =
                outcomes.iter().flatten().filter_map(|(_, swap)| location(swap.as_ref()?));
            objects.remove(written.collect::<Vec<_>>()).await;
        }
        let (tables, swaps): (Vec<Table>, Vec<Option<Change>>) =
            outcomes.into_iter().collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok((tables, swaps.into_iter().flatten().collect()))
    }

    fn shape(
        &self,
        app: &AppId,
        layout: &TableLayout,
        current: Option<Table>,
        misfit: Misfit,
    ) -> Result<Shape> {
        let now = self.warehouse().now_ms();
        let home = format!("{}/{app}/{}", self.warehouse().root, layout.name);
        let Some(table) = current else {
            return Ok(Shape::Next {
                metadata: Box::new(metadata::create(layout, home, now)?),
                previous: None,
            });
        };
        let previous = Some(table.metadata_location().to_owned());
        let old = table.metadata();
        let fits = table.check_partition(&layout.partition);
        let evolved = fits.and_then(|()| {
            schema::evolve(&layout.name, old.current_schema(), old.last_column_id(), layout)
        });
        match evolved {
            Ok(None) => Ok(Shape::Kept(table)),
            Ok(Some(schema)) => {
                let next = metadata::with_schema(old, table.metadata_location(), schema, now)?;
                Ok(Shape::Next { metadata: Box::new(next), previous })
            }
            Err(Error::Invalid(reason)) if misfit == Misfit::Replaced => {
                tracing::info!(%app, table = layout.name, reason, "a derived table is replaced by an empty one");
                let folder = format!("{home}-{}", uuid::Uuid::new_v4().simple());
                Ok(Shape::Next {
                    metadata: Box::new(metadata::create(layout, folder, now)?),
                    previous,
                })
            }
            Err(error) => Err(error),
        }
    }
}

fn location(change: &Change) -> Option<String> {
    if let Change::SwapTable { location, .. } = change { Some(location.clone()) } else { None }
}
