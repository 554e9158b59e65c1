//! New ordinals for all users, as a compaction gives them.

use taghouse_index::{Error, Index, Renaming};
use taghouse_model::AppId;
use tokio_util::sync::CancellationToken;

/// Gives all users new ordinals under another generation of the dictionary: folds everything,
/// rewrites every segment, and lets writers wait meanwhile. Who has no new ordinal is gone.
pub(crate) async fn remap(
    index: &Index,
    app: &AppId,
    generation: u64,
    renaming: Renaming,
) -> Result<u64, Error> {
    let Some(held) = index.hold(app).await? else { return Ok(0) };
    let publication = held.renamed(generation, renaming, &CancellationToken::new()).await?;
    index.publish_renamed(app, held, publication, vec![]).await
}
