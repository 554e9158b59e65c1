//! `taghouse backup` and `taghouse restore`

use super::Context;
use crate::serve::print;
use crate::system::SystemClock;
use crate::table::thousands;
use anyhow::{Context as _, Result};
use serde_json::json;
use std::path::Path;
use taghouse_model::Clock;
use taghouse_wire::{BackupBody, NewBackup};

/// Writes a backup through the server that holds the data, or by ourselves.
pub(crate) async fn backup(context: &Context, folder: &Path) -> Result<()> {
    let shown = folder.to_str().with_context(|| {
        format!("{} is not named in UTF-8: choose another folder", folder.display())
    })?;
    let folder = if context.same_machine {
        // The server's working folder is another.
        std::path::absolute(folder)?.display().to_string()
    } else {
        shown.to_owned()
    };
    let answer: BackupBody = context.client.post("/api/v1/backups", &NewBackup { folder }).await?;
    context.print(&answer, |answer| {
        format!(
            "{} files, {} bytes in {}, as of {}; changes waited {} ms\n",
            thousands(answer.files),
            thousands(answer.bytes),
            answer.folder,
            answer.taken_at,
            thousands(answer.held_ms),
        )
    })
}

/// Puts a backup where `data` says.
pub(crate) fn restore(backup: &Path, data: &Path, as_json: bool) -> Result<()> {
    let restored = taghouse_backup::restore(backup, data, SystemClock.now_ms())?;
    let taken_at = jiff::Timestamp::from_millisecond(restored.taken_ms)?.to_string();
    if as_json {
        let answer = json!({ "folder": data.display().to_string(), "taken_at": taken_at, "files": restored.files, "bytes": restored.bytes });
        print(&serde_json::to_string_pretty(&answer)?);
    } else {
        print(&format!(
            "{} files, {} bytes in {}, as of {taken_at}",
            thousands(restored.files),
            thousands(restored.bytes),
            data.display()
        ));
    }
    Ok(())
}
