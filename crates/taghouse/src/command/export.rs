//! `taghouse export` and `taghouse users export`

use super::Context;
use crate::args::{Export, ExportFormat};
use crate::client::encode;
use anyhow::{Context as _, Result};
use std::io::Write;
use std::path::Path;

/// Writes a crowd's members.
pub(crate) async fn export(context: &Context, arguments: &Export) -> Result<()> {
    let format = match arguments.format {
        ExportFormat::Csv => "csv",
        ExportFormat::Jsonl => "jsonl",
        ExportFormat::Parquet => "parquet",
        ExportFormat::Roaring => "roaring",
        ExportFormat::Roaring64 => "roaring64",
    };
    let version =
        arguments.version.map(|version| format!("&version={version}")).unwrap_or_default();
    let arm = arguments.arm.as_ref().map(|arm| format!("&arm={}", encode(arm))).unwrap_or_default();
    let path = context
        .path(&format!("crowds/{}/export?format={format}{version}{arm}", encode(&arguments.crowd)))
        .await?;
    save(context, &path, arguments.output.as_deref()).await
}

/// Writes all that is kept of a user.
pub(crate) async fn user(context: &Context, id: &str, output: Option<&Path>) -> Result<()> {
    let path = context.path(&format!("users/{}/export", encode(id))).await?;
    save(context, &path, output).await
}

/// Downloads to a file, which appears whole or not at all, or to standard output.
pub(super) async fn save(context: &Context, path: &str, output: Option<&Path>) -> Result<()> {
    let Some(output) = output else {
        let mut out = std::io::BufWriter::new(std::io::stdout());
        context.client.download(path, &mut out).await?;
        return Ok(out.flush()?);
    };
    let mut unfinished = output.as_os_str().to_owned();
    unfinished.push(".part");
    let file = std::fs::File::create(&unfinished)
        .with_context(|| format!("writing {}", output.display()))?;
    let mut out = std::io::BufWriter::new(file);
    let written = context.client.download(path, &mut out).await.and_then(|()| Ok(out.flush()?));
    if let Err(error) = written {
        std::fs::remove_file(&unfinished).ok();
        return Err(error);
    }
    std::fs::rename(&unfinished, output).with_context(|| format!("writing {}", output.display()))
}
