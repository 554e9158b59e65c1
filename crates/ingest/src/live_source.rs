use crate::{Error, Result};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use taghouse_model::Name;
use taghouse_rules::{
    BlankCells, Definitions, LIVE_FUTURE_MS, NotFinite, SourceDefinition, SourceFormat,
    UnknownColumns,
};

/// The source of live calls where none is defined.
const DEFAULT_SOURCE: &str = "segment";

/// The app's source of live calls (the first by name), or one that keeps everything as it comes.
pub(crate) fn live_source(definitions: &Definitions) -> Result<SourceDefinition> {
    if let Some(source) =
        definitions.sources.values().find(|source| source.format == SourceFormat::Segment)
    {
        return Ok(source.clone());
    }
    Ok(SourceDefinition {
        name: Name::new(DEFAULT_SOURCE).map_err(|e| Error::Internal(e.to_string()))?,
        description: None,
        format: SourceFormat::Segment,
        kafka: None,
        encoding: None,
        decimal_comma: false,
        fill_down: Vec::new(),
        files: None,
        user_id: None,
        event: None,
        time: None,
        file_time: None,
        message_id: None,
        properties: BTreeMap::new(),
        attributes: BTreeMap::new(),
        filters: Vec::new(),
        rejects: Vec::new(),
        unknown_columns: UnknownColumns::Keep,
        ignore: Vec::new(),
        blank: BlankCells::Clear,
        null_values: Vec::new(),
        not_finite: NotFinite::default(),
        max_reject_share: Decimal::ONE,
        max_future_ms: LIVE_FUTURE_MS,
    })
}
