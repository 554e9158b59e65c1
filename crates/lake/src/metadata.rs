//! Table metadata files: read, written, named.

use crate::content;
use crate::layout::TableLayout;
use crate::objects::Objects;
use crate::schema;
use crate::statistics::metrics_modes;
use crate::{Error, Result};
use bytes::Bytes;
use iceberg::TableCreation;
use iceberg::spec::{Schema, TableMetadata, TableMetadataBuilder, TableProperties};
use std::collections::HashMap;
use taghouse_model::TimestampMs;

/// How many former metadata files stay beside the current one.
const KEPT_VERSIONS: usize = 20;

pub(crate) async fn read(objects: &Objects, location: &str) -> Result<TableMetadata> {
    objects.verify(location).await?;
    // Upstream reads it, for another engine may have compressed it.
    TableMetadata::read_from(objects.io(), location)
        .await
        .map_err(|e| Error::corrupt(location, e.message()))
}

/// Writes the metadata as the successor of `previous` and gives the new location.
pub(crate) async fn write(
    objects: &Objects,
    metadata: &TableMetadata,
    previous: Option<&str>,
) -> Result<String> {
    let json = serde_json::to_vec(metadata)
        .map_err(|e| Error::Internal(format!("metadata of {}: {e}", metadata.location())))?;
    let location = next_location(metadata.location(), previous, content::id(&json));
    objects.write(&location, Bytes::from(json)).await?;
    Ok(location)
}

/// `<table>/metadata/00001-<uuid>.metadata.json`, one above the previous file's number.
fn next_location(table: &str, previous: Option<&str>, id: uuid::Uuid) -> String {
    let number =
        |location: &str| location.rsplit('/').next()?.split_once('-')?.0.parse::<u64>().ok();
    let version = previous.and_then(number).map_or(0, |v| v + 1);
    format!("{table}/metadata/{version:05}-{}.metadata.json", id)
}

/// The metadata of a new, empty table.
pub(crate) fn create(
    layout: &TableLayout,
    location: String,
    now: TimestampMs,
) -> Result<TableMetadata> {
    let schema = schema::schema(layout)?;
    let spec = schema::partition_spec(layout, &schema)?;
    let mut properties = HashMap::from([
        (
            TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX.to_owned(),
            KEPT_VERSIONS.to_string(),
        ),
        ("write.metadata.delete-after-commit.enabled".to_owned(), "true".to_owned()),
        ("write.parquet.compression-codec".to_owned(), "zstd".to_owned()),
    ]);
    properties.extend(metrics_modes(&schema));
    let creation = TableCreation::builder()
        .name(layout.name.clone())
        .location(location)
        .schema(schema)
        .partition_spec_opt(spec)
        .properties(properties)
        .build();
    stamped(TableMetadataBuilder::from_table_creation(creation)?.build()?.metadata, now)
}

/// The metadata with another current schema.
pub(crate) fn with_schema(
    current: &TableMetadata,
    location: &str,
    schema: Schema,
    now: TimestampMs,
) -> Result<TableMetadata> {
    let builder = current.clone().into_builder(Some(location.to_owned()));
    stamped(
        builder.add_current_schema(schema)?.build()?.metadata,
        now.max(current.last_updated_ms()),
    )
}

/// Upstream's builder stamps changes without a snapshot by the wall clock, which here is injected.
fn stamped(metadata: TableMetadata, now: TimestampMs) -> Result<TableMetadata> {
    let patched = serde_json::to_value(metadata).and_then(|mut json| {
        json["last-updated-ms"] = now.into();
        serde_json::from_value(json)
    });
    patched.map_err(|e| Error::Internal(format!("table metadata: {e}")))
}
