use std::ops::{Bound, RangeInclusive};
use taghouse_model::AppId;

// One keyspace holds both sorts, so that one memtable's flush frees the journal of both:
//   0x00 app            → the app's mark
//   0x01 app 0x00 u64BE → a record at that position
//   0x02                → the number of groups committed
// An app id holds no byte below '-', so the 0x00 behind it keeps one app's records apart from those
// of an app with a longer id.
const MARK: u8 = 0;
const RECORD: u8 = 1;
/// The key of the number of groups committed.
pub(crate) const GROUPS: [u8; 1] = [2];

/// The key of an app's mark.
pub(crate) fn mark(app: &AppId) -> Vec<u8> {
    let mut key = vec![MARK];
    key.extend_from_slice(app.as_str().as_bytes());
    key
}

/// The key of the record at `position`.
pub(crate) fn record(app: &AppId, position: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(app.as_str().len() + 10);
    key.push(RECORD);
    key.extend_from_slice(app.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&position.to_be_bytes());
    key
}

/// The keys of the records at these positions.
pub(crate) fn records(
    app: &AppId,
    positions: RangeInclusive<u64>,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (
        Bound::Included(record(app, *positions.start())),
        Bound::Included(record(app, *positions.end())),
    )
}

/// The position in a record's key.
pub(crate) fn position(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// What all marks' keys begin with.
pub(crate) const MARKS: [u8; 1] = [MARK];

/// The app in a mark's key.
pub(crate) fn app_of_mark(key: &[u8]) -> Option<AppId> {
    let (_, app) = key.split_first()?;
    AppId::new(std::str::from_utf8(app).ok()?).ok()
}
