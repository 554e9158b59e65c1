//! What this process knows of the tables.

use crate::table::Table;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_model::AppId;

/// The newest handles, and what goes on with their files.
#[derive(Default)]
pub(crate) struct KnownTables {
    handles: Mutex<HashMap<(AppId, String), Table>>,
    /// By table location the snapshot in which nothing was left to be joined.
    compact: Mutex<HashMap<String, i64>>,
    /// By table location: who takes rows out of the table or joins its files.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl KnownTables {
    /// The newest handle of a table.
    pub(crate) fn newest(&self, app: &AppId, name: &str) -> Option<Table> {
        self.handles.lock().get(&(app.clone(), name.to_owned())).cloned()
    }

    /// Remembers the newest handle of a table.
    pub(crate) fn keep(&self, table: &Table) {
        self.handles.lock().insert((table.app().clone(), table.name().to_owned()), table.clone());
    }

    /// The turn of whoever replaces files of the table at `location`.
    pub(crate) fn turn_of(&self, location: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().entry(location.to_owned()).or_default().clone()
    }

    /// Whether the table's small files were looked at and left as they are.
    pub(crate) fn is_compact(&self, table: &Table) -> bool {
        let Some(snapshot_id) = table.snapshot_id() else { return true };
        self.compact.lock().get(table.location()) == Some(&snapshot_id)
    }

    /// Notes that none of the table's files are to be joined.
    pub(crate) fn set_compact(&self, table: &Table) {
        let Some(snapshot_id) = table.snapshot_id() else { return };
        self.compact.lock().insert(table.location().to_owned(), snapshot_id);
    }
}
