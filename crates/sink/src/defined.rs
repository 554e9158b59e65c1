//! Where sinks begin: noted in the same commit as their definitions.

use std::collections::BTreeMap;
use taghouse_catalog::{Catalog, Change, Pointer, Result};
use taghouse_model::AppId;
use taghouse_rules::StartAt;

/// The catalog's pointer at where a sink begins, by its name: value `{"after": id}`, or `{}` for one
/// that begins with all that is kept. It moves when a sink is defined that was not there before, not
/// when one is changed; so its revision says which definition of the name is meant.
const POINTER_KIND: &str = "sink_starts";

/// A definition of a sink: of two that had the same name, one after the other, each has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defined {
    /// Higher for a later definition of the name.
    pub number: u64,
    /// The id of the change feed behind which the sink begins; `None`: its definition says.
    pub(crate) after: Option<u64>,
}

impl Defined {
    fn of(pointer: &Pointer) -> Self {
        Self {
            number: pointer.revision,
            after: pointer.value.get("after").and_then(|id| id.as_u64()),
        }
    }
}

/// What a catalog's commit has besides the definition of a new sink. `end`: the id of the feed's
/// last record now.
///
/// # Errors
/// Of the catalog.
pub async fn begins(
    catalog: &dyn Catalog,
    app: &AppId,
    sink: &str,
    start: StartAt,
    end: u64,
) -> Result<Change> {
    let before = catalog.pointer(POINTER_KIND, app, sink).await?;
    Ok(Change::PutPointer {
        kind: POINTER_KIND.to_owned(),
        app: app.clone(),
        name: sink.to_owned(),
        expected: before.map(|pointer| pointer.revision),
        value: match start {
            StartAt::Latest => serde_json::json!({ "after": end }),
            StartAt::Earliest => serde_json::json!({}),
        },
    })
}

/// What a catalog's commit has besides the removal of a sink's definition.
///
/// # Errors
/// Of the catalog.
pub async fn ends(catalog: &dyn Catalog, app: &AppId, sink: &str) -> Result<Option<Change>> {
    let before = catalog.pointer(POINTER_KIND, app, sink).await?;
    Ok(before.map(|pointer| Change::DeletePointer {
        kind: POINTER_KIND.to_owned(),
        app: app.clone(),
        name: sink.to_owned(),
        expected: pointer.revision,
    }))
}

/// The definitions of an app's sinks, by name. One that was defined by a former release has none.
///
/// # Errors
/// Of the catalog.
pub async fn defined(catalog: &dyn Catalog, app: &AppId) -> Result<BTreeMap<String, Defined>> {
    let pointers = catalog.pointers(POINTER_KIND, app).await?;
    Ok(pointers.iter().map(|(name, pointer)| (name.clone(), Defined::of(pointer))).collect())
}

/// The definition of one sink.
pub(crate) async fn of_sink(
    catalog: &dyn Catalog,
    app: &AppId,
    sink: &str,
) -> Result<Option<Defined>> {
    let pointer = catalog.pointer(POINTER_KIND, app, sink).await?;
    Ok(pointer.as_ref().map(Defined::of))
}
