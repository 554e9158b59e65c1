//! Where a source's time stands.

use super::{FILE, NAMED_FORMATS, SourceReader, zone_of};
use crate::definitions::strptime::{self, Reads};
use crate::raw::source::{RawFileTime, RawFileTimeOf, RawTime};
use crate::{FileTime, TimeFormat, TimeMapping};

impl SourceReader<'_> {
    pub(super) fn file_time(&self) -> Option<FileTime> {
        match self.raw.time.as_ref()? {
            RawTime::Column(column) if column == FILE => Some(FileTime::NameOrModified),
            RawTime::File(RawFileTime { file: RawFileTimeOf::Name }) => Some(FileTime::Name),
            RawTime::File(RawFileTime { file: RawFileTimeOf::Modified }) => {
                Some(FileTime::Modified)
            }
            _ => None,
        }
    }

    pub(super) fn time(&mut self) -> Option<TimeMapping> {
        let mapping = match self.raw.time.as_ref()? {
            RawTime::File(_) => return None,
            RawTime::Column(column) if column == FILE => return None,
            RawTime::Column(column) => {
                return Some(TimeMapping {
                    column: column.clone(),
                    format: TimeFormat::Iso8601,
                    zone: None,
                });
            }
            RawTime::Mapping(mapping) => mapping,
        };
        let format = mapping.format.as_deref().map_or(TimeFormat::Iso8601, TimeFormat::of);
        if let TimeFormat::Pattern(pattern) = &format
            && let Err(e) = strptime::check(pattern, Reads::Instants)
        {
            self.error("/time/format", format!("{e}; or write {NAMED_FORMATS}"));
        }
        let zone = match mapping.zone.as_deref().map(zone_of) {
            None => None,
            Some(Ok(zone)) => Some(zone),
            Some(Err(e)) => {
                self.error("/time/zone", e);
                None
            }
        };
        Some(TimeMapping { column: mapping.column.clone(), format, zone })
    }
}
