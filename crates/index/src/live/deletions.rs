use super::{AppLog, Overlay};
use crate::error::Result;
use crate::index::Index;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_model::AppId;

/// Says at any moment who is deleted in an app. Cloning it is cheap, and asking takes no lock.
#[derive(Clone)]
pub struct Deletions(Arc<AppLog>);

/// The users deleted in one generation, at one moment. In that generation they only become more.
#[derive(Clone)]
pub struct Deleted(Arc<Overlay>);

impl Deletions {
    /// Who is deleted now: from the moment on at which [`Index::delete_users`] shows them no more, and after a restart.
    pub fn now(&self) -> Deleted {
        Deleted(self.0.overlay())
    }
}

impl Deleted {
    /// The dictionary's generation that the ordinals are of.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Who.
    pub fn users(&self) -> &Arc<Bitmap> {
        &self.0.deleted
    }
}

impl Index {
    /// The deletions of an app, for those who keep sets of its users elsewhere; `None` for an index without live changes.
    ///
    /// # Errors
    /// When the log has to be opened first: `Log` and `Disk`; `Catalog`.
    pub async fn deletions(&self, app: &AppId) -> Result<Option<Deletions>> {
        Ok(self.log(app).await?.map(Deletions))
    }
}
